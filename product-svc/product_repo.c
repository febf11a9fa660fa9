/* product_repo.c - the tables products and stock_changes. */
#include "product_repo.h"

#include "http_lists.h"
#include "money.h"

/* ---- rows ---- */

struct product product_from_row(const struct db_rows *rows, size_t row)
{
	return (struct product){
		.id = db_str(rows, row, 0),
		.name = db_str(rows, row, 1),
		.description = db_str(rows, row, 2),
		.category = db_str(rows, row, 3),
		.image_url = db_is_null(rows, row, 4) ? STR_NONE : db_str(rows, row, 4),
		.price = db_cents(rows, row, 5),
		.stock = db_int(rows, row, 6),
		.version = db_int(rows, row, 7),
		.created_at = db_time(rows, row, 8),
		.updated_at = db_time(rows, row, 9),
	};
}

void product_rows_fini(struct db_rows **rows)
{
	db_rows_free(*rows);
	*rows = NULL;
}

static bool select_one(struct db_conn *conn, struct str id, struct db_rows **rows,
		       struct err *err)
{
	return db_query(conn, rows, err,
			"SELECT " PRODUCT_COLUMNS " FROM products"
			" WHERE id = ? AND deleted_at IS NULL",
			DB_S(id));
}

/* ---- reading ---- */

static bool find_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct product_find *find = arg;

	if (!select_one(conn, find->id, &find->rows, err))
		return false;
	find->end = db_rows_count(find->rows) ? PRODUCT_OK : PRODUCT_MISSING;
	if (find->end == PRODUCT_OK)
		find->product = product_from_row(find->rows, 0);
	return true;
}

void product_repo_find(struct db_pool *pool, struct product_find *find, db_done done)
{
	find->rows = NULL;
	db_run(pool, find_job, done, find);
}

/* One row more than asked for tells whether there are more. */
static bool query_page(struct db_conn *conn, struct product_list *list, struct err *err)
{
	if (list->category.at)
		return db_query(conn, &list->rows, err,
				"SELECT " PRODUCT_COLUMNS " FROM products"
				" WHERE category = ? AND id > ? AND deleted_at IS NULL"
				" AND (name LIKE ? ESCAPE '!'"
				" OR description LIKE ? ESCAPE '!')"
				" ORDER BY id LIMIT ?",
				DB_S(list->category), DB_S(list->after),
				DB_Z(list->pattern), DB_Z(list->pattern),
				DB_I(list->limit + 1));
	return db_query(conn, &list->rows, err,
			"SELECT " PRODUCT_COLUMNS " FROM products"
			" WHERE id > ? AND deleted_at IS NULL"
			" AND (name LIKE ? ESCAPE '!' OR description LIKE ? ESCAPE '!')"
			" ORDER BY id LIMIT ?",
			DB_S(list->after), DB_Z(list->pattern), DB_Z(list->pattern),
			DB_I(list->limit + 1));
}

static bool list_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct product_list *list = arg;

	if (!query_page(conn, list, err))
		return false;
	list->n = db_rows_count(list->rows);
	list->more = list->n > (size_t)list->limit;
	if (list->more)
		list->n = (size_t)list->limit;
	return true;
}

void product_repo_list(struct db_pool *pool, struct product_list *list, db_done done)
{
	list->rows = NULL;
	db_run(pool, list_job, done, list);
}

/* ---- changing the catalogue ---- */

/* Tells all instances. Last in its transaction: the row is locked until the commit,
 * for every change of the catalogue; the product is locked before it, always. */
static bool mark_changed(struct db_conn *conn, struct str id, struct err *err)
{
	return db_exec0(conn, err,
			"UPDATE catalogue_version SET version = version + 1"
			" WHERE id = 1") &&
	       db_exec(conn, err,
		       "UPDATE products SET changed ="
		       " (SELECT version FROM catalogue_version WHERE id = 1)"
		       " WHERE id = ?",
		       DB_S(id));
}

/* Ends a change; re-reads the product inside the transaction, so the answer is what was
 * stored. */
