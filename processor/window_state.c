/*
 * window_state.c - the one-minute windows of a partition, sorted by their start
 * (at most a day of them), whose changes can be undone.
 */
#include <stdlib.h>
#include <string.h>

#include "state_internal.h"
#include "str.h"

int64_t window_end_ms(int64_t start_s)
{
	return start_s * 1000 + STATE_WINDOW_MS;
}

/* Index of the first window that does not start before `start_s`. */
static size_t lower_bound(const struct window_list *list, int64_t start_s)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->at[middle]->start_s < start_s)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct window *window_find(const struct window_list *list, int64_t start_s)
{
	size_t i = lower_bound(list, start_s);

	return i < list->count && list->at[i]->start_s == start_s ? list->at[i] : NULL;
}

struct window *window_insert(struct window_list *list, int64_t start_s)
{
	size_t i = lower_bound(list, start_s);
	struct window *win = xcalloc(1, sizeof(*win));

	if (list->count == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 16;
		list->at = xrealloc(list->at, list->cap * sizeof(struct window *));
	}
	memmove(list->at + i + 1, list->at + i,
		(list->count - i) * sizeof(struct window *));
	list->at[i] = win;
	list->count++;
	win->start_s = start_s;
	return win;
}

void window_remove(struct window_list *list, int64_t start_s)
{
	size_t i = lower_bound(list, start_s);

	if (i == list->count || list->at[i]->start_s != start_s)
		return;
	free(list->at[i]);
	list->count--;
	memmove(list->at + i, list->at + i + 1,
		(list->count - i) * sizeof(struct window *));
}

static void remember(struct window_list *list, struct window *win, bool created)
{
	struct window_undo *undo;

	if (list->n_undo == list->cap_undo) {
		list->cap_undo = list->cap_undo ? list->cap_undo * 2 : 16;
		list->undo = xrealloc(list->undo, list->cap_undo * sizeof(*undo));
	}
	undo = &list->undo[list->n_undo++];
	*undo = (struct window_undo){.win = win, .before = *win, .created = created};
}

struct window *window_touch(struct window_list *list, int64_t start_s)
{
	struct window *win = window_find(list, start_s);
	bool created = !win;

	if (created)
		win = window_insert(list, start_s);
	if (win->touched)
		return win;
	remember(list, win, created);
	win->touched = true;
	win->version++;
	return win;
}

void window_list_commit(struct window_list *list)
{
	for (size_t i = 0; i < list->n_undo; i++) {
		struct window *win = list->undo[i].win;

		win->touched = false;
		if (win->folded)
			window_remove(list, win->start_s);
	}
	list->n_undo = 0;
}

void window_list_rollback(struct window_list *list)
{
	for (size_t i = 0; i < list->n_undo; i++) {
		struct window_undo *undo = &list->undo[i];

		if (undo->created)
			window_remove(list, undo->before.start_s);
		else
			*undo->win = undo->before;
	}
	list->n_undo = 0;
}

void window_list_fini(struct window_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->at[i]);
	free(list->at);
	free(list->undo);
}
