/*
 * order_rows_repo.c - the rows of orders that are recorded together: outcomes,
 * numbers, orders, answers, lines, events.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "order_record_internal.h"

/* ---- numbers ---- */

/* One entry for each user, whose orders are neighbours. */
static size_t count_by_user(const struct record_batch *batch, struct order_numbers *users)
{
	size_t n = 0;

	for (size_t i = 0; i < batch->n; i++) {
		int64_t user_id = record_order(batch, i)->user_id;

		if (!n || users[n - 1].user_id != user_id)
			users[n++] = (struct order_numbers){.user_id = user_id};
		users[n - 1].count++;
	}
	return n;
}

bool record_number_orders(struct db_conn *conn, struct record_batch *batch,
			  struct err *err)
{
	struct order_numbers users[BATCH_MAX] = {0};
	size_t n = count_by_user(batch, users), i = 0;

	if (!order_take_numbers(conn, users, n, &batch->clock, err))
		return false;
	db_clock_read(&batch->now[0]->op.repo->clock, batch->clock);
	for (size_t u = 0; u < n; u++) {
		for (int64_t left = users[u].count; left > 0; left--)
			record_order(batch, i++)->seq = users[u].last - left + 1;
	}
	return true;
}

/* ---- rows ---- */

bool record_insert_outcomes(struct db_conn *conn, struct record_batch *batch,
			    struct err *err)
{
	static const struct db_many insert = {
		.head = "INSERT INTO outcomes (reservation_id, outcome, created_at)"
			" VALUES ",
		.row = "(?, 'committed', UTC_TIMESTAMP(3))",
	};

	for (size_t i = 0; i < batch->n; i++)
		batch->args[i] = DB_Z(record_order(batch, i)->reservation_id);
	return db_exec_many(conn, &insert, batch->args, 1, batch->n, NULL, err);
}

static bool take_ids(struct record_batch *batch, const int64_t *ids, struct err *err)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (ids[i] < 1 || ids[i] > ORDER_MAX_ID)
			return err_set(err, ERR_INTERNAL,
				       "order id %" PRId64 " is out of range", ids[i]);
		record_order(batch, i)->id = ids[i];
	}
	return true;
}

bool record_insert_orders(struct db_conn *conn, struct record_batch *batch,
			  struct err *err)
{
	static const struct db_many insert = {
		.head = "INSERT INTO orders (user_id, total_price, currency, status,"
			" reservation_id, seq, created_at) VALUES ",
		.row = "(?, ?, '" ORDER_CURRENCY "', 'placed', ?, ?, ?)",
	};
	struct str at = db_time_text(batch->at, batch->clock);
	struct db_arg *arg = batch->args;
	int64_t ids[BATCH_MAX];

	for (size_t i = 0; i < batch->n; i++) {
		struct order *order = record_order(batch, i);

		order->status = ORDER_PLACED;
		order->created_at = batch->clock;
		money_format(batch->money[i], order->total);
		*arg++ = DB_I(order->user_id);
		*arg++ = DB_Z(batch->money[i]);
		*arg++ = DB_Z(order->reservation_id);
		*arg++ = DB_I(order->seq);
		*arg++ = DB_S(at);
	}
	return db_insert_many(conn, &insert, batch->args, 5, batch->n, ids, err) &&
	       take_ids(batch, ids, err);
}

void order_record_fini(struct order_record *record)
{
	free(record->reply);
	record->reply = NULL;
}

static bool fill_reply(struct order_record *record, struct err *err)
{
	struct jw w;

	order_record_fini(record);
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &record->wish->order);
	if (jw_ok(&w))
		record->reply = xstrdup(jw_text(&w).at);
	jw_fini(&w);
	return record->reply ||
	       err_set(err, ERR_INTERNAL, "the answer of an order is too long");
}

bool record_insert_keys(struct db_conn *conn, struct record_batch *batch, struct err *err)
{
	struct order_key_row rows[BATCH_MAX] = {0};
	size_t n = 0;

	for (size_t i = 0; i < batch->n; i++) {
		struct order_record *record = batch->now[i];

		if (!fill_reply(record, err))
			return false;
		if (*record->wish->key)
			rows[n++] = (struct order_key_row){record->wish, 201,
							   str_from(record->reply),
							   record->wish->order.id};
	}
	return order_insert_keys(conn, rows, n, err);
}

/* In pieces of BATCH_MAX: an order may have fifty lines. */
bool record_insert_lines(struct db_conn *conn, struct record_batch *batch,
			 struct err *err)
{
	static const struct db_many insert = {
		.head = "INSERT INTO order_items (order_id, line, product_id, name,"
			" quantity, unit_price) VALUES ",
		.row = "(?, ?, ?, ?, ?, ?)",
	};
	size_t n = 0, i = 0;
	unsigned k = 0;

	while (i < batch->n) {
		const struct order *order = record_order(batch, i);
		const struct order_line *line = &order->lines[k];
		struct db_arg *arg = &batch->args[6 * n];

		money_format(batch->money[n], line->unit_price);
		arg[0] = DB_I(order->id);
		arg[1] = DB_I(k + 1);
		arg[2] = DB_Z(line->product_id);
		arg[3] = DB_Z(line->name);
		arg[4] = DB_I(line->quantity);
		arg[5] = DB_Z(batch->money[n]);
		n++;
		if (++k >= order->n_lines) {
			k = 0;
			i++;
		}
		if (n < BATCH_MAX && i < batch->n)
			continue;
		if (!db_exec_many(conn, &insert, batch->args, 6, n, NULL, err))
			return false;
		n = 0;
	}
	return true;
}

static void drop_events(struct record_batch *batch)
{
	while (batch->n_events)
		order_event_row_fini(&batch->events[--batch->n_events]);
}

bool record_insert_events(struct db_conn *conn, struct record_batch *batch,
			  struct err *err)
{
	bool ok = true;

	for (size_t i = 0; ok && i < batch->n; i++) {
		struct order *order = record_order(batch, i);
		struct order_turn turn = {order->seq, batch->clock};

		ok = order_event_row_init(&batch->events[batch->n_events++], order,
					  "order.created", &turn, batch->now[i]->trace,
					  err);
	}
	ok = ok && order_insert_events(conn, batch->events, batch->n, err);
	drop_events(batch);
	return ok;
}
