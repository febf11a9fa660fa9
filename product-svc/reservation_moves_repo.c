/*
 * reservation_moves_repo.c - the later life of reservations: release, confirm,
 * return, sweep.  Stock comes back only in the transaction of a conditional
 * change of state, so no repetition can give it back twice.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "reservation_repo.h"

/* ---- stock that comes back, in the order of product ids ---- */

struct give {
	char product_id[PRODUCT_ID_MAX + 1];
	int64_t quantity;
};

struct giving {
	struct give *all;
	size_t n, cap;
};

static int by_product(const void *a, const void *b)
{
	return strcmp(((const struct give *)a)->product_id,
		      ((const struct give *)b)->product_id);
}

static void giving_add(struct giving *giving, const struct db_rows *rows, size_t row)
{
	struct give *give;

	if (giving->n == giving->cap) {
		giving->cap = giving->cap ? 2 * giving->cap : 16;
		giving->all = xrealloc(giving->all, giving->cap * sizeof(*give));
	}
	give = &giving->all[giving->n++];
	str_copy(give->product_id, sizeof(give->product_id), db_str(rows, row, 0));
	give->quantity = db_int(rows, row, 1);
}

/* What these at most DB_MANY_MAX reservations hold. */
static bool giving_collect(struct db_conn *conn, struct giving *giving,
			   const struct db_arg *ids, size_t n, struct err *err)
{
	static const struct db_many sql = {
		.head = "SELECT product_id, CAST(SUM(quantity) AS SIGNED)"
			" FROM reservation_items FORCE INDEX (PRIMARY)"
			" WHERE reservation_id IN (",
		.row = "?",
		.tail = ") GROUP BY product_id",
	};
	struct db_rows *rows;

	if (!db_query_many(conn, &sql, NULL, 0, ids, 1, n, &rows, err))
		return false;
	for (size_t i = 0; i < db_rows_count(rows); i++)
		giving_add(giving, rows, i);
	db_rows_free(rows);
	return true;
}

/* Sorted, each product once. */
static void giving_fold(struct giving *giving)
{
	size_t kept = 0;

	if (giving->n)
		qsort(giving->all, giving->n, sizeof(*giving->all), by_product);
	for (size_t i = 0; i < giving->n; i++) {
		struct give *give = &giving->all[i];

		if (kept && by_product(&giving->all[kept - 1], give) == 0)
			giving->all[kept - 1].quantity += give->quantity;
		else
			giving->all[kept++] = *give;
	}
	giving->n = kept;
}

/* Empties `giving`, also on failure. */
static bool giving_finish(struct db_conn *conn, struct giving *giving, struct err *err)
{
	static const struct db_many sql = {
		.head = "UPDATE products FORCE INDEX (PRIMARY) SET stock = stock +"
			" CASE id ",
		.row = "WHEN ? THEN ?",
		.between = " ",
		.again = " END WHERE id IN (",
		.tail = ")",
	};
	struct db_arg *args;
	bool ok;

	giving_fold(giving);
	args = xcalloc(2 * giving->n, sizeof(*args));
	for (size_t i = 0; i < giving->n; i++) {
		args[2 * i] = DB_Z(giving->all[i].product_id);
		args[2 * i + 1] = DB_I(giving->all[i].quantity);
	}
	ok = db_exec_many(conn, &sql, args, 2, giving->n, NULL, err);
	free(args);
	free(giving->all);
	*giving = (struct giving){0};
	return ok;
}

/* ---- release ---- */

static bool read_state(struct db_conn *conn, const char *id, bool *found,
		       enum reservation_state *state, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err, "SELECT state FROM reservations WHERE id = ?",
		      DB_Z(id)))
		return false;
	*found = db_rows_count(rows) > 0;
	if (*found)
		*state = reservation_state_from(db_str(rows, 0, 0));
	db_rows_free(rows);
	return true;
}

/* An id that was never seen: a late reserve of it must find that it is over. */
static enum db_verdict insert_tombstone(struct db_conn *conn, struct release *release,
					struct err *err)
{
	release->state = RESERVATION_RELEASED;
	if (db_exec(conn, err,
		    "INSERT INTO reservations (id, state, expires_at, created_at,"
		    " updated_at) VALUES (?, 'released', UTC_TIMESTAMP(3),"
		    " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
		    DB_Z(release->id)))
		return DB_COMMIT;
	/* The late reserve came in between: look again. */
	release->again = db_is_duplicate(conn, "PRIMARY");
	return release->again ? DB_ROLLBACK : DB_FAIL;
}

