/* fuzz_order_event.c - any bytes as the value (and key) of an order event.
 * The first byte says how long the key is, which is cut from the end. */
/* link: processor/order_event.c */
#include <stdlib.h>

#include "processor/order_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	if (!order_event_parse(value, key, &event, &why))
		return 0;
	/* What is accepted can be counted. */
	if (event.cents < 0 || event.time_ms < 0 || event.user_id < 0)
		abort();
	if (event.type != ORDER_OTHER && (event.user_id == 0 || event.order_id <= 0))
		abort();
	return 0;
}
