/* test_str.c - slices, numbers, UTF-8, hex, money and times. */
#include "check.h"

#include "money.h"
#include "str.h"
#include "timeutil.h"

#include <time.h>

static void numbers(void **state)
{
	uint64_t u;
	int64_t i;

	(void)state;
	assert_true(str_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
	assert_false(str_u64(STR("18446744073709551616"), &u));
	assert_false(str_u64(STR(""), &u));
	assert_false(str_u64(STR("+1"), &u));
	assert_false(str_u64(STR("1 "), &u));
	assert_true(str_i64(STR("-42"), &i) && i == -42);
	assert_false(str_i64(STR("9223372036854775808"), &i));
}

static void utf8(void **state)
{
	(void)state;
	assert_true(str_utf8_ok(STR("plain, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x99\x82")));
	assert_false(str_utf8_ok(STR("\xc0\xaf")));         /* overlong */
	assert_false(str_utf8_ok(STR("\xed\xa0\x80")));     /* surrogate */
	assert_false(str_utf8_ok(STR("\xf4\x90\x80\x80"))); /* above U+10FFFF */
	assert_false(str_utf8_ok(STR("\xe2\x82")));         /* cut */
}

static void hex(void **state)
{
	unsigned char bytes[3];
	char text[7];

	(void)state;
	assert_true(str_unhex(bytes, 3, STR("00fFa1")));
	str_hex(text, bytes, 3);
	assert_string_equal(text, "00ffa1");
	assert_false(str_unhex(bytes, 3, STR("00ff")));
	assert_false(str_unhex(bytes, 3, STR("00ffgg")));
}

static void money(void **state)
{
	char text[MONEY_TEXT_MAX];
	int64_t cents;

	(void)state;
	assert_true(money_parse(STR("1999.99"), &cents) && cents == 199999);
	assert_true(money_parse(STR("-3.5"), &cents) && cents == -350);
	assert_true(money_parse(STR("9999999999.99"), &cents) &&
		    cents == MONEY_MAX_CENTS);
	assert_false(money_parse(STR("10000000000"), &cents));
	assert_false(money_parse(STR("1.999"), &cents));
	assert_false(money_parse(STR("1."), &cents));
	assert_true(money_from_double(1999.99, &cents) && cents == 199999);
	assert_true(money_from_double(0.29, &cents) && cents == 29);
	assert_false(money_from_double(1.005, &cents));
	assert_false(money_from_double(1e300, &cents));
	money_format(text, -5);
	assert_string_equal(text, "-0.05");
	assert_int_equal(money_average(3139986, 6), 523331);
	assert_int_equal(money_average(5, 0), 0);
}

static void times(void **state)
{
	char text[TIME_TEXT_MAX];
	int64_t ms;

	(void)state;
	assert_true(time_parse(STR("2025-11-24T21:13:22Z"), &ms) && ms == 1764018802000);
	time_format(text, ms + 7, true);
	assert_string_equal(text, "2025-11-24T21:13:22.007Z");
	assert_true(time_parse(STR("2025-11-24T22:13:22.5+01:00"), &ms) &&
		    ms == 1764018802500);
	assert_true(time_parse(STR("2025-11-24 21:13:22.123456"), &ms) &&
		    ms == 1764018802123);
	assert_true(time_parse(STR("2024-02-29T00:00:00Z"), &ms));
	assert_false(time_parse(STR("2025-02-29T00:00:00Z"), &ms));
	assert_false(time_parse(STR("2025-11-24T21:13:22"), &ms));
	assert_false(time_parse(STR("2025-11-24T24:00:00Z"), &ms));
	assert_false(time_parse(STR("2025-11-24T21:13:22Zx"), &ms));
	assert_false(time_parse(STR(""), &ms));
}

static void times_as_in_the_c_library(void **state)
{
	char text[TIME_TEXT_MAX], want[TIME_TEXT_MAX];
	struct tm tm;

	(void)state;
	/* Steps of some 7 hours from before 1970 past several leap days. */
	for (int64_t s = -1000000000; s < 7000000000; s += 25013) {
		time_t t = (time_t)s;

		time_format(text, s * 1000 + 999, false);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		assert_string_equal(text, want);
	}
	time_format(text, INT64_MAX, true);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	time_format(text, INT64_MIN, true);
	assert_string_equal(text, "0001-01-01T00:00:00.000Z");
	time_format(text, -1, true);
	assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

RUN(cmocka_unit_test(numbers), cmocka_unit_test(utf8), cmocka_unit_test(hex),
    cmocka_unit_test(money), cmocka_unit_test(times),
    cmocka_unit_test(times_as_in_the_c_library))
