/* reservation_move.c - changes of state that later news about an order make. */
#include "reservation_move.h"

#include <stdlib.h>

static int by_reservation(const void *a, const void *b)
{
	return strcmp(((const struct order_move *)a)->reservation_id,
		      ((const struct order_move *)b)->reservation_id);
}

size_t moves_fold(struct order_move *moves, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(moves, n, sizeof(*moves), by_reservation);
	for (size_t i = 0; i < n; i++) {
		struct order_move *last = kept ? &moves[kept - 1] : NULL;

		if (!last || by_reservation(last, &moves[i]) != 0) {
			moves[kept++] = moves[i];
			continue;
		}
		/* A later kind wins, in whatever order they came. */
		if (moves[i].kind > last->kind)
			last->kind = moves[i].kind;
		if (!last->order_id)
			last->order_id = moves[i].order_id;
	}
	return kept;
}

static enum move_end decide_confirm(const struct order_move *move,
				    enum reservation_state state, bool has_order)
{
	switch (state) {
	case RESERVATION_PENDING: return MOVE_CHANGED;
	case RESERVATION_CONFIRMED:
		/* The janitor knew of the order, but not its number. */
		return !has_order && move->order_id ? MOVE_CHANGED : MOVE_NOTHING;
	case RESERVATION_RELEASED: return MOVE_LOST;
	case RESERVATION_RETURNED: break;
	}
	return MOVE_NOTHING;
}

enum move_end move_decide(const struct order_move *move, enum reservation_state state,
			  bool has_order)
{
	bool held = state == RESERVATION_PENDING || state == RESERVATION_CONFIRMED;

	switch (move->kind) {
	case MOVE_CONFIRM: return decide_confirm(move, state, has_order);
	case MOVE_RETURN: return held ? MOVE_CHANGED : MOVE_NOTHING;
	case MOVE_RELEASE: break;
	}
	return state == RESERVATION_PENDING ? MOVE_CHANGED : MOVE_NOTHING;
}
