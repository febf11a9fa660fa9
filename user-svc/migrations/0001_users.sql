-- People who can sign in.  A deleted one keeps its row (orders point to the id) but gives
-- up e-mail and password, so that the address may be used again.
CREATE TABLE users (
	id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
	name VARCHAR(100) NOT NULL,
	email VARCHAR(254) CHARACTER SET ascii COLLATE ascii_bin NULL,
	role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
	password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
	created_at DATETIME(3) NOT NULL,
	updated_at DATETIME(3) NOT NULL,
	deleted_at DATETIME(3) NULL,
	UNIQUE KEY users_email (email)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
