/* fuzz_order_event.c - any bytes as the value (and key) of an order event.
 * The first byte says how long the key is, which is cut from the end. */
/* link: processor/order_event.c processor/order_scan.c */
#include <stdlib.h>

#include "processor/order_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the quick reading takes, the general one takes and understands alike. White space
 * in front is all the same to it, and keeps the quick one out. */
static void same_as_general(struct str value, struct str key)
{
	struct order_event quick, general;
	struct reject why;
	char *longer;

	if (!order_scan(value, key, &quick))
		return;
	longer = malloc(value.len + 1);
	if (!longer)
		abort();
	longer[0] = ' ';
	memcpy(longer + 1, value.at, value.len);
	if (!order_event_parse((struct str){longer, value.len + 1}, key, &general,
			       &why) ||
	    quick.type != general.type || quick.user_id != general.user_id ||
	    quick.order_id != general.order_id || quick.cents != general.cents ||
	    quick.time_ms != general.time_ms || quick.seq != general.seq)
		abort();
	free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct order_event event;
	struct reject why;
	struct str key, value;
	size_t key_len;

	if (size < 1)
		return 0;
	key_len = data[0] % 24;
	if (key_len > size - 1)
		key_len = size - 1;
	value = (struct str){(const char *)data + 1, size - 1 - key_len};
	key = (struct str){value.at + value.len, key_len};
	same_as_general(value, key);
	if (!order_event_parse(value, key, &event, &why))
		return 0;
	/* What is accepted can be counted. */
	if (event.cents < 0 || event.time_ms < 0 || event.user_id < 0)
		abort();
	if (event.type != ORDER_OTHER && (event.user_id == 0 || event.order_id <= 0))
		abort();
	return 0;
}
