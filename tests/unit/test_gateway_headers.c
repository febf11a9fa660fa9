/* link: gateway/headers.c gateway/trace.c gateway/cache_rules.c */
/* test_gateway_headers.c - which fields pass, and the ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "headers.h"
#include "trace.h"

static bool passes(const char *name, const char *connection)
{
	struct http_head head = {.n_fields = 2};

	head.fields[0] = (struct http_field){str_from(name), STR("v")};
	head.fields[1] = (struct http_field){STR("Connection"), str_from(connection)};
	return headers_may_pass(&head, &head.fields[0]);
}

static void fields(void **state)
{
	static const char *const good[] = {
		"Accept",   "Authorization", "Content-Type",  "Idempotency-Key", "X-User",
		"X-Custom", "tracestate",    "Last-Event-ID", "Origin"};
	static const char *const bad[] = {"Host",
					  "host",
					  "Content-Length",
					  "Transfer-Encoding",
					  "Expect",
					  "Forwarded",
					  "X-Forwarded-For",
					  "x-forwarded-anything",
					  "X-User-Id",
					  "x-user-role",
					  "X-Request-Id",
					  "traceparent",
					  "X_User_Id",
					  "Upgrade",
					  "Keep-Alive",
					  "TE",
					  "Proxy-Connection",
					  "Proxy",
					  "Trailer",
					  "X-Real-IP"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!passes(good[i], "close"))
			fail_msg("%s was dropped", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (passes(bad[i], "close"))
			fail_msg("%s passed", bad[i]);
	}
	assert_false(passes("X-Custom", "close, x-custom"));
	assert_true(passes("Authorization", "Authorization"));
}

static void origins(void **state)
{
	(void)state;
	assert_true(headers_origin_ok("https://a, https://b", STR("https://b")));
	assert_false(headers_origin_ok("https://a,https://b", STR("https://")));
	assert_false(headers_origin_ok("https://a", STR("https://a.evil")));
	assert_false(headers_origin_ok("", STR("")));
}

static void ids(void **state)
{
	(void)state;
	assert_true(trace_request_id_ok(STR("aZ0-_.")));
	assert_false(trace_request_id_ok(STR("")));
	assert_false(trace_request_id_ok(STR("a b")));
	assert_false(trace_request_id_ok(STR("a\"b")));
	assert_false(trace_request_id_ok(STR(
		"01234567890123456789012345678901234567890123456789012345678901234")));
	assert_true(trace_parent_ok(
		STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")));
	assert_false(trace_parent_ok(
		STR("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
	assert_false(trace_parent_ok(
		STR("00-00000000000000000000000000000000-b7ad6b7169203331-01")));
	assert_false(trace_parent_ok(
		STR("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
	assert_false(trace_parent_ok(STR("00-0af7651916cd43dd8448eb211c80319c")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fields),
					   cmocka_unit_test(origins),
					   cmocka_unit_test(ids)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