static enum db_verdict answer_with(struct db_conn *conn, struct product_change *change,
				   struct err *err)
{
	if (!mark_changed(conn, change->want->id, err) ||
	    !select_one(conn, change->want->id, &change->rows, err))
		return DB_FAIL;
	if (!db_rows_count(change->rows)) {
		err_set(err, ERR_INTERNAL, "a product vanished inside its transaction");
		return DB_FAIL;
	}
	change->product = product_from_row(change->rows, 0);
	change->end = PRODUCT_OK;
	return DB_COMMIT;
}

static bool insert_stock_change(struct db_conn *conn, const struct stock_change *change,
				struct err *err)
{
	return db_exec(conn, err,
		       "INSERT INTO stock_changes (product_id, idempotency_key, delta,"
		       " stock_after, changed_by, created_at)"
		       " VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3))",
		       DB_S(change->id), DB_S(change->key), DB_I(change->delta),
		       DB_I(change->stock), DB_S(change->by));
}

static enum db_verdict create_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct product_change *change = arg;
	const struct product *p = change->want;
	struct stock_change first = {.id = p->id,
				     .key = STR(""),
				     .by = change->by,
				     .delta = p->stock,
				     .stock = p->stock};
	char price[MONEY_TEXT_MAX];

	product_rows_fini(&change->rows);
	money_format(price, p->price);
	if (!db_exec(conn, err,
		     "INSERT INTO products (id, name, description, category, image_url,"
		     " price, stock, version, created_at, updated_at)"
		     " VALUES (?, ?, ?, ?, ?, ?, ?, 1,"
		     " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
		     DB_S(p->id), DB_S(p->name), DB_S(p->description), DB_S(p->category),
		     DB_OPT(p->image_url), DB_Z(price), DB_I(p->stock))) {
		if (!db_is_duplicate(conn, "PRIMARY"))
			return DB_FAIL;
		change->end = PRODUCT_EXISTS;
		return DB_ROLLBACK;
	}
	if (!insert_stock_change(conn, &first, err))
		return DB_FAIL;
	return answer_with(conn, change, err);
}

static bool create_job(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, create_tx, arg, err), err);
}

void product_repo_create(struct db_pool *pool, struct product_change *change,
			 db_done done)
{
	change->rows = NULL;
	db_run(pool, create_job, done, change);
}

/* Locks the product and compares its version. DB_COMMIT: go on. */
static enum db_verdict check_version(struct db_conn *conn, struct product_change *change,
				     struct err *err)
{
	char etag[PRODUCT_ETAG_MAX];
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT version FROM products WHERE id = ? AND deleted_at IS NULL"
		      " FOR UPDATE",
		      DB_S(change->want->id)))
		return DB_FAIL;
	change->end = PRODUCT_MISSING;
	if (db_rows_count(rows)) {
		product_etag(etag, db_int(rows, 0, 0));
		change->end = http_etag_listed(change->if_match, str_from(etag), false)
				      ? PRODUCT_OK
				      : PRODUCT_CHANGED;
	}
	db_rows_free(rows);
	return change->end == PRODUCT_OK ? DB_COMMIT : DB_ROLLBACK;
}

static enum db_verdict replace_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct product_change *change = arg;
	const struct product *p = change->want;
	char price[MONEY_TEXT_MAX];
	enum db_verdict verdict;

	product_rows_fini(&change->rows);
	verdict = check_version(conn, change, err);
	if (verdict != DB_COMMIT)
		return verdict;
	money_format(price, p->price);
	if (!db_exec(conn, err,
		     "UPDATE products SET name = ?, description = ?, category = ?,"
		     " image_url = ?, price = ?,"
		     " version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?",
		     DB_S(p->name), DB_S(p->description), DB_S(p->category),
		     DB_OPT(p->image_url), DB_Z(price), DB_S(p->id)))
		return DB_FAIL;
	return answer_with(conn, change, err);
}

static bool replace_job(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, replace_tx, arg, err), err);
}

