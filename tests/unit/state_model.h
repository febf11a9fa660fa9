/*
 * state_model.h - what the processor's state of a partition must be, by the
 * plainest rules: a list of what was consumed and closed, and sums over it.
 *
 * Nothing is kept but the list; every answer goes through all of it.  Undoing is
 * forgetting its end.
 */
#ifndef TESTS_UNIT_STATE_MODEL_H
#define TESTS_UNIT_STATE_MODEL_H

#include "processor/state.h"

enum entry_kind { ENTRY_EVENT, ENTRY_FINAL, ENTRY_FOLD };

struct entry {
	enum entry_kind kind;
	unsigned txn; /* number of the transaction it belongs to */
	/* ENTRY_EVENT: a record and what became of it. */
	struct order_event event;
	enum outcome outcome;
	bool took;       /* its number or order id was new */
	bool ahead;      /* its time is not believed */
	int64_t time_ms; /* that counts */
	bool late;
	int64_t next; /* offset behind it */
	/* Of the event's window, or the window that was closed. */
	int64_t start_s;
};

struct state_model {
	struct entry *all; /* owned */
	size_t n, cap, committed;
	unsigned txn;
	size_t max_users;
};

void state_model_init(struct state_model *model, size_t max_users);
void state_model_fini(struct state_model *model);

/* Takes one record in; tells what state_apply() has to say. */
void state_model_take(struct state_model *model, const struct order_event *event,
		      int64_t now_ms, int64_t next, struct applied *applied);
bool state_model_close_due(const struct state_model *model, int64_t now_ms, bool idle);
void state_model_close(struct state_model *model, int64_t now_ms, bool idle);
void state_model_commit(struct state_model *model);
void state_model_rollback(struct state_model *model); /* also for a crash */

/* false: there is none such. */
bool state_model_user(const struct state_model *model, int64_t user_id, struct user *user,
		      struct recent *recent);
bool state_model_window(const struct state_model *model, int64_t start_s,
			struct window *win);
void state_model_totals(const struct state_model *model, struct totals *totals);
/* The starts of all windows that ever were, each once; at most `max`. */
size_t state_model_starts(const struct state_model *model, int64_t *starts, size_t max);
/* How many objects are in it; how many this transaction touched. */
size_t state_model_users(const struct state_model *model);
size_t state_model_windows(const struct state_model *model);
size_t state_model_touched(const struct state_model *model);
/* Was this number taken in, or given up, for the user? */
bool state_model_closed(const struct state_model *model, int64_t user_id,
			uint64_t number);

#endif
