/*
 * partition_state.c - what one event changes: user, window, watermark.
 *
 * The watermark is the latest event time seen, except times too far ahead of
 * our clock. A window is final 10 s behind it, correctable for 24 h behind it,
 * and then folded into the totals; what comes later still is "late".
 */
#include <stdlib.h>

#include "state_internal.h"
#include "str.h"

struct state {
	int32_t partition;
	size_t max_users;
	struct user_table users;
	struct window_list windows;
	struct totals totals, totals_before;
};

struct state *state_new(int32_t partition, size_t max_users)
{
	struct state *state = xcalloc(1, sizeof(*state));

	state->partition = partition;
	state->max_users = max_users;
	state->totals.watermark_ms = -1;
	state->totals.next = -1;
	return state;
}

void state_free(struct state *state)
{
	if (!state)
		return;
	user_table_fini(&state->users);
	window_list_fini(&state->windows);
	free(state);
}

int32_t state_partition(const struct state *state)
{
	return state->partition;
}

void sum_add(int64_t *sum, int64_t n)
{
	*sum += n;
	if (*sum > STATE_MAX_CENTS)
		*sum = STATE_MAX_CENTS;
	if (*sum < -STATE_MAX_CENTS)
		*sum = -STATE_MAX_CENTS;
}

static struct totals *touch_totals(struct state *state)
{
	if (!state->totals.touched) {
		state->totals_before = state->totals;
		state->totals.touched = true;
		state->totals.version++;
	}
	return &state->totals;
}

/* ---- windows ---- */

static int64_t window_start_s(int64_t time_ms)
{
	return time_ms / STATE_WINDOW_MS * (STATE_WINDOW_MS / 1000);
}

static bool too_old(const struct state *state, int64_t start_s)
{
	int64_t watermark = state->totals.watermark_ms;

	return watermark >= 0 && window_end_ms(start_s) + STATE_CORRECT_MS <= watermark;
}

static void count_window(struct state *state, struct user *user, int64_t start_s,
			 const struct order_event *event)
{
	struct window *win = window_touch(&state->windows, start_s);

	if (event->type == ORDER_CANCELLED) {
		win->cancelled++;
		sum_add(&win->refunded, event->cents);
		return;
	}
	win->orders++;
	sum_add(&win->revenue, event->cents);
	/* Only the last window is remembered, so events out of order may leave a
	 * user uncounted, and never count one twice. */
	if (start_s > user->window_s) {
		win->users++;
		user->window_s = start_s;
	}
}

static void count_late(struct state *state, const struct order_event *event)
{
	struct sums *late = &touch_totals(state)->late;

	if (event->type == ORDER_CANCELLED) {
		late->cancelled++;
		sum_add(&late->refunded, event->cents);
	} else {
		late->orders++;
		sum_add(&late->revenue, event->cents);
	}
}

static void count_user(struct user *user, const struct order_event *event,
		       int64_t time_ms)
{
	if (event->type == ORDER_CANCELLED) {
		user->orders--;
		sum_add(&user->cents, -event->cents);
		return;
	}
	user->orders++;
	sum_add(&user->cents, event->cents);
	if (time_ms > user->last_order_ms)
		user->last_order_ms = time_ms;
}

/* ---- one event ---- */

/* An event without seq is known by its order. */
static enum outcome admit_order(struct state *state, const struct user *user,
				const struct order_event *event)
{
	int64_t id = event->type == ORDER_CANCELLED ? -event->order_id : event->order_id;

	if (user && user_recent_has(user, id))
		return OUTCOME_DUPLICATE;
	user_recent_add(user_touch(&state->users, event->user_id), id);
	return OUTCOME_COUNTED;
}

static enum outcome admit_seq(struct state *state, const struct user *user,
			      const struct order_event *event, struct applied *applied)
{
	/* A copy: the user is only touched when something changes. */
	struct seq_window win = user ? user->seq : (struct seq_window){0};

	switch (seq_window_take(&win, event->seq, &applied->lost,
				&applied->first_beyond)) {
	case SEQ_DUPLICATE: return OUTCOME_DUPLICATE;
	case SEQ_JUMP: return OUTCOME_JUMP;
	case SEQ_NEW: break;
	}
	user_touch(&state->users, event->user_id)->seq = win;
	return OUTCOME_COUNTED;
}

/* Takes the event's number (or order id) in; COUNTED: it is to be counted. */
static enum outcome admit(struct state *state, const struct order_event *event,
			  struct applied *applied)
{
	const struct user *user = user_find(&state->users, event->user_id);

	if (!user && state->users.count >= state->max_users)
		return OUTCOME_FULL;
	if (event->seq == 0)
		return admit_order(state, user, event);
	return admit_seq(state, user, event, applied);
}

/* Totals, window and watermark of an event that is new. */
static void count(struct state *state, const struct order_event *event, int64_t now_ms,
		  struct applied *applied)
{
	bool ahead = event->time_ms > now_ms + STATE_AHEAD_MS;
	int64_t time_ms = ahead ? now_ms : event->time_ms;
	int64_t start_s = window_start_s(time_ms);
	struct user *user = user_touch(&state->users, event->user_id);