void product_repo_replace(struct db_pool *pool, struct product_change *change,
			  db_done done)
{
	change->rows = NULL;
	db_run(pool, replace_job, done, change);
}

static enum db_verdict remove_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct product_change *change = arg;
	enum db_verdict verdict = check_version(conn, change, err);

	if (verdict != DB_COMMIT)
		return verdict;
	if (!db_exec(conn, err,
		     "UPDATE products SET deleted_at = UTC_TIMESTAMP(3),"
		     " version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?",
		     DB_S(change->want->id)) ||
	    !mark_changed(conn, change->want->id, err))
		return DB_FAIL;
	return DB_COMMIT;
}

static bool remove_job(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, remove_tx, arg, err), err);
}

void product_repo_remove(struct db_pool *pool, struct product_change *change,
			 db_done done)
{
	change->rows = NULL;
	db_run(pool, remove_job, done, change);
}

/* ---- changing stock ---- */

/* Was the key used? Then the answer is filled in from its row. */
static bool look_up_key(struct db_conn *conn, struct stock_change *change, bool *used,
			struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT delta, stock_after FROM stock_changes"
		      " WHERE product_id = ? AND idempotency_key = ?",
		      DB_S(change->id), DB_S(change->key)))
		return false;
	*used = db_rows_count(rows) > 0;
	if (*used) {
		change->replayed = db_int(rows, 0, 0) == change->delta;
		change->stock = db_int(rows, 0, 1);
		change->end = change->replayed ? PRODUCT_OK : PRODUCT_KEY_REUSED;
	}
	db_rows_free(rows);
	return true;
}

static enum product_end judge_stock(struct stock_change *change, int64_t before)
{
	if (before + change->delta < 0) {
		str_copy(change->shortage.product_id, sizeof(change->shortage.product_id),
			 change->id);
		change->shortage.available = before;
		change->shortage.requested = -change->delta;
		return PRODUCT_SHORT;
	}
	if (before + change->delta > PRODUCT_STOCK_MAX)
		return PRODUCT_TOO_MANY;
	change->stock = before + change->delta;
	return PRODUCT_OK;
}

/* The product's row is locked first, so two uses of one key wait for each other. */
static enum db_verdict stock_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct stock_change *change = arg;
	struct db_rows *rows;
	int64_t before = 0;
	bool used;

	change->replayed = false;
	if (!db_query(conn, &rows, err,
		      "SELECT stock FROM products WHERE id = ? AND deleted_at IS NULL"
		      " FOR UPDATE",
		      DB_S(change->id)))
		return DB_FAIL;
	change->end = db_rows_count(rows) ? PRODUCT_OK : PRODUCT_MISSING;
	if (change->end == PRODUCT_OK)
		before = db_int(rows, 0, 0);
	db_rows_free(rows);
	if (change->end == PRODUCT_MISSING)
		return DB_ROLLBACK;
	if (!look_up_key(conn, change, &used, err))
		return DB_FAIL;
	if (used)
		return DB_ROLLBACK;
	change->end = judge_stock(change, before);
	if (change->end != PRODUCT_OK)
		return DB_ROLLBACK;
	if (!db_exec(conn, err, "UPDATE products SET stock = stock + ? WHERE id = ?",
		     DB_I(change->delta), DB_S(change->id)) ||
	    !insert_stock_change(conn, change, err))
		return DB_FAIL;
	return DB_COMMIT;
}

static bool stock_job(struct db_conn *conn, void *arg, struct err *err)
{
	enum db_tx_end end = db_tx(conn, stock_tx, arg, err);

	if (end != DB_TX_UNKNOWN)
		return db_tx_ok(end, err);
	/* The key makes a second run safe: it finds the row if the first one counted,
	 * and waits for the product's lock while that is still being decided. One that
	 * fails has found out nothing. */
	end = db_tx(conn, stock_tx, arg, err);
	return db_tx_ok(end == DB_TX_FAILED ? DB_TX_UNKNOWN : end, err);
}

void product_repo_stock(struct db_pool *pool, struct stock_change *change, db_done done)
{
	db_run(pool, stock_job, done, change);
}
