/* settings.h - what order-svc can be told by its environment. */
#ifndef ORDER_SVC_SETTINGS_H
#define ORDER_SVC_SETTINGS_H

#include "auth.h"
#include "config.h"
#include "db.h"
#include "events.h"
#include "order_repo.h"

struct settings {
	char *listen, *internal_url;
	int64_t reservation_ttl_s, max_placing, reserve_calls;
	struct order_repo_config repo;
	char *orders_topic;
	int64_t relay_threads, relay_batch, relay_poll_ms, sweep_every_ms;
	struct db_settings db;
	struct auth_settings auth;
	struct events_settings events;
};

extern const struct config_entry settings_config[];

#endif
