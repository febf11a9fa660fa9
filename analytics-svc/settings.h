/* settings.h - what analytics-svc can be told by its environment. */
#ifndef ANALYTICS_SVC_SETTINGS_H
#define ANALYTICS_SVC_SETTINGS_H

#include "auth.h"
#include "config.h"
#include "events.h"

struct settings {
	char *listen, *internal_url;
	char *results_topic;
	int64_t max_users, max_streams;
	struct auth_settings auth;
	struct events_settings events;
};

extern const struct config_entry settings_config[];

#endif
