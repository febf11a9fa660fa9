/* settings.h - what product-svc can be told by its environment. */
#ifndef PRODUCT_SVC_SETTINGS_H
#define PRODUCT_SVC_SETTINGS_H

#include "auth.h"
#include "catalogue.h"
#include "config.h"
#include "db.h"
#include "events.h"
#include "reservation_repo.h"

struct settings {
	char *listen, *internal_url, *orders_topic, *group;
	int64_t janitor_interval_ms;
	int64_t search_conns, search_queue;
	struct reserve_limits reserve;
	struct catalogue_settings catalogue;
	struct db_settings db;
	struct auth_settings auth;
	struct events_settings events;
};

extern const struct config_entry settings_config[];

#endif
