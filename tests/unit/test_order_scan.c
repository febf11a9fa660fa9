/* test_order_scan.c - the quick reading: it is taken, and says what the general one says.
 */
/* link: processor/order_event.c processor/order_scan.c */
/* link: tests/unit/order_text.c order-svc/order.c */
#include "check.h"

#include <stdio.h>
#include <string.h>

#include "order_text.h"
#include "processor/order_scan.h"

#define TEXT_MAX 8192

static char text[TEXT_MAX + 1], longer[TEXT_MAX + 2];

/* White space in front is all the same to the general reading, and the quick one refuses
 * it. */
static void same_as_general(struct str value, struct str key)
{
	struct order_event quick, general;
	struct reject why, why_general;
	bool ok = order_event_parse(value, key, &quick, &why), ok_general;

	longer[0] = ' ';
	memcpy(longer + 1, value.at, value.len);
	ok_general = order_event_parse((struct str){longer, value.len + 1}, key, &general,
				       &why_general);
	assert_int_equal(ok, ok_general);
	if (!ok) {
		assert_int_equal(why.reason, why_general.reason);
		return;
	}
	assert_int_equal(quick.type, general.type);
	assert_int_equal(quick.user_id, general.user_id);
	assert_int_equal(quick.order_id, general.order_id);
	assert_int_equal(quick.cents, general.cents);
	assert_int_equal(quick.time_ms, general.time_ms);
	assert_int_equal(quick.seq, general.seq);
}

/* Or the processor would be slow and nobody would see why. */
static void takes_what_order_svc_writes(void **state)
{
	struct order_event event;

	(void)state;
	for (unsigned lines = 1; lines <= 50; lines += 7) {
		for (int cancelled = 0; cancelled <= 1; cancelled++) {
			struct str value = {
				text, order_text(text, TEXT_MAX, lines, cancelled, 17)};

			assert_true(value.len > 0);
			assert_true(order_scan(value, STR("7"), &event));
			assert_int_equal(event.type,
					 cancelled ? ORDER_CANCELLED : ORDER_CREATED);
			assert_int_equal(event.cents, 799996);
			assert_int_equal(event.seq, 17);
			assert_int_equal(event.time_ms, 1764018802000);
			same_as_general(value, STR("7"));
		}
	}
}

static void any_byte_may_change(void **state)
{
	static const char bytes[] = "\"\\{}[],:. 0195-+eEnx\x01\xc3\xff";
	size_t len = order_text(text, TEXT_MAX, 2, false, 17);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char kept = text[i];

		for (size_t b = 0; b < sizeof(bytes); b++) {
			text[i] = bytes[b];
			same_as_general((struct str){text, len}, STR("7"));
		}
		text[i] = kept;
		same_as_general((struct str){text, i + 1}, STR("7")); /* cut off */
	}
}

static void any_byte_may_go_or_come(void **state)
{
	char other[TEXT_MAX + 2];
	size_t len = order_text(text, TEXT_MAX, 1, true, 281474976710673);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		memcpy(other, text, i);
		memcpy(other + i, text + i + 1, len - i - 1);
		same_as_general((struct str){other, len - 1}, STR("7"));
		memcpy(other + i + 1, text + i, len - i); /* this byte twice */
		other[i] = text[i];
		same_as_general((struct str){other, len + 1}, STR("7"));
	}
}

#define EVENT(id, user, price, quantity, time, seq)                                     \
	"{\"order_id\":" id ",\"user_id\":" user ",\"price\":" price                    \
	",\"quantity\":" quantity ",\"timestamp\":\"" time                              \
	"\",\"type\":\"order.created\",\"event_id\":\"e\",\"seq\":" seq                 \
	",\"currency\":\"USD\",\"reservation_id\":\"r\",\"items\":[{\"product_id\":\"A" \
	"\",\"quantity\":1,\"unit_price\":1.00}]}"
#define NOW "2025-11-24T21:13:22Z"

static void ends_of_the_ranges(void **state)
{
	static const char *const values[] = {
		EVENT("0", "7", "1.00", "1", NOW, "1"),
		EVENT("1", "7", "0.00", "1", NOW, "1"),
		EVENT("1", "7", "999999.99", "1000000000", NOW, "1"),
		EVENT("1", "7", "1000000.01", "1000000001", NOW, "1"),
		EVENT("1", "7", "9999999999.99", "1", NOW, "1"),
		EVENT("1", "7", "10000000000.00", "1", NOW, "1"),
		EVENT("999999999999999999", "7", "1.00", "1", NOW, "999999999999999999"),
		EVENT("9223372036854775807", "7", "1.00", "1", NOW,
		      "9223372036854775808"),
		EVENT("1", "7", "1.00", "0", NOW, "1"),
		EVENT("1", "7", "-1.00", "1", NOW, "1"),
		EVENT("1", "7", "1.00", "1", NOW, "0"),
		EVENT("01", "7", "1.00", "1", NOW, "1"),
		EVENT("1", "07", "1.00", "1", NOW, "1"),
		EVENT("1", "8", "1.00", "1", NOW, "1"),
		EVENT("1", "7", "01.00", "1", NOW, "1"),
		EVENT("1", "7", "1.00", "1", "1969-12-31T23:59:59Z", "1"),
		EVENT("1", "7", "1.00", "1", "2025-02-29T00:00:00Z", "1"),
		EVENT("1", "7", "1.00", "1", "", "1"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		same_as_general(str_from(values[i]), STR("7"));
	same_as_general(str_from(values[1]), STR("07"));
	same_as_general(str_from(values[1]), STR(""));
}

RUN(cmocka_unit_test(takes_what_order_svc_writes), cmocka_unit_test(any_byte_may_change),
    cmocka_unit_test(any_byte_may_go_or_come), cmocka_unit_test(ends_of_the_ranges))
