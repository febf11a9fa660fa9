/*
 * catalogue_index.h - products in memory, in the order of their ids (as bytes, which
 * is the column's order), each with its JSON ready to send.  Pure.
 *
 * Entries belong to the index; pointers to them are valid until it is changed.
 */
#ifndef PRODUCT_SVC_CATALOGUE_INDEX_H
#define PRODUCT_SVC_CATALOGUE_INDEX_H

#include "product.h"

struct catalogue_entry {
	int64_t stock_ms; /* monotonic; when its stock was read, or just before */
	uint64_t read;    /* the look that read it; see catalogue.c */
	uint64_t wanted;  /* the look that is to read it next */
	int64_t version;
	char etag[PRODUCT_ETAG_MAX];
	struct str id, json; /* in `text` */
	size_t stock_at, stock_len;
	size_t bytes; /* of this entry in memory, about */
	char text[];  /* the id, then the JSON with room for any stock */
};

struct catalogue_index;

struct catalogue_index *catalogue_index_new(void);
void catalogue_index_free(struct catalogue_index *index); /* accepts NULL */

/* Adds the product, or replaces it when `product` is not an older version. Returns
 * its entry, or NULL when it was older. */
struct catalogue_entry *catalogue_index_put(struct catalogue_index *index,
					    const struct product *product);
void catalogue_index_remove(struct catalogue_index *index, struct str id);
struct catalogue_entry *catalogue_index_find(const struct catalogue_index *index,
					     struct str id);
/* The entries with ids greater than `after` from `*first` on. Returns how many. */
size_t catalogue_index_after(const struct catalogue_index *index, struct str after,
			     struct catalogue_entry ***first);
void catalogue_entry_set_stock(struct catalogue_entry *entry, int64_t stock);

size_t catalogue_index_count(const struct catalogue_index *index);
size_t catalogue_index_bytes(const struct catalogue_index *index); /* of memory, about */

#endif
