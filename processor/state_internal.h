/* state_internal.h - what partition_state.c, user_state.c and window_state.c share. */
#ifndef PROCESSOR_STATE_INTERNAL_H
#define PROCESSOR_STATE_INTERNAL_H

#include "state.h"

/* ---- user_state.c: a hash table with an undo log ---- */

struct user_undo {
	struct user *user;
	struct user before; /* with a copy of `recent`, owned */
	bool created;       /* by this transaction */
};

struct user_table {
	struct user **bucket;
	size_t buckets, count;
	struct user_undo *undo;
	size_t n_undo, cap_undo;
};

struct user *user_find(const struct user_table *table, int64_t user_id);
/* Ready for a change; made when it does not exist. */
struct user *user_touch(struct user_table *table, int64_t user_id);
struct user *user_insert(struct user_table *table, int64_t user_id);
struct recent *user_recent(struct user *user);
bool user_recent_has(const struct user *user, int64_t id);
void user_recent_add(struct user *user, int64_t id); /* a touched user */
void user_table_commit(struct user_table *table);
void user_table_rollback(struct user_table *table);
void user_table_fini(struct user_table *table);

/* ---- window_state.c: sorted by start, with an undo log ---- */

struct window_undo {
	struct window *win;
	struct window before;
	bool created;
};

struct window_list {
	struct window **at; /* ascending start_s */
	size_t count, cap;
	struct window_undo *undo;
	size_t n_undo, cap_undo;
};

struct window *window_find(const struct window_list *list, int64_t start_s);
struct window *window_touch(struct window_list *list, int64_t start_s);
struct window *window_insert(struct window_list *list, int64_t start_s);
void window_remove(struct window_list *list, int64_t start_s);
void window_list_commit(struct window_list *list);
void window_list_rollback(struct window_list *list);
void window_list_fini(struct window_list *list);
int64_t window_end_ms(int64_t start_s);

/* ---- partition_state.c ---- */

/* Adds within +-STATE_MAX_CENTS. */
void sum_add(int64_t *sum, int64_t n);

#endif
