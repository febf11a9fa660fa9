/*
 * db_rows.c - a result held in memory: one table of cells, one block of text.
 *
 * Every column is read as text, which the client library makes from the binary
 * protocol's values; the getters parse what they need.
 */
#include <stdlib.h>

#include "db_internal.h"
#include "money.h"
#include "timeutil.h"

#define ROWS_MAX_BYTES (64u * 1024 * 1024)
/* The library does not report a width for every type; no number or date is
 * longer than this. */
#define CELL_MIN_BYTES 64

struct cell {
	uint32_t at, len; /* in `text` */
	bool null;
};

struct db_rows {
	size_t n;
	unsigned cols;
	struct cell *cells;
	char *text;
	size_t used, cap;
};

/* Buffers for one row, which the library fills again and again. */
struct reader {
	unsigned cols;
	MYSQL_BIND *binds;
	unsigned long *lengths;
	my_bool *nulls;
	char *buffer;
};

static void reader_fini(struct reader *reader)
{
	free(reader->binds);
	free(reader->lengths);
	free(reader->nulls);
	free(reader->buffer);
}

static void reader_init(struct reader *reader, const MYSQL_FIELD *fields, unsigned cols)
{
	size_t total = 0;
	char *at;

	reader->cols = cols;
	reader->binds = xcalloc(cols, sizeof(*reader->binds));
	reader->lengths = xcalloc(cols, sizeof(*reader->lengths));
	reader->nulls = xcalloc(cols, sizeof(*reader->nulls));
	for (unsigned i = 0; i < cols; i++) {
		MYSQL_BIND *bind = &reader->binds[i];

		bind->buffer_type = MYSQL_TYPE_STRING;
		bind->buffer_length = fields[i].max_length + 1;
		if (bind->buffer_length < CELL_MIN_BYTES)
			bind->buffer_length = CELL_MIN_BYTES;
		bind->length = &reader->lengths[i];
		bind->is_null = &reader->nulls[i];
		total += bind->buffer_length;
	}
	reader->buffer = xcalloc(1, total);
	at = reader->buffer;
	for (unsigned i = 0; i < cols; i++) {
		reader->binds[i].buffer = at;
		at += reader->binds[i].buffer_length;
	}
}

static bool append(struct db_rows *rows, struct cell *cell, const char *at, size_t len)
{
	if (rows->used + len + 1 > ROWS_MAX_BYTES)
		return false;
	if (rows->used + len + 1 > rows->cap) {
		while (rows->cap < rows->used + len + 1)
			rows->cap = rows->cap ? rows->cap * 2 : 512;
		rows->text = xrealloc(rows->text, rows->cap);
	}
	cell->at = (uint32_t)rows->used;
	cell->len = (uint32_t)len;
	memcpy(rows->text + rows->used, at, len);
	rows->text[rows->used + len] = '\0';
	rows->used += len + 1;
	return true;
}

static bool take_row(struct db_rows *rows, const struct reader *reader, size_t row)
{
	for (unsigned i = 0; i < reader->cols; i++) {
		struct cell *cell = &rows->cells[row * rows->cols + i];
		size_t len = reader->nulls[i] ? 0 : reader->lengths[i];

		if (len > reader->binds[i].buffer_length)
			return false;
		cell->null = reader->nulls[i];
		if (!append(rows, cell, reader->binds[i].buffer, len))
			return false;
	}
	return true;
}

static bool read_all(struct db_rows *rows, MYSQL_STMT *stmt, struct reader *reader,
		     struct err *err)
{
	if (mysql_stmt_bind_result(stmt, reader->binds) != 0)
		return false;
	for (size_t row = 0; row < rows->n; row++) {
		int rc = mysql_stmt_fetch(stmt);

		if (rc == 1 || rc == MYSQL_NO_DATA)
			return false;
		if (!take_row(rows, reader, row))
			return err_set(err, ERR_INTERNAL,
				       "database: a result is too large");
	}
	return true;
}

struct db_rows *db_rows_read(MYSQL_STMT *stmt, struct err *err)
{
	struct db_rows *rows;
	struct reader reader = {0};
	MYSQL_RES *meta;
	bool ok = true;

	if (mysql_stmt_field_count(stmt) > 0 && mysql_stmt_store_result(stmt) != 0)
		return NULL;
	rows = xcalloc(1, sizeof(*rows));
	meta = mysql_stmt_result_metadata(stmt);
	if (meta) {
		rows->n = mysql_stmt_num_rows(stmt);
		rows->cols = mysql_num_fields(meta);
		rows->cells = xcalloc(rows->n * rows->cols, sizeof(*rows->cells));
		reader_init(&reader, mysql_fetch_fields(meta), rows->cols);
		ok = read_all(rows, stmt, &reader, err);
		reader_fini(&reader);
		mysql_free_result(meta);
	}
	if (!ok) {
		db_rows_free(rows);
		return NULL;
	}
	return rows;
}

void db_rows_free(struct db_rows *rows)
{
	if (!rows)
		return;
	free(rows->cells);
	free(rows->text);
	free(rows);
}

size_t db_rows_count(const struct db_rows *rows)
{
	return rows->n;
}

static const struct cell *cell_at(const struct db_rows *rows, size_t row, unsigned col)
{
	if (row >= rows->n || col >= rows->cols)
		abort(); /* a fault in the calling code */
	return &rows->cells[row * rows->cols + col];
}

bool db_is_null(const struct db_rows *rows, size_t row, unsigned col)
{
	return cell_at(rows, row, col)->null;
}

struct str db_str(const struct db_rows *rows, size_t row, unsigned col)
{
	const struct cell *cell = cell_at(rows, row, col);

	return (struct str){rows->text + cell->at, cell->len};
}

int64_t db_int(const struct db_rows *rows, size_t row, unsigned col)
{
	struct str text = db_str(rows, row, col);
	const char *dot = memchr(text.at, '.', text.len);
	int64_t n = 0;

	/* SUM() and its like are DECIMAL, even of whole numbers. */
	if (dot)
		text.len = (size_t)(dot - text.at);
	return str_i64(text, &n) ? n : 0;
}

int64_t db_cents(const struct db_rows *rows, size_t row, unsigned col)
{
	int64_t cents = 0;

	return money_parse(db_str(rows, row, col), &cents) ? cents : 0;
}

int64_t db_time(const struct db_rows *rows, size_t row, unsigned col)
{
	int64_t ms = 0;

	return time_parse(db_str(rows, row, col), &ms) ? ms : 0;
}
