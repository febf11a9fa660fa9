/* test_order_event.c - what is taken as an order event, and why not. */
/* link: processor/order_event.c processor/order_scan.c */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "processor/order_event.h"

#define FIVE                                                               \
	"\"order_id\":123,\"user_id\":7,\"price\":7999.96,\"quantity\":4," \
	"\"timestamp\":\"2025-11-24T21:13:22Z\""

static struct order_event event;
static struct reject why;

static bool parse(const char *value)
{
	memset(&why, 0, sizeof(why));
	return order_event_parse(str_from(value), STR("7"), &event, &why);
}

static void five_fields(void **state)
{
	(void)state;
	assert_true(parse("{" FIVE "}"));
	assert_int_equal(event.type, ORDER_CREATED);
	assert_int_equal(event.order_id, 123);
	assert_int_equal(event.user_id, 7);
	assert_int_equal(event.cents, 799996);
	assert_int_equal(event.time_ms, 1764018802000);
	assert_int_equal(event.seq, 0);
}

static void whole_event(void **state)
{
	(void)state;
	assert_true(
		parse("{" FIVE ",\"type\":\"order.cancelled\",\"event_id\":\"x\","
		      "\"seq\":281474976710673,\"currency\":\"USD\","
		      "\"reservation_id\":\"y\",\"items\":[{\"product_id\":\"A\"}]}"));
	assert_int_equal(event.type, ORDER_CANCELLED);
	assert_int_equal(event.seq, 281474976710673);
	assert_true(parse("{" FIVE ",\"type\":\"order.created\",\"seq\":1}"));
	assert_int_equal(event.type, ORDER_CREATED);
}

static void other_types(void **state)
{
	(void)state;
	assert_true(parse("{\"type\":\"order.praised\",\"user_id\":7,\"seq\":9}"));
	assert_int_equal(event.type, ORDER_OTHER);
	assert_int_equal(event.seq, 9);
	assert_true(parse("{\"type\":\"order.praised\"}"));
	assert_int_equal(event.user_id, 0);
	assert_true(parse("{\"type\":\"order.praised\",\"user_id\":8,\"seq\":9}"));
	assert_int_equal(event.user_id, 0);
}

struct refusal {
	const char *value;
	enum reject_reason reason;
};

static const struct refusal refusals[] = {
	{"", REJECT_NO_VALUE},
	{"{", REJECT_BAD_JSON},
	{"[1]", REJECT_BAD_JSON},
	{"7", REJECT_BAD_JSON},
	{"{\"order_id\":1,\"order_id\":2}", REJECT_BAD_JSON},
	{"{\"a\":\"\xff\"}", REJECT_BAD_UTF8},
	{"{\"a\":\"\xed\xa0\x80\"}", REJECT_BAD_UTF8},
	{"{}", REJECT_MISSING_FIELD},
	{"{" FIVE ",\"type\":7}", REJECT_BAD_FIELD},
	{"{" FIVE ",\"seq\":-1}", REJECT_BAD_FIELD},
	{"{" FIVE ",\"seq\":0}", REJECT_BAD_FIELD},
	{"{" FIVE ",\"seq\":\"1\"}", REJECT_BAD_FIELD},
	{"{" FIVE ",\"seq\":99999999999999999999}", REJECT_BAD_JSON},
	{"{\"order_id\":0,\"user_id\":7,\"price\":1,\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_FIELD},
	{"{\"order_id\":1,\"user_id\":7,\"price\":-1,\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_AMOUNT},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1e30,\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_AMOUNT},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1.005,\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_AMOUNT},
	{"{\"order_id\":1,\"user_id\":7,\"price\":10000000000,\"quantity\":1,"
	 "\"timestamp\":\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_AMOUNT},
	{"{\"order_id\":1,\"user_id\":7,\"price\":\"1\",\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_AMOUNT},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1,\"quantity\":-1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_BAD_FIELD},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1,\"quantity\":1,\"timestamp\":"
	 "\"1969-12-31T23:59:59Z\"}",
	 REJECT_BAD_TIME},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1,\"quantity\":1,\"timestamp\":"
	 "\"yesterday\"}",
	 REJECT_BAD_TIME},
	{"{\"order_id\":1,\"user_id\":7,\"price\":1,\"quantity\":1,\"timestamp\":5}",
	 REJECT_BAD_TIME},
	{"{\"order_id\":1,\"user_id\":8,\"price\":1,\"quantity\":1,\"timestamp\":"
	 "\"2025-11-24T21:13:22Z\"}",
	 REJECT_KEY_MISMATCH},
};

static void refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (parse(refusals[i].value) || why.reason != refusals[i].reason)
			fail_msg("%s: %s (%s)", refusals[i].value,
				 reject_name(why.reason), why.detail);
		assert_true(why.detail[0] != '\0');
	}
	for (int i = 0; i < REJECT_COUNT; i++)
		assert_non_null(reject_name((enum reject_reason)i));
}

static void without_key_or_value(void **state)
{
	(void)state;
	assert_false(order_event_parse(STR_NONE, STR("7"), &event, &why));
	assert_int_equal(why.reason, REJECT_NO_VALUE);
	assert_false(order_event_parse(STR("{" FIVE "}"), STR_NONE, &event, &why));
	assert_int_equal(why.reason, REJECT_KEY_MISMATCH);
	assert_false(order_event_parse(STR("{" FIVE "}"), STR("07"), &event, &why));
	assert_int_equal(why.reason, REJECT_KEY_MISMATCH);
}

/* Any damage to a good event is either refused or leaves it well-formed. */
static void damaged(void **state)
{
	static const char good[] = "{" FIVE ",\"type\":\"order.created\",\"seq\":17}";
	char text[sizeof(good)];

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)rand() % sizeof(good);

		memcpy(text, good, sizeof(good));
		text[rand() % (int)(sizeof(good) - 1)] = (char)rand();
		if (!order_event_parse((struct str){text, i % 2 ? len : sizeof(good) - 1},
				       STR("7"), &event, &why))
			continue;
		assert_true(event.cents >= 0 && event.time_ms >= 0);
		assert_true(event.type == ORDER_OTHER || event.user_id == 7);
	}
}

RUN(cmocka_unit_test(five_fields), cmocka_unit_test(whole_event),
    cmocka_unit_test(other_types), cmocka_unit_test(refused),
    cmocka_unit_test(without_key_or_value), cmocka_unit_test(damaged))
