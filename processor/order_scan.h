/* order_scan.h - the quick way to read an order event; order_event.h is the way in. */
#ifndef PROCESSOR_ORDER_SCAN_H
#define PROCESSOR_ORDER_SCAN_H

#include "order_event.h"

/* true: it is a good event, and `out` is what the general reading would give.
 * false: it may be good or bad, and `out` is undefined. */
bool order_scan(struct str value, struct str key, struct order_event *out)
	__attribute__((warn_unused_result));

#endif
