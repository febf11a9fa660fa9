/*
 * reservation_repo.c - reserving: all lines of an order or none, in one
 * transaction.  What happens to a reservation later is reservation_moves_repo.c.
 *
 * The reservation's row is inserted first: its primary key makes equal ids wait
 * for each other, so running the transaction again after a lost COMMIT finds
 * what the first run did.  It also keeps the time short for which the rows of
 * hot products are locked.
 */
#include "reservation_repo.h"

#include "money.h"

static bool insert_pending(struct db_conn *conn, const struct reservation *res,
			   struct err *err)
{
	return db_exec(conn, err,
		       "INSERT INTO reservations (id, state, key_hash, expires_at,"
		       " created_at, updated_at) VALUES (?, 'pending', ?,"
		       " UTC_TIMESTAMP(3) + INTERVAL ? SECOND, UTC_TIMESTAMP(3),"
		       " UTC_TIMESTAMP(3))",
		       DB_Z(res->id), *res->key_hash ? DB_Z(res->key_hash) : DB_NULL,
		       DB_I(res->ttl_s));
}

/* ---- lock the products ---- */

#define LOCK_HEAD                                                           \
	"SELECT id, name, price, stock,"                                    \
	" (SELECT expires_at FROM reservations WHERE id = ?) AS expires_at" \
	" FROM products FORCE INDEX (PRIMARY) WHERE deleted_at IS NULL AND id IN ("
#define LOCK_TAIL ") ORDER BY id FOR UPDATE"

/* What cannot be an id is in no row; the column could not even hold its bytes. */
static struct db_arg id_arg(const char *product_id)
{
	return product_id_ok(str_from(product_id)) ? DB_Z(product_id) : DB_NULL;
}

static bool query_locked(struct db_conn *conn, const struct reservation *res,
			 struct db_rows **rows, struct err *err)
{
	char sql[sizeof(LOCK_HEAD) + sizeof(LOCK_TAIL) + 2 * RESERVATION_MAX_LINES];
	struct db_arg args[1 + RESERVATION_MAX_LINES];
	size_t len = sizeof(LOCK_HEAD) - 1;

	args[0] = DB_Z(res->id);
	for (unsigned i = 0; i < res->n_lines; i++)
		args[1 + i] = id_arg(res->lines[i].product_id);
	/* Most orders have one line, which a prepared statement serves. */
	if (res->n_lines == 1)
		return db_query_v(conn, LOCK_HEAD "?" LOCK_TAIL, args, 2, rows, err);
	memcpy(sql, LOCK_HEAD, len);
	for (unsigned i = 0; i < res->n_lines; i++) {
		sql[len++] = '?';
		sql[len++] = ',';
	}
	memcpy(sql + len - 1, LOCK_TAIL, sizeof(LOCK_TAIL));
	return db_query_text(conn, sql, args, 1 + res->n_lines, rows, err);
}

static void fill_line(struct reservation_line *line, const struct db_rows *rows,
		      size_t row)
{
	line->found = true;
	str_copy(line->name, sizeof(line->name), db_str(rows, row, 1));
	line->unit_price = db_cents(rows, row, 2);
	line->available = db_int(rows, row, 3);
}

/* Both the rows and the lines are sorted by id. */
static bool lock_products(struct db_conn *conn, struct reservation *res, struct err *err)
{
	struct db_rows *rows;
	size_t row = 0;

	if (!query_locked(conn, res, &rows, err))
		return false;
	for (unsigned i = 0; i < res->n_lines; i++) {
		struct reservation_line *line = &res->lines[i];

		line->found = false;
		line->held = 0;
		if (row < db_rows_count(rows) &&
		    str_eqz(db_str(rows, row, 0), line->product_id))
			fill_line(line, rows, row++);
	}
	if (row)
		res->expires_at = db_time(rows, 0, 4);
	db_rows_free(rows);
	return true;
}

/* ---- decide ---- */

static struct reservation_line *find_line(struct reservation *res, struct str product_id)
{
	for (unsigned i = 0; i < res->n_lines; i++) {
		if (str_eqz(product_id, res->lines[i].product_id))
			return &res->lines[i];
	}
	return NULL;
}

/* What a twin holds cannot change hands while we have its products locked. */
static bool find_held(struct db_conn *conn, struct reservation *res, struct err *err)
{
	struct db_rows *rows;

	if (!*res->key_hash)
		return true;
	if (!db_query(conn, &rows, err,
		      "SELECT i.product_id, CAST(SUM(i.quantity) AS SIGNED)"
		      " FROM reservations r JOIN reservation_items i"
		      " ON i.reservation_id = r.id WHERE r.key_hash = ?"
		      " AND r.state = 'pending' AND r.id <> ? GROUP BY i.product_id",
		      DB_Z(res->key_hash), DB_Z(res->id)))
		return false;
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		struct reservation_line *line = find_line(res, db_str(rows, i, 0));

		if (line)
			line->held = db_int(rows, i, 1);
	}
	db_rows_free(rows);
	return true;
}

