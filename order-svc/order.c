/* order.c - the order itself: totals, JSON, cursors.  What a client may ask for
 * is in order_wish.c. */
#include "order.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "money.h"

static const char *const status_names[] = {"placed", "cancelled"};

void order_fini(struct order *order)
{
	for (unsigned i = 0; i < order->n_lines; i++)
		free(order->lines[i].name);
	free(order->lines);
	order->lines = NULL;
	order->n_lines = 0;
}

void order_new_lines(struct order *order, unsigned n)
{
	order_fini(order);
	order->lines = xcalloc(n ? n : 1, sizeof(*order->lines));
	order->n_lines = n;
}

void order_set_name(struct order_line *line, struct str name)
{
	size_t len = name.len;

	if (len > ORDER_NAME_MAX) {
		len = ORDER_NAME_MAX;
		while (len && ((unsigned char)name.at[len] & 0xc0) == 0x80)
			len--;
	}
	free(line->name);
	line->name = xstrndup(name.at, len);
}

const char *order_status_name(enum order_status status)
{
	return status_names[status];
}

bool order_status_parse(struct str name, enum order_status *status)
{
	for (unsigned i = 0; i < ARRAY_LEN(status_names); i++) {
		if (str_eqz(name, status_names[i])) {
			*status = (enum order_status)i;
			return true;
		}
	}
	return false;
}

bool order_total(const struct order *order, int64_t *cents, struct err *err)
{
	int64_t sum = 0;

	/* No overflow: 50 lines of at most 1000 pieces of at most 10^12 cents. */
	for (unsigned i = 0; i < order->n_lines; i++)
		sum += order->lines[i].unit_price * order->lines[i].quantity;
	*cents = sum;
	if (sum > MONEY_MAX_CENTS)
		return err_slug(err, ERR_UNPROCESSABLE, "total_too_large",
				"the order's total is larger than 9999999999.99");
	return true;
}

static void write_lines(struct jw *w, const struct order *order, bool with_names)
{
	jw_key(w, "items");
	jw_array(w);
	for (unsigned i = 0; i < order->n_lines; i++) {
		const struct order_line *line = &order->lines[i];

		jw_object(w);
		jw_kstrz(w, "product_id", line->product_id);
		if (with_names)
			jw_kstrz(w, "name", line->name);
		jw_kint(w, "quantity", line->quantity);
		jw_kmoney(w, "unit_price", line->unit_price);
		jw_end(w);
	}
	jw_end(w);
}

void order_write(struct jw *w, const struct order *order)
{
	jw_object(w);
	jw_kint(w, "order_id", order->id);
	jw_kint(w, "user_id", order->user_id);
	jw_kstrz(w, "status", order_status_name(order->status));
	jw_kmoney(w, "total_price", order->total);
	jw_kstrz(w, "currency", ORDER_CURRENCY);
	write_lines(w, order, true);
	jw_ktime(w, "created_at", order->created_at, true);
	if (order->cancelled_at)
		jw_ktime(w, "cancelled_at", order->cancelled_at, true);
	jw_end(w);
}

void order_event_write(struct jw *w, const struct order *order,
		       const struct order_event *event)
{
	int64_t pieces = 0;

	for (unsigned i = 0; i < order->n_lines; i++)
		pieces += order->lines[i].quantity;
	jw_object(w);
	jw_kint(w, "order_id", order->id);
	jw_kint(w, "user_id", order->user_id);
	jw_kmoney(w, "price", order->total);
	jw_kint(w, "quantity", pieces);
	jw_ktime(w, "timestamp", event->at, false);
	jw_kstrz(w, "type", event->type);
	jw_kstrz(w, "event_id", event->event_id);
	jw_kint(w, "seq", event->seq);
	jw_kstrz(w, "currency", ORDER_CURRENCY);
	jw_kstrz(w, "reservation_id", order->reservation_id);
	write_lines(w, order, false);
	jw_end(w);
}

void order_shortage_write(struct jw *w, const struct order_shortage *shortage)
{
	jw_object(w);
	jw_kstrz(w, "type", "about:blank");
	jw_kstrz(w, "title", "Conflict");
	jw_kint(w, "status", 409);
	jw_kstrz(w, "detail", shortage->detail);
	jw_kstrz(w, "code", "insufficient_stock");
	jw_kstrz(w, "product_id", shortage->product_id);
	jw_kint(w, "available", shortage->available);
	jw_kint(w, "requested", shortage->requested);
	jw_end(w);
}

void order_problem_write(struct jw *w, struct str kept, struct str request_id)
{
	if (kept.len < 2 || kept.at[kept.len - 1] != '}') {
		w->failed = true;
		return;
	}
	/* The kept text is one object: its members go first, without braces. */
	jw_object(w);
	jw_raw(w, (struct str){kept.at + 1, kept.len - 2});
	jw_kstr(w, "request_id", request_id);
	jw_end(w);
}

void order_cursor_write(char *dst, int64_t last_id)
{
	snprintf(dst, ORDER_CURSOR_LEN + 1, "o%016" PRIx64, (uint64_t)last_id);
}

bool order_cursor_parse(struct str text, int64_t *last_id, struct err *err)
{
	unsigned char bytes[8];
	char again[ORDER_CURSOR_LEN + 1];
	uint64_t id = 0;

	if (text.len != ORDER_CURSOR_LEN || text.at[0] != 'o' ||
	    !str_unhex(bytes, sizeof(bytes), (struct str){text.at + 1, 16}))
		return err_field(err, "cursor", "cursor is not one that a list gave out");
	for (unsigned i = 0; i < sizeof(bytes); i++)
		id = id << 8 | bytes[i];
	order_cursor_write(again, (int64_t)id);
	if (id == 0 || id > ORDER_MAX_ID || !str_eqz(text, again))
		return err_field(err, "cursor", "cursor is not one that a list gave out");
	*last_id = (int64_t)id;
	return true;
}
