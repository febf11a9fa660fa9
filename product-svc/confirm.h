/*
 * confirm.h - learns from orders-events what became of reservations.
 */
#ifndef PRODUCT_SVC_CONFIRM_H
#define PRODUCT_SVC_CONFIRM_H

#include "db.h"
#include "events.h"
#include "metrics.h"

struct confirm;

/* Reads `topic` as a member of `group`; both valid as long as this. */
struct confirm *confirm_new(struct loop *loop, struct db_pool *db,
			    const struct events_settings *events, const char *topic,
			    const char *group, struct metrics *metrics, struct err *err);
/* Takes no further batch; the one under way ends with the database pool. */
void confirm_stop(struct confirm *confirm);
/* After the database pool is gone. */
void confirm_free(struct confirm *confirm);

#endif
