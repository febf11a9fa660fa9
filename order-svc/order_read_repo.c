/* order_read_repo.c - cancelling and reading orders, and sweeping what is old. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "order_repo_internal.h"

#define SWEEP_ROWS 500 /* short transactions: nobody waits long for one */

/* ---- rows ---- */

bool order_from_row(struct order *order, const struct db_rows *rows, size_t row,
		    struct err *err)
{
	memset(order, 0, sizeof(*order));
	order->id = db_int(rows, row, 0);
	order->user_id = db_int(rows, row, 1);
	order->total = db_cents(rows, row, 3);
	str_copy(order->reservation_id, sizeof(order->reservation_id),
		 db_str(rows, row, 4));
	order->seq = db_int(rows, row, 5);
	order->created_at = db_time(rows, row, 6);
	order->cancelled_at = db_is_null(rows, row, 7) ? 0 : db_time(rows, row, 7);
	return order_status_parse(db_str(rows, row, 2), &order->status) ||
	       err_set(err, ERR_INTERNAL, "order %" PRId64 " has an unknown status",
		       order->id);
}

/* Columns product_id, name, quantity, unit_price from `col` on. */
static void line_from_row(struct order_line *line, const struct db_rows *rows, size_t row,
			  unsigned col)
{
	str_copy(line->product_id, sizeof(line->product_id), db_str(rows, row, col));
	order_set_name(line, db_str(rows, row, col + 1));
	line->quantity = db_int(rows, row, col + 2);
	line->unit_price = db_cents(rows, row, col + 3);
}

bool order_load_lines(struct db_conn *conn, struct order *order, struct err *err)
{
	struct db_rows *rows;
	size_t n;

	if (!db_query(conn, &rows, err,
		      "SELECT product_id, name, quantity, unit_price FROM order_items"
		      " WHERE order_id = ? ORDER BY line",
		      DB_I(order->id)))
		return false;
	n = db_rows_count(rows);
	order_new_lines(order, (unsigned)n);
	for (size_t i = 0; i < n; i++)
		line_from_row(&order->lines[i], rows, i, 0);
	db_rows_free(rows);
	return true;
}

/* ---- find ---- */

static bool find_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_find *find = arg;
	struct db_rows *rows;
	bool ok = true;

	if (!db_query(conn, &rows, err,
		      "SELECT " ORDER_COLUMNS " FROM orders WHERE id = ?",
		      DB_I(find->id)))
		return false;
	find->found = db_rows_count(rows) == 1;
	if (find->found)
		ok = order_from_row(&find->order, rows, 0, err) &&
		     order_load_lines(conn, &find->order, err);
	db_rows_free(rows);
	return ok;
}

void order_repo_find(struct order_repo *repo, struct order_find *find, db_done done,
		     void *arg)
{
	order_repo_run(repo, find_job, &find->op, done, arg);
}

/* ---- cancel ---- */

static bool load_locked(struct db_conn *conn, struct order_cancel *cancel,
			struct err *err)
{
	struct db_rows *rows;
	bool ok = true;

	if (!db_query(conn, &rows, err,
		      "SELECT " ORDER_COLUMNS " FROM orders WHERE id = ? FOR UPDATE",
		      DB_I(cancel->id)))
		return false;
	order_fini(&cancel->order);
	cancel->found = db_rows_count(rows) == 1;
	if (cancel->found)
		ok = order_from_row(&cancel->order, rows, 0, err) &&
		     order_load_lines(conn, &cancel->order, err);
	db_rows_free(rows);
	if (ok && cancel->found && cancel->order.user_id != cancel->user_id)
		return err_set(err, ERR_INTERNAL,
			       "order %" PRId64 " is not of user %" PRId64, cancel->id,
			       cancel->user_id);
	return ok;
}

static bool mark_cancelled(struct db_conn *conn, struct order_cancel *cancel,
			   const struct order_turn *turn, struct err *err)
{
	struct order *order = &cancel->order;
	struct order_event_row event;
	char at[DB_TIME_TEXT_MAX];
	bool ok;

	if (!db_exec(conn, err,
		     "UPDATE orders SET status = 'cancelled', cancelled_at = ?"
		     " WHERE id = ? AND status = 'placed'",
		     DB_S(db_time_text(at, turn->now)), DB_I(order->id)))
		return false;
	if (db_affected(conn) != 1)
		return err_set(err, ERR_INTERNAL,
			       "order %" PRId64 " changed under its lock", order->id);
	order->status = ORDER_CANCELLED;
	order->cancelled_at = turn->now;
	ok = order_event_row_init(&event, order, "order.cancelled", turn, cancel->trace,
				  err) &&
	     order_insert_events(conn, &event, 1, err);
	order_event_row_fini(&event);
	return ok;
}

/* The number first, as where orders are recorded: of rows the server would see a circle,
 * of tables that an ALTER waits for it does not. Taken in vain it is rolled back. */
