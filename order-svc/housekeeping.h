/* housekeeping.h - deletes what nobody can ask about any more. */
#ifndef ORDER_SVC_HOUSEKEEPING_H
#define ORDER_SVC_HOUSEKEEPING_H

#include "order_repo.h"

struct housekeeping;

/* `repo` must outlive it. */
struct housekeeping *housekeeping_new(struct loop *loop, struct order_repo *repo,
				      int64_t reservation_ttl_s, int64_t every_ms);
/* Only after the database pool has ended its jobs. */
void housekeeping_free(struct housekeeping *hk);

#endif
