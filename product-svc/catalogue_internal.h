/*
 * catalogue_internal.h - the copy's state: catalogue.c keeps it true, catalogue_read.c
 * answers from it.
 */
#ifndef PRODUCT_SVC_CATALOGUE_INTERNAL_H
#define PRODUCT_SVC_CATALOGUE_INTERNAL_H

#include "catalogue.h"
#include "catalogue_repo.h"

struct catalogue_waiter {
	loop_fn fn;
	void *arg;
	struct catalogue_waiter *next;
};

struct catalogue {
	struct loop *loop;
	struct db_pool *db;
	struct catalogue_settings cfg;
	struct loop_timer *tick;
	bool stopped;
	bool off; /* there is no copy, for good */

	struct catalogue_index *index;   /* NULL: not loaded yet */
	struct catalogue_index *loading; /* NULL: no load goes on */
	int64_t known;      /* number of the last change in the copy, or in the load */
	int64_t checked_ms; /* monotonic; begin of the last look that saw all */
	uint64_t checked;   /* its clock */
	int64_t away_ms;    /* monotonic; since when looks fail; 0: they do not */

	uint64_t clock;
	uint64_t changed;    /* when this process last changed the catalogue */
	uint64_t moved;      /* when stock last moved */
	unsigned move_looks; /* left until the tick */

	bool looking;
	int64_t look_ms;
	uint64_t look_clock;
	uint64_t looks_begun;
	struct catalogue_look look;
	/* Whose stock the look reads, and the next one is to. */
	char ids[2][LOOK_IDS][PRODUCT_ID_MAX + 1];
	unsigned filling; /* which of the two */
	size_t n_wanted;

	struct catalogue_waiter *now,
		*next; /* for the look on its way; for the one after */
	struct metric *hits, *waits, *stale, *misses, *looks, *failed, *products, *bytes,
		*age;
};

#endif
