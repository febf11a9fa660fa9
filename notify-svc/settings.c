/* settings.c - the table of notify-svc's own settings. */
#include "settings.h"

#define SET struct settings

const struct config_entry settings_config[] = {
	CFG_LISTEN(SET, listen, "LISTEN", "127.0.0.1:8084",
		   "address of the service's HTTP listener"),
	CFG_STR(SET, internal_url, "INTERNAL_URL", "http://127.0.0.1:8090",
		"base URL of the gateway's internal listener"),
	CFG_STR(SET, orders_topic, "ORDERS_TOPIC", "orders-events",
		"Kafka topic of the order events"),
	CFG_STR(SET, group, "CONSUMER_GROUP", "notify-svc",
		"Kafka consumer group; instances of one service share it"),
	CFG_STR(SET, smtp.url, "SMTP_URL", "smtp://127.0.0.1:2525",
		"mail server: smtp://host:port, or smtps:// for TLS from the start"),
	CFG_ENUM(SET, smtp.tls, "SMTP_TLS", "try", smtp_tls_choices,
		 "STARTTLS with smtp://: never, when offered, or required"),
	CFG_STR(SET, smtp.username, "SMTP_USERNAME", "",
		"login at the mail server, or empty"),
	CFG_SECRET(SET, smtp.password, "SMTP_PASSWORD", "", "its password"),
	CFG_STR(SET, smtp.from, "MAIL_FROM", "shop@example.com", "sender of all mails"),
	CFG_INT(SET, mail_rate, "MAIL_RATE", "50", 1, 100000,
		"mails a second that this instance sends at most"),
	CFG_INT(SET, mail_max_tries, "MAIL_MAX_TRIES", "15", 1, 1000,
		"tries, with growing pauses, before a mail counts as failed"),
	CFG_INT(SET, mail_max_pending, "MAIL_MAX_PENDING", "1000000", 1, 100000000,
		"mails that may wait; events that would make more are left in Kafka"),
	CFG_INT(SET, keep_days, "KEEP_DAYS", "90", 14, 36500,
		"days for which a notification is kept after it was sent or given up; "
		"longer than Kafka keeps events, or one that comes again is sent again"),
	CFG_INT(SET, sweep_every_ms, "SWEEP_EVERY_MS", "60000", 10, 86400000,
		"ms between deletions of old notifications"),
	CFG_STR(SET, db.migrations_dir, "MIGRATIONS_DIR", "notify-svc/migrations",
		"folder with the numbered files of --migrate"),
	CFG_END,
};
