/*
 * reservation_repo.h - SQL <-> reservation.
 *
 * One reservation per call, each with its own outcome: how many of them share a
 * transaction is this module's business.  Calls work like those of
 * product_repo.h.  Locks are always taken in the same order: reservations by
 * id, then products by id.
 */
#ifndef PRODUCT_SVC_RESERVATION_REPO_H
#define PRODUCT_SVC_RESERVATION_REPO_H

#include "db.h"
#include "reservation.h"

enum reserve_end {
	RESERVE_OK,          /* the reservation is filled in; also when it was there */
	RESERVE_NO_PRODUCT,  /* `line` */
	RESERVE_SHORT,       /* `line` */
	RESERVE_IN_PROGRESS, /* pending ones under the same key hold what is missing */
	RESERVE_RELEASED,    /* the id was given up before */
	RESERVE_DIFFERS      /* the id was used with other lines */
};

struct reserve {
	struct reservation *res;
	void *owner;
	enum reserve_end end;
	bool replayed; /* RESERVE_OK: it was there before */
	unsigned line;
	bool duplicate; /* private */
};
void reservation_repo_reserve(struct db_pool *pool, struct reserve *reserve,
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

/* What became of orders: confirm, or return the stock, each once. */
struct order_move {
	char reservation_id[ID_HEX_LEN + 1];
	int64_t order_id; /* 0: not known yet */
	bool cancelled;
};
struct order_moves {
	struct order_move *moves; /* each reservation once; gets sorted */
	size_t n;
	void *owner;
	/* How many: changed; not there; released although an order needs them. */
	unsigned confirmed, returned, unknown, lost;
};
void reservation_repo_move(struct db_pool *pool, struct order_moves *moves, db_done done);

/* Pending ones past their expiry by the database's clock, oldest first. */
#define OVERDUE_MAX 50
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
