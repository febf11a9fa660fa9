-- How instances learn of each other's changes to the catalogue. A change takes the next
-- number here and gives it to its product, in one transaction: the row's lock makes
-- changes commit in the order of their numbers, so who has seen number n has seen all
-- below n.
CREATE TABLE catalogue_version (
  id TINYINT NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

INSERT INTO catalogue_version (id, version) VALUES (1, 1);

ALTER TABLE products
  ADD COLUMN changed BIGINT NOT NULL DEFAULT 0,
  ADD KEY changes (changed);
