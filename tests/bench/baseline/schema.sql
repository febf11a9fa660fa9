-- Tables of the Python stack: 2,000 users, 1,000 products.
DROP DATABASE IF EXISTS shop_python;
CREATE DATABASE shop_python CHARACTER SET utf8mb4;
USE shop_python;

CREATE TABLE users (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  email VARCHAR(128) NOT NULL UNIQUE
) ENGINE=InnoDB;

CREATE TABLE products (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(64) NOT NULL,
  price DECIMAL(12,2) NOT NULL,
  stock INT NOT NULL
) ENGINE=InnoDB;

CREATE TABLE orders (
  id BIGINT AUTO_INCREMENT PRIMARY KEY,
  user_id INT NOT NULL,
  product_id INT NOT NULL,
  quantity INT NOT NULL,
  total_price DECIMAL(12,2) NOT NULL,
  status VARCHAR(16) NOT NULL,
  created_at DATETIME NOT NULL,
  KEY user_orders (user_id)
) ENGINE=InnoDB;

CREATE TABLE analytics (
  product_id INT PRIMARY KEY,
  orders BIGINT NOT NULL,
  revenue DECIMAL(16,2) NOT NULL
) ENGINE=InnoDB;

INSERT INTO users
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
SELECT a.i + b.more, CONCAT('user', a.i + b.more), CONCAT('user', a.i + b.more, '@example.com')
FROM n a JOIN (SELECT 0 AS more UNION ALL SELECT 1000) b;

INSERT INTO products
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
SELECT i, CONCAT('product', i), 19.90, 1000000 FROM n;
