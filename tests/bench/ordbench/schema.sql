-- Tables of ordbench: the shop's order path at its barest. 10,000 products, stock that never ends.
DROP DATABASE IF EXISTS bench_product;
DROP DATABASE IF EXISTS bench_order;
CREATE DATABASE bench_product CHARACTER SET utf8mb4;
CREATE DATABASE bench_order CHARACTER SET utf8mb4;

CREATE TABLE bench_product.products (
  id INT PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  price DECIMAL(12,2) NOT NULL,
  stock BIGINT NOT NULL,
  CONSTRAINT stock_not_negative CHECK (stock >= 0)
) ENGINE=InnoDB;

CREATE TABLE bench_product.reservations (
  id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  product_id INT NOT NULL,
  quantity INT NOT NULL,
  state TINYINT NOT NULL,
  expires_at DATETIME NOT NULL
) ENGINE=InnoDB;

CREATE TABLE bench_order.outcomes (
  reservation_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  outcome ENUM('committed','released') NOT NULL
) ENGINE=InnoDB;

CREATE TABLE bench_order.user_seq (user_id INT PRIMARY KEY, seq BIGINT NOT NULL) ENGINE=InnoDB;

CREATE TABLE bench_order.orders (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  user_id INT NOT NULL,
  seq BIGINT NOT NULL,
  total_price DECIMAL(12,2) NOT NULL,
  status TINYINT NOT NULL,
  idempotency_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  reservation_id CHAR(26) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  created_at DATETIME(3) NOT NULL,
  UNIQUE KEY user_key (user_id, idempotency_key)
) ENGINE=InnoDB;

CREATE TABLE bench_order.order_items (
  order_id BIGINT NOT NULL,
  line SMALLINT NOT NULL,
  product_id INT NOT NULL,
  quantity INT NOT NULL,
  price DECIMAL(12,2) NOT NULL,
  PRIMARY KEY (order_id, line)
) ENGINE=InnoDB;

CREATE TABLE bench_order.outbox (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  user_id INT NOT NULL,
  payload TEXT NOT NULL
) ENGINE=InnoDB;

INSERT INTO bench_product.products
WITH RECURSIVE hundred AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM hundred WHERE i < 99)
SELECT 1 + a.i * 100 + b.i, CONCAT('p', 1 + a.i * 100 + b.i), 19.90, 1000000000
FROM hundred a JOIN hundred b;
