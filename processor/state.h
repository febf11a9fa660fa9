/*
 * state.h - what the processor knows about one partition of orders-events.
 *
 * All values are absolute (totals, not differences), so that writing them out
 * twice is harmless.  Changes belong to the open transaction: the first change
 * of an object in it keeps a copy, so that an aborted transaction is undone
 * exactly.
 *
 *   state_apply()... state_close()   change things and mark them as touched
 *   state_each_touched()             what the transaction has to write
 *   state_commit() | state_rollback()
 *
 * Pure: no I/O, no clock; `now_ms` is the wall clock given by the caller.
 */
#ifndef PROCESSOR_STATE_H
#define PROCESSOR_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "order_event.h"
#include "seq_window.h"

#define STATE_WINDOW_MS  60000
#define STATE_GRACE_MS   10000      /* after a window's end until it is final */
#define STATE_CORRECT_MS 86400000LL /* that long it can still be corrected */
#define STATE_AHEAD_MS   300000     /* a clock may be this far ahead of ours */
#define STATE_RECENT     16         /* order ids kept of events without seq */
/* Sums stop here; what JSON readers keep exactly in a double. */
#define STATE_MAX_CENTS 4000000000000000LL

/* Oldest first. A cancellation stands as the negative order id. */
struct recent {
	unsigned n;
	int64_t id[STATE_RECENT];
};

struct user {
	int64_t user_id;
	int64_t version; /* rises with each transaction that touches the user */
	int64_t orders, cents;
	int64_t last_order_ms; /* -1: no order yet */
	int64_t window_s;      /* start of the last window counted in; 0: none */
	struct seq_window seq;
	struct recent *recent; /* NULL: never an event without seq; owned */
	struct user *next;     /* in its bucket */
	bool touched;
};

struct window {
	int64_t start_s, version;
	int64_t orders, revenue;     /* gross, by the time of the order */
	int64_t cancelled, refunded; /* by the time of the cancellation */
	int64_t users;
	bool final;
	bool touched;
	bool folded; /* its sums are in the totals, the record is to be deleted */
};

struct sums {
	int64_t orders, revenue, cancelled, refunded;
};

struct totals {
	int64_t version;
	int64_t watermark_ms; /* -1: none */
	int64_t next;         /* offset of the first record not counted; -1: none */
	struct sums late;     /* came when their window was already folded */
	struct sums folded;   /* of windows older than STATE_CORRECT_MS */
	bool touched;
};

struct state;

struct state *state_new(int32_t partition, size_t max_users);
void state_free(struct state *state); /* accepts NULL */
int32_t state_partition(const struct state *state);

/* ---- one event ---- */

enum outcome {
	OUTCOME_COUNTED,
	OUTCOME_DUPLICATE,
	OUTCOME_IGNORED, /* a type that we do not know */
	OUTCOME_JUMP,    /* seq far beyond; nothing changed */
	OUTCOME_FULL     /* a new user beyond the cap; nothing changed */
};

struct applied {
	enum outcome outcome;
	bool late;
	bool first_beyond;    /* see seq_window_take() */
	struct seq_lost lost; /* numbers given up by this event */
};

void state_apply(struct state *state, const struct order_event *event, int64_t now_ms,
		 struct applied *applied);

/* Every record consumed, also those that count for nothing. */
void state_consumed(struct state *state, int64_t next_offset);

/* Marks windows final that the watermark has passed (`idle`: that the clock
 * has passed, because no input comes) and folds those too old for corrections. */
void state_close(struct state *state, int64_t now_ms, bool idle);
/* Is there a window that state_close() would change? */
bool state_close_due(const struct state *state, int64_t now_ms, bool idle);

/* ---- the transaction ---- */

/* NULL: not wanted. */
struct state_visitor {
	void (*user)(const struct user *user, void *arg);
	void (*window)(const struct window *win, int32_t partition, void *arg);
	void (*totals)(const struct totals *totals, int32_t partition, void *arg);
	void *arg;
};

/* Everything touched since the last commit. */
void state_each_touched(const struct state *state, const struct state_visitor *visitor);
size_t state_touched(const struct state *state);
void state_commit(struct state *state);
void state_rollback(struct state *state);

/* ---- restoring, and looking ---- */

/* Takes the object as it is; replaces an older one. `user->recent` is copied. */
void state_load_user(struct state *state, const struct user *user);
void state_load_window(struct state *state, const struct window *win);
void state_load_totals(struct state *state, const struct totals *totals);
void state_drop_window(struct state *state, int64_t start_s); /* its tombstone */

const struct user *state_user(const struct state *state, int64_t user_id);
const struct window *state_window(const struct state *state, int64_t start_s);
const struct totals *state_totals(const struct state *state);
size_t state_users(const struct state *state);
size_t state_windows(const struct state *state);

#endif
