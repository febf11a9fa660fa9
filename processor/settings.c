/* settings.c - the table of the processor's own settings. */
#include "settings.h"

const struct config_entry settings_config[] = {
	CFG_INT(struct settings, slot, "PROCESSOR_SLOT", "0", 0, 9999,
		"number of this instance, kept over restarts and unique in the group: "
		"names its transactions and its membership"),
	CFG_STR(struct settings, group, "PROCESSOR_GROUP", "processor",
		"consumer group of all instances"),
	CFG_STR(struct settings, orders_topic, "ORDERS_TOPIC", "orders-events",
		"Kafka topic of the order events"),
	CFG_STR(struct settings, results_topic, "RESULTS_TOPIC", "analytics-results",
		"Kafka topic of the results; compacted, as many partitions as "
		"ORDERS_TOPIC"),
	CFG_STR(struct settings, dlq_topic, "DLQ_TOPIC", "orders-dlq",
		"Kafka topic of the events that could not be counted"),
	CFG_INT(struct settings, commit_interval_ms, "COMMIT_INTERVAL_MS", "50", 1, 10000,
		"ms between two transactions; less with few events, twice with many"),
	CFG_INT(struct settings, restore_timeout_ms, "RESTORE_TIMEOUT_MS", "120000", 1000,
		600000,
		"ms for reading the state back before that is an alarm and begins again"),
	CFG_INT(struct settings, max_users, "MAX_USERS_PER_PARTITION", "1000000", 1,
		100000000,
		"users kept per partition; orders of further ones go to DLQ_TOPIC"),
	CFG_END,
};
