/*
 * reservation_repo.c - reserving: all lines of an order or none, many orders in
 * one transaction.  What happens to a reservation later is
 * reservation_moves_repo.c.
 *
 *   insert all -> lock their products -> decide -> items, stock -> delete the refused
 *
 * The reservations' rows are inserted first: their primary key makes equal ids
 * wait for each other, and keeps the time short for which the rows of hot
 * products are locked.  The refused go last, because deleting leaves gap locks
 * (of the foreign key) for which other batches may wait: nothing may be waited
 * for after that.
 *
 * An id that is there already fails the insert.  Then, and when the connection
 * was lost during COMMIT, what is stored is read, and the rest runs again.
 */
#include "reservation_repo.h"

#include <stdlib.h>

#include "db_clock.h"
#include "failpoint.h"
#include "money.h"

/* Rounds that decide nobody: rows that come and go under other hands. */
#define MAX_FRUITLESS 5

struct reserving {
	struct plan plan;
	char now[DB_TIME_TEXT_MAX]; /* the database's clock, at the begin of the round */
	int64_t now_ms;
	bool duplicate;
};

/* ---- insert ---- */

/* One time for all rows of the round, in however many statements.  Never later than
 * the database's own, so nothing is held for longer than it says. */
static bool read_clock(struct db_conn *conn, struct reserving *r, struct err *err)
{
	if (!db_clock_ask(db_conn_clock(conn), conn, &r->now_ms, err))
		return false;
	db_time_text(r->now, r->now_ms);
	return true;
}

static bool insert_pending(struct db_conn *conn, struct reserving *r, struct err *err)
{
	static const struct db_many sql = {
		.head = "INSERT INTO reservations (id, state, key_hash, expires_at,"
			" created_at, updated_at) VALUES ",
		.row = "(?, 'pending', ?, CAST(? AS DATETIME(3)) + INTERVAL ? SECOND, ?, "
		       "?)",
	};
	struct db_arg args[6 * BATCH_MAX], *arg = args;

	for (size_t i = 0; i < r->plan.n; i++) {
		struct reservation *res = r->plan.members[i]->res;

		res->expires_at = r->now_ms + res->ttl_s * 1000;
		*arg++ = DB_Z(res->id);
		*arg++ = *res->key_hash ? DB_Z(res->key_hash) : DB_NULL;
		*arg++ = DB_Z(r->now);
		*arg++ = DB_I(res->ttl_s);
		*arg++ = DB_Z(r->now);
		*arg++ = DB_Z(r->now);
	}
	return db_exec_many(conn, &sql, args, 6, r->plan.n, NULL, err);
}

/* ---- lock the products ---- */

/* What cannot be an id is in no row; the column could not even hold its bytes. */
static struct db_arg id_arg(const char *product_id)
{
	return product_id_ok(str_from(product_id)) ? DB_Z(product_id) : DB_NULL;
}

static bool lock_some(struct db_conn *conn, struct plan *plan, size_t from, size_t n,
		      struct err *err)
{
	static const struct db_many sql = {
		.head = "SELECT id, name, price, stock FROM products FORCE INDEX"
			" (PRIMARY) WHERE deleted_at IS NULL AND id IN (",
		.row = "?",
		.tail = ") ORDER BY id FOR UPDATE",
	};
	struct db_arg args[DB_MANY_MAX] = {0};
	struct db_rows *rows;
	size_t row = 0;

	for (size_t i = 0; i < n; i++)
		args[i] = id_arg(plan->products[from + i].id);
	if (!db_query_many(conn, &sql, NULL, 0, args, 1, n, &rows, err))
		return false;
	/* Both are sorted by id. */
	for (size_t i = from; i < from + n && row < db_rows_count(rows); i++) {
		if (!str_eqz(db_str(rows, row, 0), plan->products[i].id))
			continue;
		plan_found(plan, i, db_str(rows, row, 1), db_cents(rows, row, 2),
			   db_int(rows, row, 3));
		row++;
	}
	db_rows_free(rows);
	return true;
}

static bool lock_products(struct db_conn *conn, struct plan *plan, struct err *err)
{
	plan_forget(plan);
	for (size_t from = 0; from < plan->n_products; from += DB_MANY_MAX) {
		size_t left = plan->n_products - from;

		if (!lock_some(conn, plan, from, left < DB_MANY_MAX ? left : DB_MANY_MAX,
			       err))
			return false;
	}
	return true;
}

/* ---- decide ---- */

static size_t short_keys(const struct plan *plan, struct db_arg keys[BATCH_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++) {
		const struct reserve *one = plan->members[i];

		if (one->end == RESERVE_SHORT && *one->res->key_hash)
			keys[n++] = DB_Z(one->res->key_hash);
	}
	return n;
}

/* What a twin holds cannot change hands while we have its products locked.  The
 * round's own rows have no items yet, so they are not counted here. */
