/*
 * product_repo.h - SQL <-> product.
 *
 * Every call takes a struct that the caller keeps until `done` has run (on the
 * loop, exactly once, with that struct as its argument); the answer is in it.
 * The error of `done` is for failures only: "no such product" is an answer.
 */
#ifndef PRODUCT_SVC_PRODUCT_REPO_H
#define PRODUCT_SVC_PRODUCT_REPO_H

#include "db.h"
#include "product.h"
#include "reservation.h"

/* What product_from_row() reads, in its order. */
#define PRODUCT_COLUMNS                                                                  \
	"id, name, description, category, image_url, price, stock, version, created_at," \
	" updated_at"
#define PRODUCT_COLUMN_COUNT 10

enum product_end {
	PRODUCT_OK,
	PRODUCT_MISSING,   /* no such product, or it was deleted */
	PRODUCT_EXISTS,    /* the id is taken, perhaps by a deleted one */
	PRODUCT_CHANGED,   /* If-Match names another version */
	PRODUCT_SHORT,     /* stock would go below zero */
	PRODUCT_TOO_MANY,  /* stock would pass PRODUCT_STOCK_MAX */
	PRODUCT_KEY_REUSED /* the key stands for another delta */
};

struct product_find {
	struct str id;
	void *owner; /* the caller's */
	enum product_end end;
	struct product product; /* valid until product_rows_fini() */
	struct db_rows *rows;
};
void product_repo_find(struct db_pool *pool, struct product_find *find, db_done done);

/* In the order of ids. */
struct product_list {
	const char *pattern; /* LIKE, of name or description */
	struct str category; /* .at == NULL: any */
	struct str after;    /* only ids greater than this one */
	int64_t limit;
	void *owner;
	struct db_rows *rows; /* free with product_rows_fini() */
	size_t n;             /* at most limit */
	bool more;            /* there are further ones */
};
void product_repo_list(struct db_pool *pool, struct product_list *list, db_done done);
/* Valid until product_rows_fini(). */
struct product product_from_row(const struct db_rows *rows, size_t row);
void product_rows_fini(struct db_rows **rows);

/* Create, replace or delete one. */
struct product_change {
	const struct product *want; /* removal: only its id */
	struct str if_match;        /* replacement, removal */
	struct str by;              /* creation: who, for stock_changes */
	void *owner;
	enum product_end end;
	struct product product; /* as it is now; valid until product_rows_fini() */
	struct db_rows *rows;
};
void product_repo_create(struct db_pool *pool, struct product_change *change,
			 db_done done);
void product_repo_replace(struct db_pool *pool, struct product_change *change,
			  db_done done);
void product_repo_remove(struct db_pool *pool, struct product_change *change,
			 db_done done);

/* Adds `delta` once for each (product, key). */
struct stock_change {
	struct str id, key, by;
	int64_t delta;
	void *owner;
	enum product_end end;
	bool replayed;            /* the key was used before */
	int64_t stock;            /* after the change, also when replayed */
	struct shortage shortage; /* PRODUCT_SHORT */
};
void product_repo_stock(struct db_pool *pool, struct stock_change *change, db_done done);

#endif
