/* settings.h - what the processor can be told by its environment. */
#ifndef PROCESSOR_SETTINGS_H
#define PROCESSOR_SETTINGS_H

#include "config.h"
#include "events.h"

struct settings {
	int64_t slot;
	char *group;
	char *orders_topic, *results_topic, *dlq_topic;
	int64_t commit_interval_ms, restore_timeout_ms;
	int64_t max_users;
	struct events_settings events;
};

extern const struct config_entry settings_config[];

#endif
