/*
 * reservation_repo.h - SQL <-> reservation.
 *
 * One reservation per call, each with its own outcome: those that wait while a
 * transaction commits share the next one (common/batch.h).  Calls work like
 * those of product_repo.h.  Locks are always taken in the same order: reservations by
 * id, then products by id.
 */
#ifndef PRODUCT_SVC_RESERVATION_REPO_H
#define PRODUCT_SVC_RESERVATION_REPO_H

#include "batch.h"
#include "reservation_move.h"
#include "reservation_plan.h"

/* Reserving has lanes of its own: its orders share transactions. */
struct reserve_limits {
	int64_t lanes, batch, queue;
};
/* NULL: `err`. Ended by batch_free(), before the pool. */
struct batch_stage *reservation_repo_stage(struct loop *loop, struct db_pool *pool,
					   const struct reserve_limits *limits,
					   struct metrics *metrics, struct err *err);
/* The stage's function, of members that are struct reserve; see batch_fn. */
bool reservation_reserve_many(struct db_conn *conn, void **members, size_t n,
			      struct err *err) __attribute__((warn_unused_result));
/* ERR_BUSY: nothing is held. Any other error leaves it open. */
void reservation_repo_reserve(struct batch_stage *stage, struct reserve *reserve,
			      db_done done);

/* Gives the stock of a pending one back; remembers an unknown id as released.
 * Only after its order was fenced. */
struct release {
	char id[ID_HEX_LEN + 1];
	void *owner;
	enum reservation_state state; /* now */
	bool changed;                 /* by this call */
	bool again;                   /* private */
};
void reservation_repo_release(struct db_pool *pool, struct release *release,
			      db_done done);

/* What became of orders: each change of state once, all in one transaction.  On
 * error nothing is changed, or all of it is, so it may be repeated. */
struct order_moves {
	struct order_move *moves; /* get sorted, and one a reservation */
	size_t n;
	void *owner;
	/* How many: changed, by kind; not there; released although ordered. */
	unsigned changed[MOVE_RELEASE + 1], unknown, lost;
};
void reservation_repo_move(struct db_pool *pool, struct order_moves *moves, db_done done);

/* Pending ones past their expiry by the database's clock, oldest first. */
#define OVERDUE_MAX DB_MANY_MAX
struct overdue {
	void *owner;
	size_t n;
	char ids[OVERDUE_MAX][ID_HEX_LEN + 1];
};
void reservation_repo_overdue(struct db_pool *pool, struct overdue *overdue,
			      db_done done);

/* Deletes one bounded batch of released ones whose fence is long settled. */
struct sweep {
	void *owner;
	bool more;
};
void reservation_repo_sweep(struct db_pool *pool, struct sweep *sweep, db_done done);

#endif
