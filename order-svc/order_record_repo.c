/*
 * order_record_repo.c - recording orders, many in one transaction.
 *
 *   choose -> outcomes -> numbers -> orders -> keys -> lines -> events -> COMMIT
 *
 * Each order has its own end.  One that cannot be recorded (fenced, too late, key
 * taken) is found out by a failing statement or by what was read; then everything
 * is undone, it is taken out, and the others run again.  So a doubt about one is
 * never committed together with the others.
 */
#include <stdlib.h>

#include "failpoint.h"
#include "order_record_internal.h"

/* Three kinds of trouble, and others' transactions that come in between. */
#define MAX_ROUNDS 8

/* ---- choose ---- */

struct arrival {
	struct order_record *record;
	size_t place;
};

static int by_user(const void *a, const void *b)
{
	const struct arrival *left = a, *right = b;
	int64_t one = left->record->wish->order.user_id;
	int64_t other = right->record->wish->order.user_id;

	if (one != other)
		return one < other ? -1 : 1;
	return left->place < right->place ? -1 : 1;
}

/* By user, so that two transactions never wait for each other's rows in a circle;
 * a user's own in order of arrival, which is the order of their numbers. */
static void open_all(struct record_batch *batch, void **members, size_t n)
{
	struct arrival arrivals[BATCH_MAX] = {0};

	for (size_t i = 0; i < n; i++)
		arrivals[i] = (struct arrival){members[i], i};
	qsort(arrivals, n, sizeof(*arrivals), by_user);
	for (size_t i = 0; i < n; i++)
		batch->open[i] = arrivals[i].record;
	batch->n_open = n;
}

static bool has_twin(const struct record_batch *batch, const struct order_record *record)
{
	for (size_t i = batch->n; i > 0; i--) {
		const struct order_wish *other = batch->now[i - 1]->wish;

		if (other->order.user_id != record->wish->order.user_id)
			return false;
		if (order_same_key(other, record->wish))
			return true;
	}
	return false;
}

/* Of twins the first; the others learn what became of it. */
static void choose(struct record_batch *batch)
{
	batch->n = 0;
	for (size_t i = 0; i < batch->n_open; i++) {
		if (!has_twin(batch, batch->open[i]))
			batch->now[batch->n++] = batch->open[i];
	}
}

/* ---- the transaction ---- */

/* Ends those that are marked. */
static void take_out(struct record_batch *batch, const bool *marked,
		     enum order_record_end end)
{
	size_t n = batch->n_open;

	batch->n_open = 0;
	for (size_t i = 0; i < n; i++) {
		if (marked[i])
			batch->open[i]->end = end;
		else
			batch->open[batch->n_open++] = batch->open[i];
	}
}

static bool take_out_late(struct record_batch *batch)
{
	bool late[BATCH_MAX], any = false;

	for (size_t i = 0; i < batch->n; i++)
		any = any || batch->clock > batch->now[i]->deadline;
	if (!any)
		return false;
	for (size_t i = 0; i < batch->n_open; i++)
		late[i] = batch->clock > batch->open[i]->deadline;
	take_out(batch, late, ORDER_TOO_LATE);
	return true;
}

static enum db_verdict stopped_by(struct db_conn *conn, struct record_batch *batch,
				  enum order_record_end collision)
{
	batch->collided = db_is_duplicate(conn, NULL);
	batch->collision = collision;
	return batch->collided ? DB_ROLLBACK : DB_FAIL;
}

/* May run again after a deadlock: everything it fills is filled anew. */
static enum db_verdict record_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct record_batch *batch = arg;

	batch->collided = false;
	if (!record_insert_outcomes(conn, batch, err))
		return stopped_by(conn, batch, ORDER_FENCED);
	if (!record_number_orders(conn, batch, err))
		return DB_FAIL;
	if (take_out_late(batch))
		return DB_ROLLBACK;
	if (!record_insert_orders(conn, batch, err))
		return DB_FAIL;
	if (!record_insert_keys(conn, batch, err))
		return stopped_by(conn, batch, ORDER_KEY_TAKEN);
	if (!record_insert_lines(conn, batch, err) ||
	    !record_insert_events(conn, batch, err))
		return DB_FAIL;
	if (FAILPOINT("order_before_commit")) {
		err_set(err, ERR_INTERNAL, "failpoint order_before_commit");
		return DB_FAIL;
	}
	return DB_COMMIT;
}

