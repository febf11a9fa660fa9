/* settings.h - what the processor can be told by its environment. */
#ifndef PROCESSOR_SETTINGS_H
#define PROCESSOR_SETTINGS_H

#include "config.h"
#include "events.h"

struct settings {
	int64_t slot; /* not below 0 after settings_check() */
	char *group;
	char *orders_topic, *results_topic, *dlq_topic;
	int64_t commit_interval_ms, commit_quiet_ms, restore_timeout_ms;
	int64_t max_users;
	char *topics_file;
	int64_t topics_replication; /* 0: the brokers' default */
	struct events_settings events;
};

extern const struct config_entry settings_config[];

/* service_spec.check; finds the slot when only the host's name tells it. */
bool settings_check(void *settings, struct err *err);
/* The number at the end of a StatefulSet's host name. Pure. */
bool settings_slot_of(const char *hostname, int64_t *slot)
	__attribute__((warn_unused_result));

#endif
