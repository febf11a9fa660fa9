/* settings.c - the table of product-svc's own settings. */
#include "settings.h"

const struct config_entry settings_config[] = {
	CFG_LISTEN(struct settings, listen, "LISTEN", "127.0.0.1:8082",
		   "address of the service's HTTP listener"),
	CFG_STR(struct settings, internal_url, "INTERNAL_URL", "http://127.0.0.1:8090",
		"base URL of the gateway's internal listener"),
	CFG_STR(struct settings, orders_topic, "ORDERS_TOPIC", "orders-events",
		"Kafka topic of the order events"),
	CFG_STR(struct settings, group, "CONSUMER_GROUP", "product-svc",
		"Kafka consumer group that shares the order events"),
	CFG_INT(struct settings, reserve.lanes, "RESERVE_LANES", "1", 1, 64,
		"connections that reserve stock"),
	CFG_INT(struct settings, reserve.batch, "RESERVE_BATCH", "64", 1, BATCH_MAX,
		"most reservations in one transaction"),
	CFG_INT(struct settings, reserve.queue, "RESERVE_QUEUE", "512", 1, 100000,
		"reservations that may wait for each of those connections; more get 503"),
	CFG_INT(struct settings, search_conns, "SEARCH_CONNS", "4", 1, 64,
		"connections beside DB_MAX_CONNS that search the catalogue"),
	CFG_INT(struct settings, search_queue, "SEARCH_QUEUE", "32", 1, 100000,
		"searches that may wait for one of those connections; more get 503"),
	CFG_INT(struct settings, janitor_interval_ms, "JANITOR_INTERVAL_MS", "2000", 50,
		3600000, "ms between looks for reservations past their expiry"),
	CFG_INT(struct settings, catalogue.poll_ms, "CATALOGUE_POLL_MS", "250", 10, 60000,
		"ms between looks for what other instances changed in the catalogue; "
		"shown within twice that"),
	CFG_INT(struct settings, catalogue.stale_ms, "CATALOGUE_STALE_MS", "300000", 0,
		86400000,
		"ms for which the copy of the catalogue answers without the database"),
	CFG_INT(struct settings, catalogue.max_kib, "CATALOGUE_MAX_KIB", "32768", 0,
		1048576,
		"KiB that the copy of the catalogue may take; a larger catalogue is read "
		"from the database, with 0 any is"),
	CFG_STR(struct settings, db.migrations_dir, "MIGRATIONS_DIR",
		"product-svc/migrations", "folder with the numbered files of --migrate"),
	CFG_END,
};