	count_user(user, event, time_ms);
	applied->late = too_old(state, start_s);
	if (applied->late)
		count_late(state, event);
	else
		count_window(state, user, start_s, event);
	if (!ahead && time_ms > state->totals.watermark_ms)
		touch_totals(state)->watermark_ms = time_ms;
}

void state_apply(struct state *state, const struct order_event *event, int64_t now_ms,
		 struct applied *applied)
{
	bool other = event->type == ORDER_OTHER;

	*applied = (struct applied){.outcome = OUTCOME_IGNORED};
	if (other && (event->user_id == 0 || event->seq == 0))
		return;
	applied->outcome = admit(state, event, applied);
	if (applied->outcome != OUTCOME_COUNTED)
		return;
	if (other)
		applied->outcome = OUTCOME_IGNORED;
	else
		count(state, event, now_ms, applied);
}

void state_consumed(struct state *state, int64_t next_offset)
{
	touch_totals(state)->next = next_offset;
}

/* ---- closing ---- */

static bool final_due(const struct state *state, const struct window *win, int64_t now_ms,
		      bool idle)
{
	int64_t end = window_end_ms(win->start_s);

	if (win->final || win->folded)
		return false;
	return state->totals.watermark_ms >= end + STATE_GRACE_MS ||
	       (idle && now_ms >= end);
}

/* Windows are sorted, so the oldest that is not folded in this transaction tells. */
static bool fold_due(const struct state *state)
{
	for (size_t i = 0; i < state->windows.count; i++) {
		if (!state->windows.at[i]->folded)
			return too_old(state, state->windows.at[i]->start_s);
	}
	return false;
}

static void fold(struct state *state, struct window *win)
{
	struct sums *folded = &touch_totals(state)->folded;

	folded->orders += win->orders;
	sum_add(&folded->revenue, win->revenue);
	folded->cancelled += win->cancelled;
	sum_add(&folded->refunded, win->refunded);
	win->folded = true;
}

bool state_close_due(const struct state *state, int64_t now_ms, bool idle)
{
	for (size_t i = 0; i < state->windows.count; i++) {
		if (final_due(state, state->windows.at[i], now_ms, idle))
			return true;
	}
	return fold_due(state);
}

void state_close(struct state *state, int64_t now_ms, bool idle)
{
	struct window_list *list = &state->windows;

	for (size_t i = 0; i < list->count; i++) {
		struct window *win = list->at[i];

		if (!win->folded && too_old(state, win->start_s))
			fold(state, window_touch(list, win->start_s));
		else if (final_due(state, win, now_ms, idle))
			window_touch(list, win->start_s)->final = true;
	}
}

/* ---- the transaction ---- */

void state_each_touched(const struct state *state, const struct state_visitor *visitor)
{
	for (size_t i = 0; visitor->user && i < state->users.n_undo; i++)
		visitor->user(state->users.undo[i].user, visitor->arg);
	for (size_t i = 0; visitor->window && i < state->windows.n_undo; i++)
		visitor->window(state->windows.undo[i].win, state->partition,
				visitor->arg);
	if (visitor->totals && state->totals.touched)
		visitor->totals(&state->totals, state->partition, visitor->arg);
}

size_t state_touched(const struct state *state)
{
	return state->users.n_undo + state->windows.n_undo + state->totals.touched;
}

void state_commit(struct state *state)
{
	user_table_commit(&state->users);
	window_list_commit(&state->windows);
	state->totals.touched = false;
}

void state_rollback(struct state *state)
{
	user_table_rollback(&state->users);
	window_list_rollback(&state->windows);
	if (state->totals.touched)
		state->totals = state->totals_before;
}

/* ---- restoring, and looking ---- */

void state_load_user(struct state *state, const struct user *user)
{
	struct user *mine = user_find(&state->users, user->user_id);
	struct user *next;

	if (!mine)
		mine = user_insert(&state->users, user->user_id);
	next = mine->next;
	free(mine->recent);
	*mine = *user;
	mine->next = next;
	mine->touched = false;
	mine->recent = NULL;
	if (user->recent)
		*user_recent(mine) = *user->recent;
}

void state_load_window(struct state *state, const struct window *win)
{
	struct window *mine = window_find(&state->windows, win->start_s);

	if (!mine)
		mine = window_insert(&state->windows, win->start_s);
	*mine = *win;
	mine->touched = mine->folded = false;
}

void state_load_totals(struct state *state, const struct totals *totals)
{
	state->totals = *totals;
	state->totals.touched = false;
}

void state_drop_window(struct state *state, int64_t start_s)
{
	window_remove(&state->windows, start_s);
}

const struct user *state_user(const struct state *state, int64_t user_id)
{
	return user_find(&state->users, user_id);
}

const struct window *state_window(const struct state *state, int64_t start_s)
{
	return window_find(&state->windows, start_s);
}

const struct totals *state_totals(const struct state *state)
{
	return &state->totals;
}

size_t state_users(const struct state *state)
{
	return state->users.count;
}

size_t state_windows(const struct state *state)
{
	return state->windows.count;
}
