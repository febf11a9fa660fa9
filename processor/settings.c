/* settings.c - the table of the processor's own settings. */
#include "settings.h"

#include <stdlib.h>

#include "str.h"

#define SLOT_MAX 9999

const struct config_entry settings_config[] = {
	CFG_INT(struct settings, slot, "PROCESSOR_SLOT", "-1", -1, SLOT_MAX,
		"number of this instance, kept over restarts and unique in the group: "
		"names its transactions and its membership; -1: the number at the end of "
		"HOSTNAME, as StatefulSets give it"),
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
		"ms between two transactions; twice with more than 2,500 events a "
		"second"),
	CFG_INT(struct settings, commit_quiet_ms, "COMMIT_QUIET_INTERVAL_MS", "15", 1,
		10000, "the same with less than 1,200 events a second"),
	CFG_INT(struct settings, restore_timeout_ms, "RESTORE_TIMEOUT_MS", "120000", 1000,
		600000,
		"ms for reading the state back before that is an alarm and begins again"),
	CFG_INT(struct settings, max_users, "MAX_USERS_PER_PARTITION", "1000000", 1,
		100000000,
		"users kept per partition (about 105 bytes each); orders of further ones "
		"go to DLQ_TOPIC"),
	CFG_STR(struct settings, topics_file, "TOPICS_FILE", "tools/topics.json",
		"JSON file with the topics of --create-topics"),
	CFG_INT(struct settings, topics_replication, "TOPICS_REPLICATION", "0", 0, 32767,
		"copies of each topic that --create-topics makes; 0: the brokers' "
		"default"),
	CFG_END,
};

/* "processor-2" is 2. A number without the dash is none: containers are named by
 * hexadecimal digits. */
bool settings_slot_of(const char *hostname, int64_t *slot)
{
	const char *dash = hostname ? strrchr(hostname, '-') : NULL;
	uint64_t number;

	if (!dash || dash == hostname || !str_u64(str_from(dash + 1), &number) ||
	    number > SLOT_MAX)
		return false;
	*slot = (int64_t)number;
	return true;
}

bool settings_check(void *arg, struct err *err)
{
	struct settings *cfg = arg;
	const char *hostname = getenv("HOSTNAME");

	if (cfg->slot >= 0 || settings_slot_of(hostname, &cfg->slot))
		return true;
	return err_set(err, ERR_INPUT,
		       "PROCESSOR_SLOT is not set, and HOSTNAME (%s) does not end in a "
		       "number such as that of processor-0",
		       hostname ? hostname : "not set either");
}
