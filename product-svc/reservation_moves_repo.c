/*
 * reservation_moves_repo.c - the later life of reservations: release, confirm,
 * return, sweep.  Stock comes back only in the transaction of a conditional
 * change of state, so no repetition can give it back twice.
 */
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

static bool giving_collect(struct db_conn *conn, struct giving *giving, const char *id,
			   struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT product_id, quantity FROM reservation_items"
		      " WHERE reservation_id = ?",
		      DB_Z(id)))
		return false;
	for (size_t i = 0; i < db_rows_count(rows); i++)
		giving_add(giving, rows, i);
	db_rows_free(rows);
	return true;
}

/* One update a product. Empties `giving`, also on failure. */
static bool giving_finish(struct db_conn *conn, struct giving *giving, struct err *err)
{
	bool ok = true;

	if (giving->n)
		qsort(giving->all, giving->n, sizeof(*giving->all), by_product);
	for (size_t i = 0; i < giving->n && ok; i++) {
		struct give *give = &giving->all[i];

		if (i + 1 < giving->n && by_product(give, give + 1) == 0)
			give[1].quantity += give->quantity;
		else
			ok = db_exec(conn, err,
				     "UPDATE products SET stock = stock + ?"
				     " WHERE id = ?",
				     DB_I(give->quantity), DB_Z(give->product_id));
	}
	free(giving->all);
	*giving = (struct giving){0};
	return ok;
}

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

/* ---- release ---- */

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
		if (!giving_collect(conn, &giving, release->id, err) ||
		    !giving_finish(conn, &giving, err))
			return DB_FAIL;
		return DB_COMMIT;
	}
	if (!read_state(conn, release->id, &found, &release->state, err))
		return DB_FAIL;
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

/* ---- confirm and return ---- */

static bool confirm(struct db_conn *conn, const struct order_move *move, struct err *err)
{
	return db_exec(
		conn, err,
		"UPDATE reservations SET state = 'confirmed', order_id = ?,"
		" updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND"
		" (state = 'pending' OR (state = 'confirmed' AND order_id IS NULL))",
		move->order_id ? DB_I(move->order_id) : DB_NULL,
		DB_Z(move->reservation_id));
}

static bool give_up(struct db_conn *conn, const struct order_move *move, struct err *err)
{
	return db_exec(conn, err,
		       "UPDATE reservations SET state = 'returned', order_id = ?,"
		       " updated_at = UTC_TIMESTAMP(3)"
		       " WHERE id = ? AND state IN ('pending', 'confirmed')",
		       DB_I(move->order_id), DB_Z(move->reservation_id));
}

/* Nothing changed: a repetition, which is fine, or something to tell about. */
static bool explain(struct db_conn *conn, struct order_moves *moves,
		    const struct order_move *move, struct err *err)
{
	enum reservation_state state;
	bool found;

	if (!read_state(conn, move->reservation_id, &found, &state, err))
		return false;
	if (!found) {
		moves->unknown++;
		log_warn("an order names an unknown reservation",
			 LOG_STR("reservation_id", move->reservation_id),
			 LOG_INT("order_id", move->order_id));
	} else if (state == RESERVATION_RELEASED && !move->cancelled) {
		moves->lost++;
		log_error("an order's stock was given back before its event",
			  LOG_STR("reservation_id", move->reservation_id),
			  LOG_INT("order_id", move->order_id));
	}
	return true;
}

static bool apply(struct db_conn *conn, struct order_moves *moves,
		  const struct order_move *move, struct giving *giving, struct err *err)
{
	if (move->cancelled ? !give_up(conn, move, err) : !confirm(conn, move, err))
		return false;
	if (!db_affected(conn))
		return explain(conn, moves, move, err);
	if (!move->cancelled) {
		moves->confirmed++;
		return true;
	}
	moves->returned++;
	return giving_collect(conn, giving, move->reservation_id, err);
}

static enum db_verdict move_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_moves *moves = arg;
	struct giving giving = {0};
	bool ok = true;

	moves->confirmed = moves->returned = moves->unknown = moves->lost = 0;
	for (size_t i = 0; i < moves->n && ok; i++)
		ok = apply(conn, moves, &moves->moves[i], &giving, err);
	if (!ok) {
		free(giving.all);
		return DB_FAIL;
	}
	return giving_finish(conn, &giving, err) ? DB_COMMIT : DB_FAIL;
}

static int by_reservation(const void *a, const void *b)
{
	return strcmp(((const struct order_move *)a)->reservation_id,
		      ((const struct order_move *)b)->reservation_id);
}

static bool move_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_moves *moves = arg;
	enum db_tx_end end;

	if (moves->n)
		qsort(moves->moves, moves->n, sizeof(*moves->moves), by_reservation);
	end = db_tx(conn, move_tx, moves, err);
	if (end == DB_TX_UNKNOWN)
		return err_set(err, ERR_TIMEOUT,
			       "the database went away during COMMIT; to be repeated");
	return end != DB_TX_FAILED;
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
