/*
 * order_scan.c - the text of an order event as order-svc writes it (order_event_write()).
 *
 * Most events of most days are in exactly this form, and reading them so takes a
 * twentieth of the time that a tree of values takes.
 */
#include "order_scan.h"

#include "scan.h"
#include "timeutil.h"

/* Beyond a million the general reading, by way of a double, may see another cent. */
#define MAX_CENTS 100000000

static void scan_items(struct scan *s)
{
	SCAN(s, "[");
	do {
		SCAN(s, "{\"product_id\":");
		scan_str(s);
		SCAN(s, ",\"quantity\":");
		scan_int(s);
		SCAN(s, ",\"unit_price\":");
		scan_money(s);
		SCAN(s, "}");
	} while (scan_if(s, ','));
	SCAN(s, "]");
}

static enum order_type scan_type(struct scan *s)
{
	struct str type = scan_str(s);

	if (str_eq(type, STR("order.cancelled")))
		return ORDER_CANCELLED;
	return str_eq(type, STR("order.created")) ? ORDER_CREATED : ORDER_OTHER;
}

/* The digits of a number, to be compared with the key. */
static struct str scan_user(struct scan *s, int64_t *user_id)
{
	const char *from = s->at;

	*user_id = scan_int(s);
	return (struct str){from, (size_t)(s->at - from)};
}

bool order_scan(struct str value, struct str key, struct order_event *out)
{
	struct scan s = scan_begin(value);
	struct str user, time;
	int64_t quantity;

	SCAN(&s, "{\"order_id\":");
	out->order_id = scan_int(&s);
	SCAN(&s, ",\"user_id\":");
	user = scan_user(&s, &out->user_id);
	SCAN(&s, ",\"price\":");
	out->cents = scan_money(&s);
	SCAN(&s, ",\"quantity\":");
	quantity = scan_int(&s);
	SCAN(&s, ",\"timestamp\":");
	time = scan_str(&s);
	SCAN(&s, ",\"type\":");
	out->type = scan_type(&s);
	SCAN(&s, ",\"event_id\":");
	scan_str(&s);
	SCAN(&s, ",\"seq\":");
	out->seq = (uint64_t)scan_int(&s);
	SCAN(&s, ",\"currency\":");
	scan_str(&s);
	SCAN(&s, ",\"reservation_id\":");
	scan_str(&s);
	SCAN(&s, ",\"items\":");
	scan_items(&s);
	SCAN(&s, "}");
	return scan_end(&s) && out->type != ORDER_OTHER && out->order_id > 0 &&
	       out->user_id > 0 && out->seq > 0 && quantity > 0 &&
	       quantity <= ORDER_MAX_QUANTITY && out->cents >= 0 &&
	       out->cents <= MAX_CENTS && str_eq(key, user) &&
	       time.len <= ORDER_MAX_TIME && time_parse(time, &out->time_ms) &&
	       out->time_ms >= 0;
}
