/* app.h - everything a handler may use, and the handlers themselves. */
#ifndef ORDER_SVC_APP_H
#define ORDER_SVC_APP_H

#include <sys/queue.h>

#include "auth.h"
#include "http.h"
#include "http_client.h"
#include "order_repo.h"
#include "relay.h"
#include "reservations.h"
#include "service.h"
#include "settings.h"
#include "twins.h"
#include "users.h"

/* How orders end; shop_orders_total{result}. */
struct order_counters {
	struct metric *placed, *replayed, *refused, *undone, *fenced, *cancelled;
};

TAILQ_HEAD(placement_list, placement);

struct app {
	struct settings cfg;
	struct loop *loop;
	struct db_pool *db;
	struct order_repo *repo;
	struct http_client *internal; /* the gateway's internal listener */
	struct auth *auth;
	struct reservations *reservations;
	struct users *users;
	struct twins *twins;
	struct relay *relay;
	struct housekeeping *housekeeping;
	struct http_server *http;
	struct order_counters counters;
	int64_t placing;               /* of place.c: orders under way */
	struct placement_list pausing; /* of undo.c */
	bool stopping;                 /* flows must not start anything any more */
};

/* The life of the process; see service_spec. */
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);

extern const struct http_route order_routes[];

/* POST /api/orders (place.c), POST /api/orders/:id/cancel (cancel.c),
 * PUT /internal/outcomes/:id (internal_http.c) */
void place_order(struct http_req *req, void *arg);
void cancel_order(struct http_req *req, void *arg);
void settle_outcome(struct http_req *req, void *arg);

/* Answers those that pause before they try something again (undo.c). */
void undo_stop(struct app *app);

void counters_init(struct order_counters *counters, struct metrics *metrics);

/* Who is calling? An anonymous caller passes in demo mode only. */
bool caller_of(struct app *app, struct http_req *req, struct caller *caller,
	       struct err *err) __attribute__((warn_unused_result));
/* May they see and cancel an order of this user? To others it does not exist. */
bool caller_owns(struct app *app, const struct caller *caller, int64_t user_id,
		 struct err *err) __attribute__((warn_unused_result));

#endif
