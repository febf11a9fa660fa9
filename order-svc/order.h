/*
 * order.h - what an order is: the rules for its body, its identity under an
 * idempotency key, and its JSON.  Pure: no I/O, no clock.
 *
 * A `struct order` owns its lines and their names; order_fini() frees them.
 */
#ifndef ORDER_SVC_ORDER_H
#define ORDER_SVC_ORDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "id.h"
#include "jw.h"
#include "str.h"

#define ORDER_MAX_LINES    50
#define ORDER_MAX_QUANTITY 1000
#define ORDER_PRODUCT_MAX  64
#define ORDER_NAME_MAX     255 /* bytes; longer product names are cut */
#define ORDER_KEY_MAX      255
#define ORDER_HASH_LEN     64
#define ORDER_CURRENCY     "USD"
/* Above it a JSON reader that keeps numbers as doubles would lose digits. */
#define ORDER_MAX_ID ((INT64_C(1) << 53) - 1)
/* Room for an order of ORDER_MAX_LINES lines with fully escaped names. */
#define ORDER_JSON_MAX (128 * 1024)

struct order_line {
	char product_id[ORDER_PRODUCT_MAX + 1];
	int64_t quantity;
	int64_t unit_price; /* cents, as product-svc said when it reserved */
	char *name;         /* owned by the order; NULL until reserved */
	int source; /* first of the client's items[] with it; -1: the short form */
};

enum order_status { ORDER_PLACED, ORDER_CANCELLED };

struct order {
	int64_t id, user_id;
	enum order_status status;
	int64_t total; /* cents */
	char reservation_id[ID_HEX_LEN + 1];
	int64_t seq;                      /* of its order.created event */
	int64_t created_at, cancelled_at; /* wall ms; cancelled_at 0: it is not */
	unsigned n_lines;
	struct order_line *lines; /* sorted by product id, each product once */
};

void order_fini(struct order *order);
/* Gives `order` room for n lines, all zero. */
void order_new_lines(struct order *order, unsigned n);
/* Copies the name into the line, cut at ORDER_NAME_MAX bytes between characters. */
void order_set_name(struct order_line *line, struct str name);
const char *order_status_name(enum order_status status);
bool order_status_parse(struct str name, enum order_status *status);

/* ---- what a client asks for ---- */

struct order_wish {
	struct order order;                /* user_id and lines */
	char key[ORDER_KEY_MAX + 1];       /* "": none */
	char hash[ORDER_HASH_LEN + 1];     /* of user and lines: same order or not? */
	char key_hash[ORDER_HASH_LEN + 1]; /* of user and key; "" without a key */
};

/* Checks and normalises a request: equal products merged, sorted by product id.
 * `header_key` is the Idempotency-Key header (.at == NULL: none). On failure
 * `err` names the field. order_fini(&wish->order) either way. */
bool order_wish_parse(struct order_wish *wish, json_t *body, struct str header_key,
		      struct err *err) __attribute__((warn_unused_result));

/* Sum of the lines in cents. false: beyond DECIMAL(12,2), 422 total_too_large. */
bool order_total(const struct order *order, int64_t *cents, struct err *err)
	__attribute__((warn_unused_result));

/* ---- JSON ---- */

/* The order as clients see it. */
void order_write(struct jw *w, const struct order *order);

struct order_event {
	const char *type; /* "order.created", "order.cancelled" */
	const char *event_id;
	int64_t seq;
	int64_t at; /* wall ms */
};
/* The value of the event in `orders-events`. */
void order_event_write(struct jw *w, const struct order *order,
		       const struct order_event *event);

/* The final refusal "insufficient_stock" as problem+json without a request id,
 * in the form in which it is kept under the key. */
struct order_shortage {
	char product_id[ORDER_PRODUCT_MAX + 1];
	int64_t available, requested;
	char detail[ERR_TEXT_MAX];
};
void order_shortage_write(struct jw *w, const struct order_shortage *shortage);
/* The kept problem with this request's id added as its last member. */
void order_problem_write(struct jw *w, struct str kept, struct str request_id);

/* ---- cursors ---- */

#define ORDER_CURSOR_LEN 17
/* Opaque text for "orders older than this id"; dst holds ORDER_CURSOR_LEN + 1. */
void order_cursor_write(char *dst, int64_t last_id);
bool order_cursor_parse(struct str text, int64_t *last_id, struct err *err)
	__attribute__((warn_unused_result));

#endif
