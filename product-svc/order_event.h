/*
 * order_event.h - what product-svc takes from a record of orders-events.  Pure.
 */
#ifndef PRODUCT_SVC_ORDER_EVENT_H
#define PRODUCT_SVC_ORDER_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "id.h"

enum order_event_kind {
	ORDER_EVENT_CREATED,
	ORDER_EVENT_CANCELLED,
	ORDER_EVENT_IGNORED, /* another type, or no reservation stands behind it */
	ORDER_EVENT_POISON   /* not understood; `err` says why */
};

struct order_event {
	char reservation_id[ID_HEX_LEN + 1];
	int64_t order_id;
};

enum order_event_kind order_event_read(struct str value, struct order_event *event,
				       struct err *err);

#endif
