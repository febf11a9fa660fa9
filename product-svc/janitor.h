/*
 * janitor.h - reservations past their expiry: for crashes only, since order-svc
 * gives back at once what it does not need.
 */
#ifndef PRODUCT_SVC_JANITOR_H
#define PRODUCT_SVC_JANITOR_H

#include "db.h"
#include "http_client.h"
#include "loop.h"
#include "metrics.h"

struct janitor;

/* `authorization` is that of our own calls; valid as long as the janitor. */
struct janitor *janitor_new(struct loop *loop, struct db_pool *db,
			    struct http_client *internal, const char *authorization,
			    int64_t interval_ms, struct metrics *metrics);
/* Starts nothing any more; what is under way ends with the client and the pool. */
void janitor_stop(struct janitor *janitor);
/* After client and pool are gone. */
void janitor_free(struct janitor *janitor);

#endif