static enum db_verdict release_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct release *release = arg;
	struct db_arg id = DB_Z(release->id);
	struct giving giving = {0};
	bool found;

	release->changed = release->again = false;
	if (!db_exec(conn, err,
		     "UPDATE reservations SET state = 'released',"
		     " updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'pending'",
		     DB_Z(release->id)))
		return DB_FAIL;
	if (db_affected(conn)) {
		release->changed = true;
		release->state = RESERVATION_RELEASED;
		if (!giving_collect(conn, &giving, &id, 1, err) ||
		    !giving_finish(conn, &giving, err))
			return DB_FAIL;
		return DB_COMMIT;
	}
	if (!read_state(conn, release->id, &found, &release->state, err))
		return DB_FAIL;
	/* Reserved since the UPDATE, which locks nothing where there is no row. */
	release->again = found && release->state == RESERVATION_PENDING;
	return found ? DB_ROLLBACK : insert_tombstone(conn, release, err);
}

static bool release_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct release *release = arg;
	enum db_tx_end end;
	unsigned tries = 3;

	do {
		end = db_tx(conn, release_tx, release, err);
	} while ((end == DB_TX_UNKNOWN || release->again) && --tries);
	if (end == DB_TX_UNKNOWN || release->again)
		return err_set(err, ERR_BUSY,
			       "the reservation could not be released now");
	return end != DB_TX_FAILED;
}

void reservation_repo_release(struct db_pool *pool, struct release *release, db_done done)
{
	db_run(pool, release_job, done, release);
}

/* ---- confirm, return, release many ---- */

/* Their rows, locked by id; decides what is to be done with each. */
static bool lock_some(struct db_conn *conn, struct order_move *moves, size_t n,
		      struct err *err)
{
	static const struct db_many sql = {
		.head = "SELECT id, state, order_id FROM reservations FORCE INDEX"
			" (PRIMARY) WHERE id IN (",
		.row = "?",
		.tail = ") ORDER BY id FOR UPDATE",
	};
	struct db_arg ids[DB_MANY_MAX] = {0};
	struct db_rows *rows;
	size_t row = 0;

	for (size_t i = 0; i < n; i++)
		ids[i] = DB_Z(moves[i].reservation_id);
	if (!db_query_many(conn, &sql, NULL, 0, ids, 1, n, &rows, err))
		return false;
	/* Both are sorted by id. */
	for (size_t i = 0; i < n; i++) {
		moves[i].end = MOVE_UNKNOWN;
		if (row == db_rows_count(rows) ||
		    !str_eqz(db_str(rows, row, 0), moves[i].reservation_id))
			continue;
		moves[i].end = move_decide(&moves[i],
					   reservation_state_from(db_str(rows, row, 1)),
					   !db_is_null(rows, row, 2));
		row++;
	}
	db_rows_free(rows);
	return true;
}

#define SET_STATE(to, from)                                                            \
	{                                                                              \
		.head = "UPDATE reservations FORCE INDEX (PRIMARY) SET"                \
			" state = '" to "',"                                           \
			" updated_at = UTC_TIMESTAMP(3),"                              \
			" order_id = CASE id ",                                        \
		.row = "WHEN ? THEN ?", .between = " ", .again = " END WHERE id IN (", \
		.tail = ") AND state IN (" from ")",                                   \
	}
static const struct db_many set_sql[] = {
	[MOVE_CONFIRM] = SET_STATE("confirmed", "'pending', 'confirmed'"),
	[MOVE_RETURN] = SET_STATE("returned", "'pending', 'confirmed'"),
	[MOVE_RELEASE] = SET_STATE("released", "'pending'"),
};

/* The condition on the state can only agree: the rows are locked. */
static bool set_state(struct db_conn *conn, enum move_kind kind,
		      const struct db_arg *args, size_t n, struct err *err)
{
	uint64_t changed;

	if (!db_exec_many(conn, &set_sql[kind], args, 2, n, &changed, err))
		return false;
	return changed == n ||
	       err_set(err, ERR_INTERNAL,
		       "%zu reservations to change, %" PRIu64 " changed", n, changed);
}

/* Changes those of one kind, and collects the stock that they hold no more. */
static bool move_kind(struct db_conn *conn, const struct order_move *moves, size_t n,
		      enum move_kind kind, struct giving *giving, struct err *err)
{
	struct db_arg args[2 * DB_MANY_MAX], ids[DB_MANY_MAX] = {0};
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const struct order_move *move = &moves[i];

