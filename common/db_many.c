/*
 * db_many.c - one statement about many rows, prepared for a few row counts.
 *
 * An execution serves 1 … 16 rows or a multiple of 8, so that a connection keeps
 * at most 22 statements of a kind; n rows are n / 64 + 2 executions at most, and the
 * usual ones, up to 16, a single one.
 */
#include <stdlib.h>

#include "db_internal.h"

#define EXACT 16
#define STEP  8

/* ---- text ---- */

static size_t append(char *dst, size_t at, const char *text)
{
	size_t len = strlen(text);

	memcpy(dst + at, text, len + 1);
	return at + len;
}

static size_t append_rows(char *dst, size_t at, const char *row, const char *between,
			  unsigned rows)
{
	for (unsigned i = 0; i < rows; i++) {
		if (i)
			at = append(dst, at, between);
		at = append(dst, at, row);
	}
	return at;
}

char *db_many_text(const struct db_many *sql, unsigned rows)
{
	const char *between = sql->between ? sql->between : ", ";
	const char *tail = sql->tail ? sql->tail : "";
	const char *again = sql->again ? sql->again : "";
	size_t each = strlen(sql->row) + strlen(between) + strlen("?, ");
	char *text = xcalloc(1, strlen(sql->head) + rows * each + strlen(again) +
					strlen(tail) + 1);
	size_t at = append(text, 0, sql->head);

	at = append_rows(text, at, sql->row, between, rows);
	if (sql->again) {
		at = append(text, at, again);
		at = append_rows(text, at, "?", ", ", rows);
	}
	append(text, at, tail);
	return text;
}

/* ---- parameters ---- */

/* `rows` rows from the `n` that are given, the last one repeated. */
static size_t gather(struct db_arg *dst, const struct db_many *sql,
		     const struct db_arg *args, unsigned per_row, size_t n, unsigned rows)
{
	size_t at = 0;

	for (size_t i = 0; i < rows; i++) {
		const struct db_arg *row = args + (i < n ? i : n - 1) * per_row;

		memcpy(dst + at, row, per_row * sizeof(*dst));
		at += per_row;
	}
	for (size_t i = 0; sql->again && i < rows; i++)
		dst[at++] = args[(i < n ? i : n - 1) * per_row];
	return at;
}

/* ---- execute ---- */

/* The next execution takes so many of the `left` rows. */
static unsigned piece(size_t left)
{
	if (left >= DB_MANY_MAX)
		return DB_MANY_MAX;
	return left <= EXACT ? (unsigned)left : (unsigned)(left / STEP * STEP);
}

static bool exec_piece(struct db_conn *conn, const struct db_many *sql,
		       const struct db_arg *args, unsigned per_row, unsigned rows,
		       struct err *err)
{
	struct db_stmt_key key = {.sql = sql, .rows = rows};
	struct db_arg *all;
	size_t n = rows * per_row;
	bool ok;

	if (!sql->again)
		return db_stmt_run(conn, key, args, n, NULL, err);
	all = xcalloc(n + rows, sizeof(*all));
	n = gather(all, sql, args, per_row, rows, rows);
	ok = db_stmt_run(conn, key, all, n, NULL, err);
	free(all);
	return ok;
}

bool db_exec_many(struct db_conn *conn, const struct db_many *sql,
		  const struct db_arg *args, unsigned per_row, size_t n,
		  uint64_t *affected, struct err *err)
{
	uint64_t sum = 0;

	for (size_t i = 0, rows; i < n; i += rows) {
		rows = piece(n - i);
		if (!exec_piece(conn, sql, args + i * per_row, per_row, (unsigned)rows,
				err))
			return false;
		sum += db_affected(conn);
	}
	if (affected)
		*affected = sum;
	return true;
}

/* Servers that replicate to each other hand out every k-th id. */
static bool know_id_step(struct db_conn *conn, struct err *err)
{
	struct db_rows *rows;

	if (conn->id_step)
		return true;
	if (!db_query0(conn, &rows, err, "SELECT @@SESSION.auto_increment_increment"))
		return false;
	conn->id_step = db_int(rows, 0, 0);
	db_rows_free(rows);
	return true;
}

bool db_insert_many(struct db_conn *conn, const struct db_many *sql,
		    const struct db_arg *args, unsigned per_row, size_t n, int64_t *ids,
		    struct err *err)
{
	if (n && !know_id_step(conn, err))
		return false;
	for (size_t i = 0, rows; i < n; i += rows) {
		rows = piece(n - i);
		if (!exec_piece(conn, sql, args + i * per_row, per_row, (unsigned)rows,
				err))
			return false;
		for (size_t k = 0; k < rows; k++)
			ids[i + k] =
				(int64_t)db_insert_id(conn) + (int64_t)k * conn->id_step;
	}
	return true;
}

bool db_query_many(struct db_conn *conn, const struct db_many *sql,
		   const struct db_arg *first, unsigned n_first,
		   const struct db_arg *args, unsigned per_row, size_t n,
		   struct db_rows **rows, struct err *err)
{
	unsigned padded = (unsigned)(n <= EXACT ? n : (n + STEP - 1) / STEP * STEP);
	struct db_stmt_key key = {.sql = sql, .rows = padded};
	struct db_arg *all;
	bool ok;

	*rows = NULL;
	if (n == 0 || n > DB_MANY_MAX)
		return err_set(err, ERR_INTERNAL, "a query about %zu rows", n);
	all = xcalloc(n_first + (size_t)padded * (per_row + 1), sizeof(*all));
	if (n_first)
		memcpy(all, first, n_first * sizeof(*all));
	n = n_first + gather(all + n_first, sql, args, per_row, n, padded);
	ok = db_stmt_run(conn, key, all, n, rows, err);
	free(all);
	return ok;
}
