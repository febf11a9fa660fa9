/*
 * catalogue_repo.c - the looks at the database for the copy of the catalogue.
 *
 * Each statement sees one moment (READ COMMITTED), a later one than the statement
 * before it.  The version is read first, so all changes up to it are in what follows.
 */
#include "catalogue_repo.h"

enum { CHANGED = PRODUCT_COLUMN_COUNT, DELETED };

static bool read_version(struct db_conn *conn, struct catalogue_look *look,
			 struct err *err)
{
	struct db_rows *rows;
	bool ok;

	if (!db_query0(conn, &rows, err,
		       "SELECT version FROM catalogue_version WHERE id = 1"))
		return false;
	ok = db_rows_count(rows) == 1;
	if (ok)
		look->version = db_int(rows, 0, 0);
	db_rows_free(rows);
	return ok || err_set(err, ERR_INTERNAL, "catalogue_version has lost its row");
}

static bool read_rows(struct db_conn *conn, struct catalogue_look *look, struct err *err)
{
	if (look->load)
		return db_query(conn, &look->rows, err,
				"SELECT " PRODUCT_COLUMNS ", changed, 0 FROM products"
				" WHERE id > ? AND deleted_at IS NULL"
				" ORDER BY id LIMIT ?",
				DB_Z(look->after), DB_I(LOOK_ROWS));
	if (look->version <= look->known)
		return true;
	return db_query(conn, &look->rows, err,
			"SELECT " PRODUCT_COLUMNS ", changed, deleted_at IS NOT NULL"
			" FROM products WHERE changed > ? ORDER BY changed LIMIT ?",
			DB_I(look->known), DB_I(LOOK_ROWS));
}

static bool read_stocks(struct db_conn *conn, struct catalogue_look *look,
			struct err *err)
{
	static const struct db_many sql = {.head = "SELECT id, stock FROM products"
						   " WHERE id IN (",
					   .row = "?",
					   .tail = ")"};
	struct db_arg args[DB_MANY_MAX];

	for (size_t at = 0; at < look->n_ids; at += DB_MANY_MAX) {
		size_t n =
			look->n_ids - at < DB_MANY_MAX ? look->n_ids - at : DB_MANY_MAX;

		for (size_t i = 0; i < n; i++)
			args[i] = DB_Z(look->ids[at + i]);
		if (!db_query_many(conn, &sql, NULL, 0, args, 1, n,
				   &look->stocks[look->n_stocks], err))
			return false;
		look->n_stocks++;
	}
	return true;
}

static bool look_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct catalogue_look *look = arg;

	return read_version(conn, look, err) && read_rows(conn, look, err) &&
	       read_stocks(conn, look, err);
}

void catalogue_repo_look(struct db_pool *pool, struct catalogue_look *look, db_done done)
{
	look->rows = NULL;
	look->n_stocks = 0;
	db_run(pool, look_job, done, look);
}

void catalogue_look_fini(struct catalogue_look *look)
{
	db_rows_free(look->rows);
	look->rows = NULL;
	while (look->n_stocks)
		db_rows_free(look->stocks[--look->n_stocks]);
}

int64_t catalogue_row_changed(const struct db_rows *rows, size_t row)
{
	return db_int(rows, row, CHANGED);
}

bool catalogue_row_deleted(const struct db_rows *rows, size_t row)
{
	return db_int(rows, row, DELETED) != 0;
}

struct str catalogue_stock_id(const struct db_rows *rows, size_t row)
{
	return db_str(rows, row, 0);
}

int64_t catalogue_stock_of(const struct db_rows *rows, size_t row)
{
	return db_int(rows, row, 1);
}