static bool take_stock(struct db_conn *conn, const struct reservation *res,
		       struct err *err)
{
	for (unsigned i = 0; i < res->n_lines; i++) {
		const struct reservation_line *line = &res->lines[i];
		char price[MONEY_TEXT_MAX];

		money_format(price, line->unit_price);
		if (!db_exec(conn, err,
			     "UPDATE products SET stock = stock - ? WHERE id = ?",
			     DB_I(line->quantity), DB_Z(line->product_id)) ||
		    !db_exec(conn, err,
			     "INSERT INTO reservation_items (reservation_id, product_id,"
			     " quantity, unit_price)"
			     " VALUES (?, ?, ?, ?)",
			     DB_Z(res->id), DB_Z(line->product_id), DB_I(line->quantity),
			     DB_Z(price)))
			return false;
	}
	return true;
}

static enum db_verdict reserve_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct reserve *reserve = arg;
	struct reservation *res = reserve->res;

	reserve->duplicate = false;
	if (!insert_pending(conn, res, err)) {
		reserve->duplicate = db_is_duplicate(conn, "PRIMARY");
		return reserve->duplicate ? DB_ROLLBACK : DB_FAIL;
	}
	if (!lock_products(conn, res, err))
		return DB_FAIL;
	switch (reservation_decide(res, &reserve->line)) {
	case RESERVATION_NO_PRODUCT:
		reserve->end = RESERVE_NO_PRODUCT;
		return DB_ROLLBACK;
	case RESERVATION_SHORT:
		if (!find_held(conn, res, err))
			return DB_FAIL;
		reserve->end =
			reservation_twin_holds(res) ? RESERVE_IN_PROGRESS : RESERVE_SHORT;
		return DB_ROLLBACK;
	case RESERVATION_FITS: break;
	}
	if (!take_stock(conn, res, err))
		return DB_FAIL;
	res->state = RESERVATION_PENDING;
	reserve->end = RESERVE_OK;
	return DB_COMMIT;
}

/* ---- the same id again ---- */

static enum reserve_end compare_stored(struct reservation *res,
				       const struct db_rows *rows)
{
	res->state = reservation_state_from(db_str(rows, 0, 0));
	res->expires_at = db_time(rows, 0, 1);
	if (res->state == RESERVATION_RELEASED)
		return RESERVE_RELEASED;
	if (db_rows_count(rows) != res->n_lines)
		return RESERVE_DIFFERS;
	for (unsigned i = 0; i < res->n_lines; i++) {
		struct reservation_line *line = &res->lines[i];

		if (!str_eqz(db_str(rows, i, 2), line->product_id) ||
		    db_int(rows, i, 3) != line->quantity)
			return RESERVE_DIFFERS;
		line->unit_price = db_cents(rows, i, 4);
		str_copy(line->name, sizeof(line->name), db_str(rows, i, 5));
	}
	return RESERVE_OK;
}

static bool load_stored(struct db_conn *conn, struct reserve *reserve, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT r.state, r.expires_at, i.product_id, i.quantity,"
		      " i.unit_price, p.name FROM reservations r"
		      " LEFT JOIN reservation_items i ON i.reservation_id = r.id"
		      " LEFT JOIN products p ON p.id = i.product_id"
		      " WHERE r.id = ? ORDER BY i.product_id",
		      DB_Z(reserve->res->id)))
		return false;
	/* Swept between the two statements: it had been released. */
	reserve->end = db_rows_count(rows) ? compare_stored(reserve->res, rows)
					   : RESERVE_RELEASED;
	reserve->replayed = reserve->end == RESERVE_OK;
	db_rows_free(rows);
	return true;
}

static bool reserve_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct reserve *reserve = arg;
	enum db_tx_end end = db_tx(conn, reserve_tx, reserve, err);

	if (end == DB_TX_UNKNOWN)
		end = db_tx(conn, reserve_tx, reserve, err);
	if (end == DB_TX_UNKNOWN)
		return err_set(err, ERR_TIMEOUT,
			       "the database went away twice while a "
			       "reservation was stored");
	if (end == DB_TX_FAILED)
		return false;
	return !reserve->duplicate || load_stored(conn, reserve, err);
}

void reservation_repo_reserve(struct db_pool *pool, struct reserve *reserve, db_done done)
{
	reserve->replayed = false;
	db_run(pool, reserve_job, done, reserve);
}
