/* test_results.c - decoding the records of `analytics-results`. */
/* link: analytics-svc/results.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "analytics-svc/results.h"

static struct result good(const char *key, const char *value)
{
	struct result r;
	struct err err;

	if (!result_decode(str_from(key), str_from(value), &r, &err))
		fail_msg("%s: %s", key, err.text);
	return r;
}

static void bad(const char *key, const char *value)
{
	struct result r;
	struct err err;

	if (result_decode(str_from(key), str_from(value), &r, &err))
		fail_msg("taken: %s %s", key, value);
	assert_true(err.text[0] != '\0');
}

static void a_user(void **state)
{
	struct result r =
		good("u:7", "{\"v\":12,\"user_id\":7,\"orders\":6,\"spent\":31399.86,"
			    "\"last_order_at\":\"2025-11-24T21:13:22Z\",\"seq\":17,"
			    "\"seen\":\"0000000000000000\",\"window\":0}");

	(void)state;
	assert_int_equal(r.type, RESULT_USER);
	assert_int_equal(r.user_id, 7);
	assert_int_equal(r.version, 12);
	assert_int_equal(r.orders, 6);
	assert_int_equal(r.spent, 3139986);
	assert_int_equal(r.last_order_ms, 1764018802000);
	r = good("u:7", "{\"v\":1,\"orders\":0,\"spent\":0.00,\"last_order_at\":null}");
	assert_int_equal(r.last_order_ms, 0);
	r = good("u:9223372036854775807", NULL);
	assert_true(r.gone && r.user_id == INT64_MAX);
}

static void a_window(void **state)
{
	struct result r =
		good("w:1764018780:4",
		     "{\"v\":3,\"start\":1764018780,\"partition\":4,\"orders\":5,"
		     "\"revenue\":99.95,\"cancelled\":1,\"refunded\":19.99,\"users\":4,"
		     "\"final\":true}");

	(void)state;
	assert_int_equal(r.type, RESULT_WINDOW);
	assert_int_equal(r.start, 1764018780);
	assert_int_equal(r.partition, 4);
	assert_int_equal(r.sums.revenue, 9995);
	assert_int_equal(r.sums.refunded, 1999);
	assert_int_equal(r.users, 4);
	assert_true(r.final);
	r = good("w:60:0", NULL);
	assert_true(r.gone);
}

static void a_partition(void **state)
{
	struct result r =
		good("p:11", "{\"v\":9,\"partition\":11,\"watermark\":5,"
			     "\"late_orders\":1,\"late_revenue\":2.50,"
			     "\"late_cancelled\":3,\"late_refunded\":4,"
			     "\"folded_orders\":5,\"folded_revenue\":60000000000.07,"
			     "\"folded_cancelled\":7,\"folded_refunded\":0.01}");
	struct result large =
		good("u:1", "{\"v\":1,\"orders\":1,\"spent\":39999999999999.95,"
			    "\"last_order_at\":null}");

	(void)state;
	assert_int_equal(r.type, RESULT_PARTITION);
	assert_int_equal(r.partition, 11);
	assert_int_equal(r.late.revenue, 250);
	assert_int_equal(r.late.refunded, 400);
	assert_int_equal(r.folded.revenue, 6000000000007);
	assert_int_equal(r.folded.refunded, 1);
	assert_int_equal(large.spent, 3999999999999995);
}

static void other_kinds_are_skipped(void **state)
{
	(void)state;
	assert_int_equal(good("x:1", "whatever").type, RESULT_UNKNOWN);
	assert_int_equal(good("", "").type, RESULT_UNKNOWN);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	bad(NULL, "{}");
	bad("u:", "{}");
	bad("u:0", "{}");
	bad("u:-1", "{}");
	bad("u:9223372036854775808", "{}");
	bad("w:60", "{}");
	bad("w:60:4096", "{}");
	bad("w:60:1:2", "{}");
	bad("p:x", "{}");
	bad("u:1", "");
	bad("u:1", "[]");
	bad("u:1", "{\"v\":1}");
	bad("u:1", "{\"v\":-1,\"orders\":1,\"spent\":1}");
	bad("u:1", "{\"v\":1,\"orders\":1.5,\"spent\":1}");
	bad("u:1", "{\"v\":1,\"orders\":1,\"spent\":\"1\"}");
	bad("u:1", "{\"v\":1,\"orders\":1,\"spent\":1e300}");
	bad("u:1", "{\"v\":1,\"orders\":1,\"spent\":1,\"last_order_at\":\"soon\"}");
	bad("w:60:1", "{\"v\":1,\"orders\":1,\"revenue\":1}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user),
		cmocka_unit_test(a_window),
		cmocka_unit_test(a_partition),
		cmocka_unit_test(other_kinds_are_skipped),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
