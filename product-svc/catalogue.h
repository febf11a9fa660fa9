/*
 * catalogue.h - the copy of the catalogue in memory, from which reads are answered.
 *
 * One "look" at the database after another keeps it true (catalogue.c).  What it
 * promises to who reads:
 *
 *  - What other instances changed shows within twice `poll_ms`, products and stock
 *    alike.  A look that began after the request makes the answer exact.
 *  - What this process changed shows at once: changes of the catalogue wait for a
 *    look before they are answered, moves of stock make the next readers wait for
 *    one (while few do; beyond that the first promise holds).
 *  - With the database away the copy answers for `stale_ms` and says how old it is.
 *
 * Orders never rely on it.  All on the loop.
 */
#ifndef PRODUCT_SVC_CATALOGUE_H
#define PRODUCT_SVC_CATALOGUE_H

#include "catalogue_index.h"
#include "db.h"

struct catalogue_settings {
	int64_t poll_ms, stale_ms;
	int64_t max_kib; /* 0: no copy */
};

struct catalogue;

struct catalogue *catalogue_new(struct loop *loop, struct db_pool *db,
				const struct catalogue_settings *cfg,
				struct metrics *metrics);
/* No more looks of its own accord; before the pool goes. */
void catalogue_stop(struct catalogue *catalogue);
void catalogue_free(struct catalogue *catalogue); /* after the pool went */

enum catalogue_answer {
	CATALOGUE_HIT,     /* it is here */
	CATALOGUE_WAIT,    /* catalogue_wait(), then ask again with `since` */
	CATALOGUE_DATABASE /* it is not here: ask the database */
};

/* How one reader asks, and what it is told. Starts as {0}. */
struct catalogue_reader {
	bool exact;     /* nothing older than the request will do */
	uint64_t since; /* 0, or what catalogue_wait() returned */
	/* answers of CATALOGUE_HIT */
	bool stale; /* the database is away, and this is `age_s` old */
	int64_t age_s;
};

/* `*entry` is valid until the handler returns. */
enum catalogue_answer catalogue_find(struct catalogue *catalogue, struct str id,
				     struct catalogue_reader *reader,
				     struct catalogue_entry **entry);
/* The products after `after`: `*first`, `*n` of them, at most `limit`. */
enum catalogue_answer catalogue_page(struct catalogue *catalogue, struct str after,
				     size_t limit, struct catalogue_reader *reader,
				     struct catalogue_entry ***first, size_t *n,
				     bool *more);

/* Calls `fn` once, later, when a look that began after this call has ended, or when
 * that takes too long. */
uint64_t catalogue_wait(struct catalogue *catalogue, loop_fn fn, void *arg);
/* The same after this process has changed the catalogue. Readers wait, too, until a look
 * has seen all of it: this one may have failed, or met too many changes. */
void catalogue_changed(struct catalogue *catalogue, loop_fn fn, void *arg);

/* This process has changed somebody's stock. */
void catalogue_stock_moved(struct catalogue *catalogue);

#endif
