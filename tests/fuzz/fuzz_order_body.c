/*
 * fuzz_order_body.c - bytes of a POST /api/orders body, then a cursor.
 *
 * Whatever is accepted must be in normal form: sorted, merged, inside the limits.
 */
/* link: order-svc/order.c order-svc/order_wish.c */
#include <stdlib.h>

#include "js.h"
#include "order-svc/order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct order *order)
{
	if (order->n_lines < 1 || order->n_lines > ORDER_MAX_LINES || order->user_id < 1)
		abort();
	for (unsigned i = 0; i < order->n_lines; i++) {
		const struct order_line *line = &order->lines[i];

		if (line->quantity < 1 || line->quantity > ORDER_MAX_QUANTITY)
			abort();
		if (i && strcmp(line[-1].product_id, line->product_id) >= 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	struct order_wish wish;
	struct err err;
	json_t *body = js_parse_object(text, &err);
	int64_t id;

	if (body && order_wish_parse(&wish, body, STR_NONE, &err))
		check(&wish.order);
	if (body)
		order_fini(&wish.order);
	json_decref(body);
	if (order_cursor_parse(text, &id, &err) && (id < 1 || id > ORDER_MAX_ID))
		abort();
	return 0;
}
