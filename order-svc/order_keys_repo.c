/*
 * order_keys_repo.c - answers kept under idempotency keys: look many up at once,
 * store many refusals at once.
 */
#include <stdlib.h>

#include "order_repo_internal.h"

/* A plan made while the table was small would read all of it. */
#define FROM_KEYS " FROM order_keys FORCE INDEX (PRIMARY) WHERE "
#define KEY_IS    "(user_id = ? AND idempotency_key = ?)"

/* Refusals that meet answers of others: each round decides one more at least. */
#define MAX_ROUNDS 8

bool order_same_key(const struct order_wish *a, const struct order_wish *b)
{
	return *a->key && a->order.user_id == b->order.user_id &&
	       strcmp(a->key, b->key) == 0;
}

static int compare_keys(const struct order_wish *a, const struct order_wish *b)
{
	if (a->order.user_id != b->order.user_id)
		return a->order.user_id < b->order.user_id ? -1 : 1;
	return strcmp(a->key, b->key);
}

static void key_args(struct db_arg *args, const struct order_wish *wish)
{
	args[0] = DB_I(wish->order.user_id);
	args[1] = DB_Z(wish->key);
}

/* Columns user_id, idempotency_key. */
static bool row_is_of(const struct db_rows *rows, size_t row,
		      const struct order_wish *wish)
{
	return db_int(rows, row, 0) == wish->order.user_id &&
	       str_eqz(db_str(rows, row, 1), wish->key);
}

/* ---- look up ---- */

void order_lookup_fini(struct order_lookup *lookup)
{
	free(lookup->reply);
	lookup->reply = NULL;
}

static void fill_lookup(struct order_lookup *lookup, const struct db_rows *rows,
			size_t row)
{
	struct str reply = db_str(rows, row, 5);

	lookup->found = true;
	lookup->status = (int)db_int(rows, row, 2);
	str_copy(lookup->body_hash, sizeof(lookup->body_hash), db_str(rows, row, 3));
	lookup->order_id = db_int(rows, row, 4);
	lookup->reply = xstrndup(reply.at, reply.len);
}

static void share_answers(struct order_lookup **lookups, size_t n,
			  const struct db_rows *rows)
{
	for (size_t row = 0; row < db_rows_count(rows); row++) {
		for (size_t i = 0; i < n; i++) {
			if (row_is_of(rows, row, lookups[i]->wish))
				fill_lookup(lookups[i], rows, row);
		}
	}
}

bool order_lookup_many(struct db_conn *conn, void **members, size_t n, struct err *err)
{
	static const struct db_many select = {
		.head = "SELECT user_id, idempotency_key, status, body_hash, order_id,"
			" reply" FROM_KEYS,
		.row = KEY_IS,
		.between = " OR ",
	};
	struct order_lookup **lookups = (struct order_lookup **)members;
	struct db_arg args[BATCH_MAX * 2];
	struct db_rows *rows;
	size_t keys = 0;
	int64_t now;

	if (!db_clock_ask(&lookups[0]->op.repo->clock, conn, &now, err))
		return false;
	for (size_t i = 0; i < n; i++) {
		order_lookup_fini(lookups[i]);
		lookups[i]->found = false;
		lookups[i]->t0 = now;
		if (*lookups[i]->wish->key)
			key_args(&args[2 * keys++], lookups[i]->wish);
	}
	if (keys == 0)
		return true;
	if (!db_query_many(conn, &select, NULL, 0, args, 2, keys, &rows, err))
		return false;
	share_answers(lookups, n, rows);
	db_rows_free(rows);
	return true;
}

bool order_find_keys(struct db_conn *conn, const struct order_wish *const *wishes,
		     size_t n, bool *found, struct err *err)
{
	static const struct db_many select = {
		.head = "SELECT user_id, idempotency_key" FROM_KEYS,
		.row = KEY_IS,
		.between = " OR ",
	};
	struct db_arg args[BATCH_MAX * 2];
	struct db_rows *rows;
	size_t keys = 0;

	for (size_t i = 0; i < n; i++) {
		found[i] = false;
		if (*wishes[i]->key)
			key_args(&args[2 * keys++], wishes[i]);
	}
	if (keys == 0)
		return true;
	if (!db_query_many(conn, &select, NULL, 0, args, 2, keys, &rows, err))
		return false;
	for (size_t row = 0; row < db_rows_count(rows); row++) {
		for (size_t i = 0; i < n; i++)
			found[i] = found[i] || row_is_of(rows, row, wishes[i]);
	}
	db_rows_free(rows);
	return true;
}

/* ---- insert ---- */

static int by_key(const void *a, const void *b)
{
	const struct order_key_row *left = a, *right = b;

	return compare_keys(left->wish, right->wish);
}