		if (move->kind != kind || move->end != MOVE_CHANGED)
			continue;
		ids[k] = args[2 * k] = DB_Z(move->reservation_id);
		args[2 * k + 1] = move->order_id ? DB_I(move->order_id) : DB_NULL;
		k++;
	}
	if (!k)
		return true;
	return set_state(conn, kind, args, k, err) &&
	       (kind == MOVE_CONFIRM || giving_collect(conn, giving, ids, k, err));
}

static bool move_some(struct db_conn *conn, struct order_move *moves, size_t n,
		      struct giving *giving, struct err *err)
{
	return lock_some(conn, moves, n, err) &&
	       move_kind(conn, moves, n, MOVE_CONFIRM, giving, err) &&
	       move_kind(conn, moves, n, MOVE_RETURN, giving, err) &&
	       move_kind(conn, moves, n, MOVE_RELEASE, giving, err);
}

static enum db_verdict move_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_moves *moves = arg;
	struct giving giving = {0};
	bool ok = true;

	for (size_t at = 0; at < moves->n && ok; at += DB_MANY_MAX) {
		size_t left = moves->n - at;

		ok = move_some(conn, moves->moves + at,
			       left < DB_MANY_MAX ? left : DB_MANY_MAX, &giving, err);
	}
	if (!ok) {
		free(giving.all);
		return DB_FAIL;
	}
	return giving_finish(conn, &giving, err) ? DB_COMMIT : DB_FAIL;
}

static void tell(struct order_moves *moves, const struct order_move *move)
{
	switch (move->end) {
	case MOVE_NOTHING: break;
	case MOVE_CHANGED: moves->changed[move->kind]++; break;
	case MOVE_UNKNOWN:
		moves->unknown++;
		log_warn("an order names an unknown reservation",
			 LOG_STR("reservation_id", move->reservation_id),
			 LOG_INT("order_id", move->order_id));
		break;
	case MOVE_LOST:
		moves->lost++;
		log_error("an order's stock was given back before its event",
			  LOG_STR("reservation_id", move->reservation_id),
			  LOG_INT("order_id", move->order_id));
		break;
	}
}

static bool move_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_moves *moves = arg;
	enum db_tx_end end;

	moves->n = moves_fold(moves->moves, moves->n);
	end = db_tx(conn, move_tx, moves, err);
	if (end == DB_TX_UNKNOWN)
		return err_set(err, ERR_TIMEOUT,
			       "the database went away during COMMIT; to be repeated");
	if (end == DB_TX_FAILED)
		return false;
	memset(moves->changed, 0, sizeof(moves->changed));
	moves->unknown = moves->lost = 0;
	for (size_t i = 0; i < moves->n; i++)
		tell(moves, &moves->moves[i]);
	return true;
}

void reservation_repo_move(struct db_pool *pool, struct order_moves *moves, db_done done)
{
	db_run(pool, move_job, done, moves);
}

/* ---- for the janitor ---- */

static bool overdue_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct overdue *overdue = arg;
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT id FROM reservations WHERE state = 'pending'"
		      " AND expires_at < UTC_TIMESTAMP(3) ORDER BY expires_at LIMIT ?",
		      DB_I(OVERDUE_MAX)))
		return false;
	overdue->n = db_rows_count(rows);
	for (size_t i = 0; i < overdue->n; i++)
		str_copy(overdue->ids[i], sizeof(overdue->ids[i]), db_str(rows, i, 0));
	db_rows_free(rows);
	return true;
}

void reservation_repo_overdue(struct db_pool *pool, struct overdue *overdue, db_done done)
{
	db_run(pool, overdue_job, done, overdue);
}

#define SWEEP_MAX 200

/* 48 h: longer than order-svc keeps its fences, which is the reservation's time
 * plus 24 h; no request for such an id can still be under way. */
static bool sweep_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct sweep *sweep = arg;

	if (!db_exec(conn, err,
		     "DELETE FROM reservations WHERE state = 'released'"
		     " AND expires_at < UTC_TIMESTAMP(3) - INTERVAL 48 HOUR LIMIT ?",
		     DB_I(SWEEP_MAX)))
		return false;
	sweep->more = db_affected(conn) == SWEEP_MAX;
	return true;
}

void reservation_repo_sweep(struct db_pool *pool, struct sweep *sweep, db_done done)
{
	db_run(pool, sweep_job, done, sweep);
}
