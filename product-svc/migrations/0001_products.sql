-- The tables of product-svc.

CREATE TABLE products (
  id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(200) NOT NULL,
  description VARCHAR(4000) NOT NULL,
  category VARCHAR(64) NOT NULL,
  price DECIMAL(12,2) NOT NULL,
  stock BIGINT NOT NULL,
  image_url VARCHAR(500) NULL,
  -- Of what the catalogue says, stock not counted: the ETag.
  version BIGINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  deleted_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  KEY category_page (category, id),
  CONSTRAINT stock_not_negative CHECK (stock >= 0)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

-- Every change of stock that is not an order's. The stock a product was created
-- with stands here too, under the empty key, which no client can send, so that
--   stock = sum of delta - sum of what pending and confirmed reservations hold.
CREATE TABLE stock_changes (
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  idempotency_key VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  delta BIGINT NOT NULL,
  stock_after BIGINT NOT NULL,
  changed_by VARCHAR(64) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  PRIMARY KEY (product_id, idempotency_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE reservations (
  id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  state ENUM('pending','confirmed','released','returned') NOT NULL,
  -- Hash of (user, idempotency key): tells a retry from another buyer.
  key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
  order_id BIGINT NULL,
  expires_at DATETIME(3) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  updated_at DATETIME(3) NOT NULL,
  PRIMARY KEY (id),
  KEY overdue (state, expires_at),
  KEY twins (key_hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

CREATE TABLE reservation_items (
  reservation_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  product_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  quantity INT NOT NULL,
  unit_price DECIMAL(12,2) NOT NULL,
  PRIMARY KEY (reservation_id, product_id),
  CONSTRAINT of_reservation FOREIGN KEY (reservation_id)
    REFERENCES reservations (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;