static bool find_held(struct db_conn *conn, struct plan *plan, struct err *err)
{
	static const struct db_many sql = {
		.head = "SELECT r.key_hash, i.product_id, CAST(SUM(i.quantity) AS SIGNED)"
			" FROM reservations r FORCE INDEX (twins)"
			" JOIN reservation_items i ON i.reservation_id = r.id"
			" WHERE r.state = 'pending' AND r.key_hash IN (",
		.row = "?",
		.tail = ") GROUP BY r.key_hash, i.product_id",
	};
	struct db_arg keys[BATCH_MAX];
	struct db_rows *rows;
	size_t n = short_keys(plan, keys);

	if (!n)
		return true;
	if (!db_query_many(conn, &sql, NULL, 0, keys, 1, n, &rows, err))
		return false;
	for (size_t i = 0; i < db_rows_count(rows); i++)
		plan_held(plan, db_str(rows, i, 0), db_str(rows, i, 1),
			  db_int(rows, i, 2));
	db_rows_free(rows);
	return true;
}

/* ---- write ---- */

static bool insert_items(struct db_conn *conn, const struct plan *plan, struct err *err)
{
	static const struct db_many sql = {
		.head = "INSERT INTO reservation_items (reservation_id, product_id,"
			" quantity, unit_price) VALUES ",
		.row = "(?, ?, ?, ?)",
	};
	struct db_arg *args = xcalloc(4 * plan->n_lines, sizeof(*args)), *arg = args;
	char(*prices)[MONEY_TEXT_MAX] = xcalloc(plan->n_lines, sizeof(*prices));
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < plan->n; i++) {
		const struct reservation *res = plan->members[i]->res;

		if (plan->members[i]->end != RESERVE_OK)
			continue;
		for (unsigned k = 0; k < res->n_lines; k++) {
			const struct reservation_line *line = &res->lines[k];

			money_format(prices[n], line->unit_price);
			*arg++ = DB_Z(res->id);
			*arg++ = DB_Z(line->product_id);
			*arg++ = DB_I(line->quantity);
			*arg++ = DB_Z(prices[n++]);
		}
	}
	ok = db_exec_many(conn, &sql, args, 4, n, NULL, err);
	free(prices);
	free(args);
	return ok;
}

static bool take_stock(struct db_conn *conn, const struct plan *plan, struct err *err)
{
	static const struct db_many sql = {
		.head = "UPDATE products FORCE INDEX (PRIMARY) SET stock = stock -"
			" CASE id ",
		.row = "WHEN ? THEN ?",
		.between = " ",
		.again = " END WHERE id IN (",
		.tail = ")",
	};
	struct db_arg *args = xcalloc(2 * plan->n_products, sizeof(*args));
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < plan->n_products; i++) {
		const struct plan_product *product = &plan->products[i];

		if (!product->taken)
			continue;
		args[2 * n] = DB_Z(product->id);
		args[2 * n + 1] = DB_I(product->taken);
		n++;
	}
	ok = db_exec_many(conn, &sql, args, 2, n, NULL, err);
	free(args);
	return ok;
}

static bool delete_refused(struct db_conn *conn, const struct plan *plan, struct err *err)
{
	static const struct db_many sql = {
		.head = "DELETE FROM reservations WHERE id IN (",
		.row = "?",
		.tail = ")",
	};
	struct db_arg ids[BATCH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++) {
		if (plan->members[i]->end != RESERVE_OK)
			ids[n++] = DB_Z(plan->members[i]->res->id);
	}
	return db_exec_many(conn, &sql, ids, 1, n, NULL, err);
}

static bool anybody_fits(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		if (plan->members[i]->end == RESERVE_OK)
			return true;
	}
	return false;
}

static enum db_verdict round_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct reserving *r = arg;
	struct plan *plan = &r->plan;

	r->duplicate = false;
	if (!read_clock(conn, r, err))
		return DB_FAIL;
	if (!insert_pending(conn, r, err)) {
		r->duplicate = db_is_duplicate(conn, "PRIMARY");
		return r->duplicate ? DB_ROLLBACK : DB_FAIL;
	}
	if (!lock_products(conn, plan, err))
		return DB_FAIL;
	plan_decide(plan);
	if (!find_held(conn, plan, err))
		return DB_FAIL;
	plan_judge(plan);
	if (!anybody_fits(plan))
		return DB_ROLLBACK;
	if (!insert_items(conn, plan, err) || !take_stock(conn, plan, err) ||
	    !delete_refused(conn, plan, err))
		return DB_FAIL;
	if (FAILPOINT("product_before_commit")) {
		err_set(err, ERR_INTERNAL, "failpoint product_before_commit");
		return DB_FAIL;
	}
	return DB_COMMIT;
}

/* ---- the same id again ---- */

/* `n` rows from `row` on are one stored reservation. */
static enum reserve_end compare_stored(struct reservation *res,
				       const struct db_rows *rows, size_t row, size_t n)
{
	res->state = reservation_state_from(db_str(rows, row, 1));
	res->expires_at = db_time(rows, row, 2);
	if (res->state == RESERVATION_RELEASED)
		return RESERVE_RELEASED;
	if (n != res->n_lines)
		return RESERVE_DIFFERS;
	for (unsigned i = 0; i < n; i++) {
		struct reservation_line *line = &res->lines[i];

		if (!str_eqz(db_str(rows, row + i, 3), line->product_id) ||
		    db_int(rows, row + i, 4) != line->quantity)
			return RESERVE_DIFFERS;
		line->unit_price = db_cents(rows, row + i, 5);
		str_copy(line->name, sizeof(line->name), db_str(rows, row + i, 6));
	}
	return RESERVE_OK;
}

