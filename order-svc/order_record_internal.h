/* order_record_internal.h - a batch of orders under way; shared by the rounds
 * (order_record_repo.c) and their rows (order_rows_repo.c). */
#ifndef ORDER_SVC_ORDER_RECORD_INTERNAL_H
#define ORDER_SVC_ORDER_RECORD_INTERNAL_H

#include "money.h"
#include "order_repo_internal.h"

struct record_batch {
	struct order_record *open[BATCH_MAX]; /* not decided yet; by user, arrival */
	size_t n_open;
	struct order_record *now[BATCH_MAX]; /* in the transaction; same order */
	size_t n;
	enum order_record_end collision; /* what a duplicate meant */
	bool collided;
	int64_t clock; /* of the database, since the orders are numbered */
	/* for the statement that is being made */
	struct db_arg args[BATCH_MAX * 6];
	char money[BATCH_MAX][MONEY_TEXT_MAX];
	char at[DB_TIME_TEXT_MAX];
	struct order_event_row events[BATCH_MAX];
	size_t n_events;
};

static inline struct order *record_order(const struct record_batch *batch, size_t i)
{
	return &batch->now[i]->wish->order;
}

/* In this order. The numbers come before orders and outbox: the locks of their
 * rows make each user's orders commit in the order of seq and of outbox.id. */
bool record_insert_outcomes(struct db_conn *conn, struct record_batch *batch,
			    struct err *err);
bool record_number_orders(struct db_conn *conn, struct record_batch *batch,
			  struct err *err);
bool record_insert_orders(struct db_conn *conn, struct record_batch *batch,
			  struct err *err);
/* With the answers, which are made here. */
bool record_insert_keys(struct db_conn *conn, struct record_batch *batch,
			struct err *err);
bool record_insert_lines(struct db_conn *conn, struct record_batch *batch,
			 struct err *err);
bool record_insert_events(struct db_conn *conn, struct record_batch *batch,
			  struct err *err);

#endif
