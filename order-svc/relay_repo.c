/* relay_repo.c - lock, read, delete, set aside, measure. */
#include "relay_repo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool relay_repo_lock(struct db_conn *conn, int64_t shard, bool *leader, struct err *err)
{
	struct db_rows *rows;

	/* Lock names are global to the server and at most 64 characters long. */
	if (!db_query(conn, &rows, err,
		      "SELECT GET_LOCK(CONCAT(LEFT(DATABASE(), 40), '.outbox-relay-', "
		      "?), 0)",
		      DB_I(shard)))
		return false;
	*leader = db_int(rows, 0, 0) == 1;
	db_rows_free(rows);
	return true;
}

bool relay_repo_read(struct db_conn *conn, int64_t limit, struct relay_row *row,
		     size_t *n, struct db_rows **rows, struct err *err)
{
	/* Always from the lowest id that is left, never from a remembered one: ids
	 * become visible in commit order, which is not their own order. */
	if (!db_query(conn, rows, err,
		      "SELECT id, user_id, event_id, payload, traceparent, request_id"
		      " FROM outbox o WHERE NOT EXISTS (SELECT 1 FROM outbox_set_aside a"
		      " WHERE a.user_id = o.user_id AND a.outbox_id <= o.id)"
		      " ORDER BY id LIMIT ?",
		      DB_I(limit)))
		return false;
	*n = db_rows_count(*rows);
	for (size_t i = 0; i < *n; i++) {
		row[i].id = db_int(*rows, i, 0);
		row[i].user_id = db_int(*rows, i, 1);
		row[i].event_id = db_str(*rows, i, 2);
		row[i].payload = db_str(*rows, i, 3);
		row[i].traceparent =
			db_is_null(*rows, i, 4) ? STR_NONE : db_str(*rows, i, 4);
		row[i].request_id = db_str(*rows, i, 5);
	}
	return true;
}

bool relay_repo_delete(struct db_conn *conn, const int64_t *ids, size_t n,
		       struct err *err)
{
	static const char head[] = "DELETE FROM outbox WHERE id IN (";
	size_t size = sizeof(head) + 2 * n + 2, len = sizeof(head) - 1;
	struct db_arg *args;
	char *sql;
	bool ok;

	if (n == 0)
		return true;
	args = xcalloc(n, sizeof(*args));
	sql = xcalloc(1, size);
	memcpy(sql, head, len);
	for (size_t i = 0; i < n; i++) {
		args[i] = DB_I(ids[i]);
		sql[len++] = '?';
		sql[len++] = i + 1 < n ? ',' : ')';
	}
	ok = db_exec_text(conn, sql, args, n, err);
	free(sql);
	free(args);
	return ok;
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
