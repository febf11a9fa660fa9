/*
 * reservation_plan.h - decides many reservations in one go: whole orders in the
 * order of their arrival, each by the stock that those before it left.  Pure.
 *
 *   plan_round -> plan_found for each product -> plan_decide -> plan_settle
 *
 * A round never holds the same id twice.  The second request for an id gets the
 * answer of the first, or waits for the next round.
 */
#ifndef PRODUCT_SVC_RESERVATION_PLAN_H
#define PRODUCT_SVC_RESERVATION_PLAN_H

#include "reservation.h"

enum reserve_end {
	RESERVE_OK,          /* the reservation is filled in; also when it was there */
	RESERVE_NO_PRODUCT,  /* `line` */
	RESERVE_SHORT,       /* `line` */
	RESERVE_IN_PROGRESS, /* pending ones under the same key hold what is missing */
	RESERVE_RELEASED,    /* the id was given up before */
	RESERVE_DIFFERS      /* the id was used with other lines */
};

/* One request to reserve, and its answer. */
struct reserve {
	struct reservation *res;
	void *owner;
	enum reserve_end end;
	bool replayed; /* RESERVE_OK: it was there before */
	unsigned line;
	/* private */
	size_t arrival;
	bool decided;
};

/* A product that somebody in the round wants. */
struct plan_product {
	const char *id;  /* of one of its lines */
	size_t first, n; /* its lines, in plan->lines */
	bool found;
	int64_t stock; /* running */
	int64_t taken;
};

struct plan {
	struct reserve **all; /* by id, then by arrival; the caller's */
	size_t n_all;
	/* This round's, owned by the plan. */
	struct reserve **members; /* by id; of each id the first undecided one */
	struct reserve **turns;   /* the same by arrival */
	size_t n;
	struct reservation_line **lines; /* of all of them, by product */
	size_t n_lines;
	struct plan_product *products; /* by id */
	size_t n_products;
};

/* `all` gets sorted. Nobody is decided yet. */
void plan_init(struct plan *plan, struct reserve **all, size_t n);
void plan_fini(struct plan *plan);

/* Takes up those who may be decided together; false: nobody is left. */
bool plan_round(struct plan *plan);

/* What the locked row says; those never told do not exist. */
void plan_found(struct plan *plan, size_t product, struct str name, int64_t unit_price,
		int64_t stock);

/* Fills end, line and state. Both may be repeated: plan_forget() comes before the
 * plan_found() calls of another try. */
void plan_forget(struct plan *plan);
void plan_decide(struct plan *plan);

/* Pending reservations outside of this round hold `quantity` under `key_hash`:
 * of interest to those who are short.  Call plan_judge() after the last. */
void plan_held(struct plan *plan, struct str key_hash, struct str product_id,
	       int64_t quantity);
/* RESERVE_SHORT becomes RESERVE_IN_PROGRESS where a twin holds what is missing. */
void plan_judge(struct plan *plan);

/* The round's answers stand, also for those who asked for the same. */
void plan_settle(struct plan *plan);

#endif
