-- The tables of order-svc.  No foreign keys: every row of an order is written in
-- the one transaction that makes it, and orders are never deleted.

CREATE TABLE orders (
  id BIGINT NOT NULL AUTO_INCREMENT,
  user_id BIGINT NOT NULL,
  total_price DECIMAL(12,2) NOT NULL,
  currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reservation_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  seq BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  cancelled_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY reservation (reservation_id),
  KEY user_orders (user_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE order_items (
  order_id BIGINT NOT NULL,
  line SMALLINT NOT NULL,
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(255) NOT NULL,
  quantity INT NOT NULL,
  unit_price DECIMAL(12,2) NOT NULL,
  PRIMARY KEY (order_id, line)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Final answers under a client's key: the 201, or the refusal for short stock.
CREATE TABLE order_keys (
  user_id BIGINT NOT NULL,
  idempotency_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  status SMALLINT NOT NULL,
  reply MEDIUMTEXT NOT NULL,
  order_id BIGINT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (user_id, idempotency_key),
  KEY age (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- The number of each user's last event. Its row lock orders a user's commits.
CREATE TABLE user_seq (
  user_id BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- One row. After the database was put back to an earlier state, raise epoch by
-- one before the first order: it is the upper 16 bits of every later seq.
CREATE TABLE seq_epoch (
  id TINYINT NOT NULL,
  epoch BIGINT NOT NULL,
  PRIMARY KEY (id),
  CONSTRAINT one_row CHECK (id = 1),
  CONSTRAINT sixteen_bits CHECK (epoch BETWEEN 0 AND 32767)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO seq_epoch (id, epoch) VALUES (1, 0);

-- What became of a reservation: an order, or a fence against a late one.
CREATE TABLE outcomes (
  reservation_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  outcome ENUM('committed','aborted') NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (reservation_id),
  KEY age (outcome, created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Events not yet in Kafka, in the order in which they must arrive per user.
CREATE TABLE outbox (
  id BIGINT NOT NULL AUTO_INCREMENT,
  user_id BIGINT NOT NULL,
  event_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  payload MEDIUMTEXT NOT NULL,
  traceparent VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NULL,
  request_id VARCHAR(128) NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Rows of the outbox that Kafka will never take, and why. The user's later rows
-- wait. A table of its own, so that the outbox needs no second index.
CREATE TABLE outbox_set_aside (
  outbox_id BIGINT NOT NULL,
  user_id BIGINT NOT NULL,
  reason VARCHAR(255) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (outbox_id),
  KEY waiting (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
