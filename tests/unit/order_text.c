/* order_text.c - an order, given to order_event_write(). */
#include "order_text.h"

#include "../../order-svc/order.h"

#define MAX_LINES 50

size_t order_text(char *dst, size_t size, unsigned lines, bool cancelled, int64_t seq)
{
	struct order_line line[MAX_LINES];
	struct order order = {.id = 123,
			      .user_id = 7,
			      .total = 799996,
			      .lines = line,
			      .n_lines = lines};
	struct order_event event = {
		.type = cancelled ? "order.cancelled" : "order.created",
		.event_id = "018f0c2e5a7b7c3d9e1f2a3b4c5d6e7f",
		.seq = seq,
		.at = 1764018802123,
	};
	struct jw w;

	memcpy(order.reservation_id, "018f0c2e5a7b7000a000b000c000d000", ID_HEX_LEN + 1);
	for (unsigned i = 0; i < lines; i++) {
		line[i] = (struct order_line){.quantity = 1 + i, .unit_price = 199999};
		snprintf(line[i].product_id, sizeof(line[i].product_id), "LAPTOP%03u", i);
	}
	jw_init_fixed(&w, dst, size);
	order_event_write(&w, &order, &event);
	return jw_ok(&w) ? jw_text(&w).len : 0;
}
