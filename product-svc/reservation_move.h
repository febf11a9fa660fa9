/*
 * reservation_move.h - what became of orders, and what that does to their
 * reservations.  Pure.
 */
#ifndef PRODUCT_SVC_RESERVATION_MOVE_H
#define PRODUCT_SVC_RESERVATION_MOVE_H

#include "reservation.h"

enum move_kind {
	MOVE_CONFIRM, /* it was ordered */
	MOVE_RETURN,  /* and cancelled */
	MOVE_RELEASE  /* no order came of it, and none can any more */
};

enum move_end {
	MOVE_NOTHING, /* done before */
	MOVE_CHANGED,
	MOVE_UNKNOWN, /* no such reservation */
	MOVE_LOST     /* released although an order needs it */
};

struct order_move {
	char reservation_id[ID_HEX_LEN + 1];
	int64_t order_id; /* 0: not known yet */
	enum move_kind kind;
	enum move_end end; /* filled */
};

/* Sorts by id; what is said about one reservation becomes its last word.
 * Returns how many are left. */
size_t moves_fold(struct order_move *moves, size_t n);

/* `has_order`: its order's number is stored. */
enum move_end move_decide(const struct order_move *move, enum reservation_state state,
			  bool has_order);

#endif
