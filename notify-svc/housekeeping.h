/* housekeeping.h - deletes old notifications, so that the table stays bounded. */
#ifndef NOTIFY_SVC_HOUSEKEEPING_H
#define NOTIFY_SVC_HOUSEKEEPING_H

#include "db.h"

struct housekeeping;

struct housekeeping *housekeeping_new(struct loop *loop, struct db_pool *db,
				      int64_t keep_days, int64_t every_ms,
				      struct metrics *metrics);
/* Free the database pool before: it ends what is under way. */
void housekeeping_free(struct housekeeping *hk); /* accepts NULL */

#endif
