/* settings.c - the table of order-svc's own settings. */
#include "settings.h"

const struct config_entry settings_config[] = {
	CFG_LISTEN(struct settings, listen, "LISTEN", "127.0.0.1:8083",
		   "address of the service's HTTP listener"),
	CFG_STR(struct settings, internal_url, "INTERNAL_URL", "http://127.0.0.1:8090",
		"base URL of the gateway's internal listener"),
	CFG_INT(struct settings, reservation_ttl_s, "RESERVATION_TTL_S", "120", 1, 3600,
		"seconds for which stock is held while an order is recorded"),
	CFG_INT(struct settings, max_placing, "MAX_PLACING", "1000", 1, 100000,
		"orders that may be under way; more get 503 at once"),
	CFG_INT(struct settings, reserve_calls, "RESERVE_CALLS", "2", 1, 64,
		"calls for stock that may be under way at once; orders that wait share "
		"the next"),
	CFG_INT(struct settings, repo.record_lanes, "RECORD_LANES", "1", 1, 16,
		"connections that record orders; a user's all go over one of them"),
	CFG_INT(struct settings, repo.key_lanes, "KEY_LANES", "1", 1, 16,
		"connections that look up idempotency keys, and as many that store "
		"refusals under them"),
	CFG_INT(struct settings, repo.max_batch, "RECORD_BATCH", "64", 1, 64,
		"orders, look-ups or refusals that share a transaction"),
	CFG_INT(struct settings, repo.max_queue, "RECORD_QUEUE", "1000", 1, 100000,
		"of them may wait for one connection; more get 503. Below MAX_PLACING, "
		"orders are given up that already hold stock"),
	CFG_STR(struct settings, orders_topic, "ORDERS_TOPIC", "orders-events",
		"Kafka topic of the order events"),
	CFG_INT(struct settings, relay_threads, "RELAY_THREADS", "1", 1, 8,
		"threads that publish the outbox; its 8 shards are divided among those "
		"of all instances"),
	CFG_INT(struct settings, relay_batch, "RELAY_BATCH", "2000", 1, 10000,
		"events that a thread of the outbox relay publishes at once"),
	CFG_INT(struct settings, relay_poll_ms, "RELAY_POLL_MS", "25", 1, 10000,
		"ms between looks into the outbox when nothing woke the relay"),
	CFG_INT(struct settings, sweep_every_ms, "SWEEP_EVERY_MS", "60000", 10, 86400000,
		"ms between deletions of old fences and keys"),
	CFG_STR(struct settings, db.migrations_dir, "MIGRATIONS_DIR",
		"order-svc/migrations", "folder with the numbered files of --migrate"),
	CFG_END,
};
