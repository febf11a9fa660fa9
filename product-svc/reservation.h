/*
 * reservation.h - stock held for an order: states, JSON and decisions.  Pure.
 *
 *   pending -> confirmed -> returned        (ordered, then cancelled)
 *   pending -> released                     (no order came of it)
 *   pending -> returned                     (cancelled before the order's event)
 *
 * Stock moves only in the transaction of a state change that was conditional.
 */
#ifndef PRODUCT_SVC_RESERVATION_H
#define PRODUCT_SVC_RESERVATION_H

#include <jansson.h>

#include "id.h"
#include "product.h"

#define RESERVATION_MAX_LINES    50
#define RESERVATION_MAX_QUANTITY 1000
#define RESERVATION_MAX_TTL_S    3600
#define RESERVATION_KEY_HASH_LEN 64
#define RESERVATION_JSON_MAX     (128 * 1024)

enum reservation_state {
	RESERVATION_PENDING,
	RESERVATION_CONFIRMED,
	RESERVATION_RELEASED,
	RESERVATION_RETURNED
};

struct reservation_line {
	char product_id[PRODUCT_ID_MAX + 1];
	int64_t quantity;
	/* Filled when reserved. */
	char name[4 * PRODUCT_NAME_MAX + 1];
	int64_t unit_price; /* cents */
	/* While deciding: of the locked product row. */
	unsigned product; /* its place in the plan */
	bool found;
	int64_t available;
	int64_t held; /* by pending reservations under the same key_hash */
};

struct reservation {
	char id[ID_HEX_LEN + 1];
	enum reservation_state state;
	char key_hash[RESERVATION_KEY_HASH_LEN + 1]; /* "": none */
	int64_t ttl_s;
	int64_t expires_at; /* wall ms of the database */
	unsigned n_lines;
	struct reservation_line *lines; /* sorted by product_id; owned by the caller */
};

/* Stock that is not there. */
struct shortage {
	char product_id[PRODUCT_ID_MAX + 1];
	int64_t available, requested;
};

const char *reservation_state_name(enum reservation_state state);
/* Unknown names count as released, which sells nothing. */
enum reservation_state reservation_state_from(struct str name);

/* How many lines to make room for; 1 for a body that will be refused. */
unsigned reservation_room(json_t *body);
/* Body of PUT /internal/reservations/:id; res->lines has reservation_room(). */
bool reservation_parse(json_t *body, struct reservation *res, struct err *err)
	__attribute__((warn_unused_result));

enum reservation_verdict {
	RESERVATION_FITS,
	RESERVATION_NO_PRODUCT, /* *line names it */
	RESERVATION_SHORT       /* *line is the first that is short */
};
/* All lines or none, by found and available. */
enum reservation_verdict reservation_decide(const struct reservation *res,
					    unsigned *line);
/* Would all that is short fit if what the same key holds came back? */
bool reservation_twin_holds(const struct reservation *res);

void reservation_write(struct jw *w, const struct reservation *res);
/* A 409 insufficient_stock problem with product_id, available, requested. */
void shortage_write(struct jw *w, const struct shortage *shortage, struct str request_id);

#endif
