-- One row for each event and channel: what makes an e-mail go out once.

CREATE TABLE notifications (
  id BIGINT NOT NULL AUTO_INCREMENT,
  user_id BIGINT NOT NULL,
  event_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  channel VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  order_id BIGINT NULL,
  subject VARCHAR(200) NOT NULL,
  body TEXT NOT NULL,
  state ENUM('pending', 'sending', 'sent', 'failed')
    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tries INT NOT NULL DEFAULT 0,
  -- pending: not before this; sending: the lease ends then, and anybody may try
  next_try_at DATETIME(3) NOT NULL,
  lease_owner CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  last_error VARCHAR(250) NULL,
  created_at DATETIME(3) NOT NULL,
  sent_at DATETIME(3) NULL,
  PRIMARY KEY (id),
  UNIQUE KEY event (event_id, channel),
  KEY due (state, next_try_at),
  KEY lease (lease_owner),
  KEY user_notifications (user_id, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