static enum db_verdict cancel_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_cancel *cancel = arg;
	struct order_numbers numbers = {.user_id = cancel->user_id, .count = 1};
	struct order_turn turn;

	cancel->changed = false;
	if (!order_take_numbers(conn, &numbers, 1, &turn.now, err) ||
	    !load_locked(conn, cancel, err))
		return DB_FAIL;
	if (!cancel->found || cancel->order.status == ORDER_CANCELLED)
		return DB_ROLLBACK;
	turn.seq = numbers.last;
	if (!mark_cancelled(conn, cancel, &turn, err))
		return DB_FAIL;
	cancel->changed = true;
	return DB_COMMIT;
}

static bool cancel_job(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, cancel_tx, arg, err), err);
}

void order_repo_cancel(struct order_repo *repo, struct order_cancel *cancel, db_done done,
		       void *arg)
{
	order_repo_run(repo, cancel_job, &cancel->op, done, arg);
}

/* ---- list ---- */

void order_list_fini(struct order_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		order_fini(&list->orders[i]);
	free(list->orders);
	list->orders = NULL;
	list->n = 0;
}

/* One row more than asked for tells whether there is a next page. */
static bool query_page(struct db_conn *conn, const struct order_list *list,
		       struct db_rows **rows, struct err *err)
{
	if (list->user_id)
		return db_query(conn, rows, err,
				"SELECT " ORDER_COLUMNS " FROM orders"
				" WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
				DB_I(list->user_id), DB_I(list->before_id),
				DB_I(list->limit + 1));
	return db_query(conn, rows, err,
			"SELECT " ORDER_COLUMNS
			" FROM orders WHERE id < ? ORDER BY id DESC LIMIT ?",
			DB_I(list->before_id), DB_I(list->limit + 1));
}

/* `rows` of all lines, sorted like the orders: newest order first. */
static void share_lines(struct order_list *list, const struct db_rows *rows)
{
	size_t row = 0, end;

	for (size_t i = 0; i < list->n; i++) {
		struct order *order = &list->orders[i];

		for (end = row; end < db_rows_count(rows); end++) {
			if (db_int(rows, end, 0) != order->id)
				break;
		}
		order_new_lines(order, (unsigned)(end - row));
		for (unsigned line = 0; row < end; row++, line++)
			line_from_row(&order->lines[line], rows, row, 1);
	}
}

static bool load_all_lines(struct db_conn *conn, struct order_list *list, struct err *err)
{
	struct db_arg *args = xcalloc(list->n, sizeof(*args));
	char sql[512];
	size_t len;
	struct db_rows *rows;
	bool ok;

	len = (size_t)snprintf(sql, sizeof(sql),
			       "SELECT order_id, product_id, name, quantity, unit_price"
			       " FROM order_items WHERE order_id IN (");
	for (size_t i = 0; i < list->n; i++) {
		args[i] = DB_I(list->orders[i].id);
		len += (size_t)snprintf(sql + len, sizeof(sql) - len, i ? ",?" : "?");
	}
	snprintf(sql + len, sizeof(sql) - len, ") ORDER BY order_id DESC, line");
	ok = db_query_text(conn, sql, args, list->n, &rows, err);
	free(args);
	if (!ok)
		return false;
	share_lines(list, rows);
	db_rows_free(rows);
	return true;
}

static bool list_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_list *list = arg;
	struct db_rows *rows;
	size_t n;
	bool ok = true;

	if (!query_page(conn, list, &rows, err))
		return false;
	n = db_rows_count(rows);
	list->more = n > (size_t)list->limit;
	if (list->more)
		n = (size_t)list->limit;
	list->orders = xcalloc(n ? n : 1, sizeof(*list->orders));
	for (; ok && list->n < n; list->n++)
		ok = order_from_row(&list->orders[list->n], rows, list->n, err);
	db_rows_free(rows);
	return ok && (n == 0 || load_all_lines(conn, list, err));
}

void order_repo_list(struct order_repo *repo, struct order_list *list, db_done done,
		     void *arg)
{
	order_repo_run(repo, list_job, &list->op, done, arg);
}

/* ---- sweep ---- */

static bool sweep_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_sweep *sweep = arg;

	if (!db_exec(conn, err,
		     "DELETE FROM outcomes WHERE outcome = 'aborted'"
		     " AND created_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND"
		     " ORDER BY created_at LIMIT ?",
		     DB_I(sweep->fence_age_s), DB_I(SWEEP_ROWS)))
		return false;
	sweep->more = db_affected(conn) == SWEEP_ROWS;
	if (!db_exec(conn, err,
		     "DELETE FROM order_keys WHERE created_at < UTC_TIMESTAMP(3)"
		     " - INTERVAL ? SECOND ORDER BY created_at LIMIT ?",
		     DB_I(sweep->key_age_s), DB_I(SWEEP_ROWS)))
		return false;
	sweep->more = sweep->more || db_affected(conn) == SWEEP_ROWS;
	return true;
}

void order_repo_sweep(struct order_repo *repo, struct order_sweep *sweep, db_done done,
		      void *arg)
{
	order_repo_run(repo, sweep_job, &sweep->op, done, arg);
}