/* ---- after it ---- */

static bool find_outcomes(struct db_conn *conn, struct record_batch *batch, bool *found,
			  struct err *err)
{
	static const struct db_many select = {
		.head = "SELECT reservation_id FROM outcomes WHERE reservation_id IN (",
		.row = "?",
		.tail = ")",
	};
	struct db_rows *rows;

	for (size_t i = 0; i < batch->n_open; i++) {
		found[i] = false;
		batch->args[i] = DB_Z(batch->open[i]->wish->order.reservation_id);
	}
	if (!db_query_many(conn, &select, NULL, 0, batch->args, 1, batch->n_open, &rows,
			   err))
		return false;
	for (size_t row = 0; row < db_rows_count(rows); row++) {
		for (size_t i = 0; i < batch->n_open; i++)
			found[i] = found[i] ||
				   str_eqz(db_str(rows, row, 0),
					   batch->open[i]->wish->order.reservation_id);
	}
	db_rows_free(rows);
	return true;
}

static bool find_keys(struct db_conn *conn, const struct record_batch *batch, bool *found,
		      struct err *err)
{
	const struct order_wish *wishes[BATCH_MAX];

	for (size_t i = 0; i < batch->n_open; i++)
		wishes[i] = batch->open[i]->wish;
	return order_find_keys(conn, wishes, batch->n_open, found, err);
}

/* A duplicate does not say whose it is: read. */
static bool take_out_collided(struct db_conn *conn, struct record_batch *batch,
			      struct err *err)
{
	bool found[BATCH_MAX];

	if (batch->collision == ORDER_FENCED ? !find_outcomes(conn, batch, found, err)
					     : !find_keys(conn, batch, found, err))
		return false;
	take_out(batch, found, batch->collision);
	return true;
}

/* The twins of what was recorded, or may have been, are no longer first. */
static void decide(struct record_batch *batch, enum order_record_end end)
{
	for (size_t i = 0; i < batch->n_open; i++)
		batch->open[i]->end = ORDER_KEY_TAKEN;
	for (size_t i = 0; i < batch->n; i++)
		batch->now[i]->end = end;
	batch->n_open = 0;
}

/* false: nothing was changed. */
static bool record_round(struct db_conn *conn, struct record_batch *batch,
			 struct err *err)
{
	switch (db_tx(conn, record_tx, batch, err)) {
	case DB_TX_COMMITTED:
		decide(batch,
		       FAILPOINT("order_committed") ? ORDER_UNKNOWN : ORDER_RECORDED);
		return true;
	case DB_TX_ROLLED_BACK:
		return !batch->collided || take_out_collided(conn, batch, err);
	case DB_TX_FAILED: return false;
	case DB_TX_UNKNOWN: decide(batch, ORDER_UNKNOWN); return true;
	}
	return err_set(err, ERR_INTERNAL, "impossible end of a transaction");
}

static bool record_rounds(struct db_conn *conn, struct record_batch *batch,
			  struct err *err)
{
	for (unsigned round = 0; round < MAX_ROUNDS; round++) {
		if (batch->n_open == 0)
			return true;
		choose(batch);
		if (!record_round(conn, batch, err))
			return false;
	}
	return batch->n_open == 0 ||
	       err_set(err, ERR_INTERNAL, "orders keep meeting fences and twins");
}

bool order_record_many(struct db_conn *conn, void **members, size_t n, struct err *err)
{
	struct record_batch *batch = xcalloc(1, sizeof(*batch));
	bool ok;

	open_all(batch, members, n);
	ok = record_rounds(conn, batch, err);
	free(batch);
	return ok;
}
