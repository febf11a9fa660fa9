/* settings.h - what notify-svc can be told by its environment. */
#ifndef NOTIFY_SVC_SETTINGS_H
#define NOTIFY_SVC_SETTINGS_H

#include "auth.h"
#include "config.h"
#include "db.h"
#include "events.h"
#include "smtp.h"

struct settings {
	char *listen, *internal_url;
	char *orders_topic, *group;
	struct smtp_settings smtp;
	int64_t mail_rate, mail_max_tries, mail_max_pending;
	int64_t keep_days, sweep_every_ms;
	struct db_settings db;
	struct auth_settings auth;
	struct events_settings events;
};

extern const struct config_entry settings_config[];

#endif
