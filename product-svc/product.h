/*
 * product.h - what a product is: rules, JSON and entity tags.  Pure.
 */
#ifndef PRODUCT_SVC_PRODUCT_H
#define PRODUCT_SVC_PRODUCT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "jw.h"
#include "str.h"

#define PRODUCT_ID_MAX      64
#define PRODUCT_NAME_MAX    200 /* characters */
#define PRODUCT_STOCK_MAX   1000000000000LL
#define PRODUCT_DELTA_MAX   1000000000LL
#define PRODUCT_KEY_MAX     255
#define PRODUCT_CURRENCY    "USD"
#define PRODUCT_JSON_MAX    (64 * 1024)
#define PRODUCT_PAGE_MAX    100
#define PRODUCT_ETAG_MAX    32
#define PRODUCT_PATTERN_MAX 512

/* Borrowed text: of a request's body, or of a row. */
struct product {
	struct str id, name, description, category;
	struct str image_url; /* .at == NULL: none */
	int64_t price;        /* cents */
	int64_t stock;
	int64_t version; /* changes with everything but stock */
	int64_t created_at, updated_at;
};

/* 1 to 64 of [A-Za-z0-9._-]. */
bool product_id_ok(struct str id);

/* Body of POST /api/products. Fills all but version and times. */
bool product_parse_new(json_t *body, struct product *product, struct err *err)
	__attribute__((warn_unused_result));
/* Body of PUT /api/products/:id: the whole product without its stock. `id` is
 * the path's. */
bool product_parse_put(json_t *body, struct str id, struct product *product,
		       struct err *err) __attribute__((warn_unused_result));
/* Body of POST /api/products/:id/stock: a delta that is not 0. */
bool product_parse_delta(json_t *body, int64_t *delta, struct err *err)
	__attribute__((warn_unused_result));
/* The Idempotency-Key header: 1 to 255 printable characters. */
bool product_key_ok(struct str key, struct err *err) __attribute__((warn_unused_result));

void product_write(struct jw *w, const struct product *product);
/* The same; the part that product_stock_text() writes is at `begin` to `end`. */
void product_write_marked(struct jw *w, const struct product *product, size_t *begin,
			  size_t *end);
/* The value of "stock" and what follows from it; dst holds PRODUCT_STOCK_TEXT bytes.
 * Returns the length. */
size_t product_stock_text(char *dst, int64_t stock);
#define PRODUCT_STOCK_TEXT 48

/* `"7"` with its quotes; dst holds PRODUCT_ETAG_MAX bytes. */
void product_etag(char *dst, int64_t version);

/* Does a request's Cache-Control refuse what is not fresh: no-cache, max-age=0? */
bool product_wants_exact(struct str cache_control);

/* LIKE pattern for "contains q", escaped with '!'; dst holds PRODUCT_PATTERN_MAX
 * bytes. An absent q gives "%". false: too long. */
bool product_pattern(char *dst, struct str q);

#endif