bool order_insert_keys(struct db_conn *conn, struct order_key_row *rows, size_t n,
		       struct err *err)
{
	static const struct db_many insert = {
		.head = "INSERT INTO order_keys (user_id, idempotency_key, body_hash,"
			" status, reply, order_id, created_at) VALUES ",
		.row = "(?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))",
	};
	struct db_arg args[BATCH_MAX * 6], *arg = args;

	qsort(rows, n, sizeof(*rows), by_key);
	for (size_t i = 0; i < n; i++, arg += 6) {
		key_args(arg, rows[i].wish);
		arg[2] = DB_Z(rows[i].wish->hash);
		arg[3] = DB_I(rows[i].status);
		arg[4] = DB_S(rows[i].reply);
		arg[5] = rows[i].order_id ? DB_I(rows[i].order_id) : DB_NULL;
	}
	return db_exec_many(conn, &insert, args, 6, n, NULL, err);
}

/* ---- refuse ---- */

struct refuse_batch {
	struct order_refusal *open[BATCH_MAX]; /* not decided yet, in order of arrival */
	size_t n_open;
	struct order_refusal *now[BATCH_MAX]; /* each key of `open` once, its first */
	size_t n;
	bool collided;
};

/* A twin whose first one is being stored has to wait for that. */
static void choose(struct refuse_batch *batch)
{
	batch->n = 0;
	for (size_t i = 0; i < batch->n_open; i++) {
		bool twin = false;

		for (size_t k = 0; k < batch->n && !twin; k++)
			twin = order_same_key(batch->now[k]->wish, batch->open[i]->wish);
		if (!twin)
			batch->now[batch->n++] = batch->open[i];
	}
}

static bool insert_refusals(struct db_conn *conn, struct refuse_batch *batch,
			    struct err *err)
{
	struct order_key_row rows[BATCH_MAX] = {0};

	for (size_t i = 0; i < batch->n; i++)
		rows[i] = (struct order_key_row){.wish = batch->now[i]->wish,
						 .status = batch->now[i]->status,
						 .reply = batch->now[i]->reply};
	batch->collided = false;
	if (order_insert_keys(conn, rows, batch->n, err))
		return true;
	batch->collided = db_is_duplicate(conn, NULL);
	return false;
}

static enum db_verdict refuse_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct refuse_batch *batch = arg;

	if (insert_refusals(conn, batch, err))
		return DB_COMMIT;
	return batch->collided ? DB_ROLLBACK : DB_FAIL;
}

/* true with batch->collided: nothing was stored. */
static bool store(struct db_conn *conn, struct refuse_batch *batch, struct err *err)
{
	if (batch->n == 1)
		return insert_refusals(conn, batch, err) || batch->collided;
	switch (db_tx(conn, refuse_tx, batch, err)) {
	case DB_TX_COMMITTED:
	case DB_TX_ROLLED_BACK: return true;
	case DB_TX_FAILED: return false;
	case DB_TX_UNKNOWN: break;
	}
	/* Trying again is harmless: a refusal that was stored is then replayed. */
	err_set(err, ERR_BUSY, "the answer may not have been stored; try again");
	err->retry_after_s = 1;
	return false;
}

/* Those under whose key there is another answer. */
static bool take_out_taken(struct db_conn *conn, struct refuse_batch *batch,
			   struct err *err)
{
	const struct order_wish *wishes[BATCH_MAX];
	bool found[BATCH_MAX];
	size_t n = batch->n_open;

	for (size_t i = 0; i < n; i++)
		wishes[i] = batch->open[i]->wish;
	if (!order_find_keys(conn, wishes, n, found, err))
		return false;
	batch->n_open = 0;
	for (size_t i = 0; i < n; i++) {
		batch->open[i]->taken = found[i];
		if (!found[i])
			batch->open[batch->n_open++] = batch->open[i];
	}
	return true;
}

/* Stored: those that were tried; their twins find the key taken. */
static void decide(struct refuse_batch *batch)
{
	for (size_t i = 0; i < batch->n_open; i++)
		batch->open[i]->taken = true;
	for (size_t i = 0; i < batch->n; i++)
		batch->now[i]->taken = false;
}

static bool refuse_rounds(struct db_conn *conn, struct refuse_batch *batch,
			  struct err *err)
{
	for (unsigned round = 0; round < MAX_ROUNDS; round++) {
		choose(batch);
		if (batch->n == 0)
			return true;
		if (!store(conn, batch, err))
			return false;
		if (!batch->collided) {
			decide(batch);
			return true;
		}
		if (!take_out_taken(conn, batch, err))
			return false;
	}
	return err_set(err, ERR_INTERNAL, "refusals keep meeting other answers");
}

bool order_refuse_many(struct db_conn *conn, void **members, size_t n, struct err *err)
{
	struct refuse_batch batch = {.n_open = n};

	for (size_t i = 0; i < n; i++)
		batch.open[i] = members[i];
	return refuse_rounds(conn, &batch, err);
}
