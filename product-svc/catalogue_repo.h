/*
 * catalogue_repo.h - one look at the database for the copy of the catalogue: what
 * has changed, or the next part of all of it, and the stock of some products.
 */
#ifndef PRODUCT_SVC_CATALOGUE_REPO_H
#define PRODUCT_SVC_CATALOGUE_REPO_H

#include "db.h"
#include "product_repo.h"

#define LOOK_ROWS 200
#define LOOK_IDS  1024

struct catalogue_look {
	/* asked for */
	bool load; /* the next products after `after`; otherwise what changed since */
	char after[PRODUCT_ID_MAX + 1];
	int64_t known;                   /* number of the last change seen */
	char (*ids)[PRODUCT_ID_MAX + 1]; /* whose stock is wanted */
	size_t n_ids;                    /* at most LOOK_IDS */
	void *owner;                     /* the caller's */
	/* found */
	int64_t version;      /* read before all else */
	struct db_rows *rows; /* at most LOOK_ROWS, or NULL */
	struct db_rows *stocks[LOOK_IDS / DB_MANY_MAX];
	size_t n_stocks;
};

/* The caller keeps `look` until `done` has run with it as argument. */
void catalogue_repo_look(struct db_pool *pool, struct catalogue_look *look, db_done done);
void catalogue_look_fini(struct catalogue_look *look); /* frees what was found */

/* A row of `rows` is one for product_from_row(), and has: */
int64_t catalogue_row_changed(const struct db_rows *rows, size_t row);
bool catalogue_row_deleted(const struct db_rows *rows, size_t row);
/* A row of a `stocks`: */
struct str catalogue_stock_id(const struct db_rows *rows, size_t row);
int64_t catalogue_stock_of(const struct db_rows *rows, size_t row);

#endif
