/* relay_repo.c - read, delete, set aside, measure. */
#include "relay_repo.h"

#include <stdlib.h>

/* Always from the lowest id that is left, never from a remembered one: ids become
 * visible in commit order, which is not their own order. */
#define SELECT                                                                         \
	"SELECT id, user_id, event_id, payload, traceparent, request_id FROM outbox o" \
	" WHERE NOT EXISTS (SELECT 1 FROM outbox_set_aside a"                          \
	" WHERE a.user_id = o.user_id AND a.outbox_id <= o.id)"                        \
	" AND FIND_IN_SET(o.user_id, ?) = 0"
/* A branch for each shard keeps every one of them a short scan of its part of the
 * index, however much waits in the others. */
#define BRANCH "(" SELECT " AND shard = ? ORDER BY shard, id LIMIT ?)"
#define TWO    BRANCH " UNION ALL " BRANCH
#define FOUR   TWO " UNION ALL " TWO

_Static_assert(RELAY_SHARDS == 8, "the statement has eight branches");

static void row_get(struct relay_row *row, const struct db_rows *rows, size_t i)
{
	row->id = db_int(rows, i, 0);
	row->user_id = db_int(rows, i, 1);
	row->event_id = db_str(rows, i, 2);
	row->payload = db_str(rows, i, 3);
	row->traceparent = db_is_null(rows, i, 4) ? STR_NONE : db_str(rows, i, 4);
	row->request_id = db_str(rows, i, 5);
}

static int by_id(const void *a, const void *b)
{
	const struct relay_row *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static void fill(struct relay_batch *batch)
{
	batch->n = db_rows_count(batch->rows);
	for (size_t i = 0; i < batch->n; i++)
		row_get(&batch->row[i], batch->rows, i);
}

/* Everything is ours: one walk along the primary key. */
static bool read_all(struct db_conn *conn, const char *without, struct relay_batch *batch,
		     struct err *err)
{
	if (!db_query(conn, &batch->rows, err, SELECT " ORDER BY id LIMIT ?",
		      DB_Z(without), DB_I(batch->max)))
		return false;
	fill(batch);
	batch->more = batch->n >= batch->max;
	return true;
}

static bool read_some(struct db_conn *conn, relay_shards shards, const char *without,
		      struct relay_batch *batch, struct err *err)
{
	size_t limit = batch->max / relay_shards_count(shards) + 1;
	size_t of_shard[RELAY_SHARDS] = {0};
	struct db_arg args[3 * RELAY_SHARDS];

	for (unsigned s = 0; s < RELAY_SHARDS; s++) {
		args[3 * s] = DB_Z(without);
		args[3 * s + 1] = DB_I(shards & 1u << s ? (int)s : -1);
		args[3 * s + 2] = DB_I(limit);
	}
	if (!db_query_v(conn, FOUR " UNION ALL " FOUR, args, ARRAY_LEN(args),
			&batch->rows, err))
		return false;
	fill(batch);
	for (size_t i = 0; i < batch->n; i++)
		if (++of_shard[batch->row[i].user_id % RELAY_SHARDS] == limit)
			batch->more = true;
	/* In which order a UNION gives its branches is not promised. */
	qsort(batch->row, batch->n, sizeof(*batch->row), by_id);
	return true;
}

bool relay_repo_read(struct db_conn *conn, relay_shards shards, const char *without,
		     struct relay_batch *batch, struct err *err)
{
	batch->rows = NULL;
	batch->n = 0;
	batch->more = false;
	if (shards == RELAY_ALL_SHARDS)
		return read_all(conn, without, batch, err);
	return read_some(conn, shards, without, batch, err);
}

struct ids {
	const int64_t *id;
	size_t n;
};

/* In pieces, but in one transaction, so that they cost one commit. */
static enum db_verdict delete_tx(struct db_conn *conn, void *arg, struct err *err)
{
	static const struct db_many sql = {
		.head = "DELETE FROM outbox WHERE id IN (", .row = "?", .tail = ")"};
	const struct ids *ids = arg;
	struct db_arg *args = xcalloc(ids->n, sizeof(*args));
	bool ok;

	for (size_t i = 0; i < ids->n; i++)
		args[i] = DB_I(ids->id[i]);
	ok = db_exec_many(conn, &sql, args, 1, ids->n, NULL, err);
	free(args);
	return ok ? DB_COMMIT : DB_FAIL;
}

bool relay_repo_delete(struct db_conn *conn, const int64_t *ids, size_t n,
		       struct err *err)
{
	struct ids all = {ids, n};

	if (n == 0)
		return true;
	switch (db_tx(conn, delete_tx, &all, err)) {
	case DB_TX_COMMITTED: return true;
	case DB_TX_ROLLED_BACK:
	case DB_TX_FAILED: return false;
	case DB_TX_UNKNOWN: break;
	}
	/* What is still there is published again. */
	return err_set(err, ERR_BUSY, "the connection broke while rows were deleted");
}

bool relay_repo_set_aside(struct db_conn *conn, const struct relay_row *row,
			  const char *reason, struct err *err)
{
	return db_exec(
		conn, err,
		"INSERT INTO outbox_set_aside (outbox_id, user_id, reason, created_at)"
		" VALUES (?, ?, ?, UTC_TIMESTAMP(3))",
		DB_I(row->id), DB_I(row->user_id), DB_Z(reason));
}

bool relay_repo_measure(struct db_conn *conn, struct relay_backlog *backlog,
			struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM outbox LIMIT ?) AS "
		      "head),"
		      " (SELECT created_at FROM outbox ORDER BY id LIMIT 1),"
		      " (SELECT COUNT(*) FROM outbox_set_aside), UTC_TIMESTAMP(3)",
		      DB_I(RELAY_DEPTH_MAX)))
		return false;
	backlog->depth = db_int(rows, 0, 0);
	backlog->age_ms =
		db_is_null(rows, 0, 1) ? 0 : db_time(rows, 0, 3) - db_time(rows, 0, 1);
	backlog->set_aside = db_int(rows, 0, 2);
	db_rows_free(rows);
	return true;
}