static void answer_stored(struct reserve *one, const struct db_rows *rows, size_t row)
{
	size_t end = row;

	while (end < db_rows_count(rows) && str_eqz(db_str(rows, end, 0), one->res->id))
		end++;
	one->end = compare_stored(one->res, rows, row, end - row);
	one->replayed = one->end == RESERVE_OK;
	one->decided = true;
}

/* Answers all, of this round or not, whose id is stored. Both are sorted by id. */
static void answer_all_stored(struct plan *plan, const struct db_rows *rows)
{
	size_t row = 0;

	for (size_t i = 0; i < plan->n_all; i++) {
		struct reserve *one = plan->all[i];

		while (row < db_rows_count(rows) &&
		       strcmp(db_str(rows, row, 0).at, one->res->id) < 0)
			row++;
		if (!one->decided && row < db_rows_count(rows) &&
		    str_eqz(db_str(rows, row, 0), one->res->id))
			answer_stored(one, rows, row);
	}
}

static bool load_stored(struct db_conn *conn, struct plan *plan, struct err *err)
{
	static const struct db_many sql = {
		.head = "SELECT r.id, r.state, r.expires_at, i.product_id, i.quantity,"
			" i.unit_price, p.name FROM reservations r FORCE INDEX (PRIMARY)"
			" LEFT JOIN reservation_items i ON i.reservation_id = r.id"
			" LEFT JOIN products p ON p.id = i.product_id"
			" WHERE r.id IN (",
		.row = "?",
		.tail = ") ORDER BY r.id, i.product_id",
	};
	struct db_arg ids[BATCH_MAX];
	struct db_rows *rows;

	for (size_t i = 0; i < plan->n; i++)
		ids[i] = DB_Z(plan->members[i]->res->id);
	if (!db_query_many(conn, &sql, NULL, 0, ids, 1, plan->n, &rows, err))
		return false;
	answer_all_stored(plan, rows);
	db_rows_free(rows);
	return true;
}

/* ---- the batch ---- */

static size_t count_decided(const struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_all; i++)
		n += plan->all[i]->decided;
	return n;
}

/* From here on, ERR_BUSY would promise that nothing is held. */
static bool unknown(struct err *err)
{
	return err_slug(err, ERR_TIMEOUT, "database_timeout",
			"the database went away while reservations were stored");
}

/* `open`: may something be stored of which no answer tells? */
static bool run_round(struct db_conn *conn, struct reserving *r, bool *open,
		      struct err *err)
{
	switch (db_tx(conn, round_tx, r, err)) {
	case DB_TX_COMMITTED:
		*open = true;
		plan_settle(&r->plan);
		return true;
	case DB_TX_ROLLED_BACK:
		if (!r->duplicate) {
			plan_settle(&r->plan);
			return true;
		}
		/* An earlier request has stored it. */
		*open = true;
		return load_stored(conn, &r->plan, err);
	case DB_TX_UNKNOWN: *open = true; return load_stored(conn, &r->plan, err);
	case DB_TX_FAILED: break;
	}
	return false;
}

bool reservation_reserve_many(struct db_conn *conn, void **members, size_t n,
			      struct err *err)
{
	struct reserving r = {0};
	unsigned fruitless = 0;
	bool ok = true, open = false;

	plan_init(&r.plan, (struct reserve **)members, n);
	while (ok && plan_round(&r.plan)) {
		size_t before = count_decided(&r.plan);

		ok = run_round(conn, &r, &open, err);
		if (ok && count_decided(&r.plan) == before && ++fruitless > MAX_FRUITLESS)
			ok = err_slug(err, ERR_BUSY, "database_busy",
				      "other requests for the same ids were faster");
	}
	plan_fini(&r.plan);
	return ok || (open ? unknown(err) : false);
}

struct batch_stage *reservation_repo_stage(struct loop *loop, struct db_pool *pool,
					   const struct reserve_limits *limits,
					   struct metrics *metrics, struct err *err)
{
	struct batch_config cfg = {.name = "reserve",
				   .run = reservation_reserve_many,
				   .transactions = true,
				   .lanes = (unsigned)limits->lanes,
				   .max_batch = (unsigned)limits->batch,
				   .max_queue = (unsigned)limits->queue};

	return batch_new(loop, pool, &cfg, metrics, err);
}

/* Equal ids go to the same lane, where the second finds what the first did. */
void reservation_repo_reserve(struct batch_stage *stage, struct reserve *reserve,
			      db_done done)
{
	reserve->replayed = false;
	batch_add(stage, str_hash(str_from(reserve->res->id)), reserve, done, reserve);
}
