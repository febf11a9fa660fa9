/* test_reservation.c - which orders get the stock, and what events say. */
/* link: product-svc/reservation.c product-svc/order_event.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "js.h"
#include "product-svc/order_event.h"
#include "product-svc/reservation.h"

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ID   "0123456789abcdef0123456789abcdef"

static bool parse(const char *text, struct reservation *res, struct err *err)
{
	json_t *doc = js_parse_object(str_from(text), err);
	bool ok;

	assert_non_null(doc);
	memset(res, 0, sizeof(*res));
	res->lines = xcalloc(reservation_room(doc), sizeof(*res->lines));
	ok = reservation_parse(doc, res, err);
	json_decref(doc);
	return ok;
}

static void refuses(const char *text, const char *field)
{
	struct reservation res;
	struct err err;

	assert_false(parse(text, &res, &err));
	assert_string_equal(err.field, field);
	free(res.lines);
}

static void bodies(void **state)
{
	struct reservation res;
	struct err err;

	(void)state;
	assert_true(parse("{\"ttl_s\":120,\"key_hash\":\"" HASH "\",\"lines\":["
			  "{\"product_id\":\"A\",\"quantity\":2},"
			  "{\"product_id\":\"B\",\"quantity\":1000}]}",
			  &res, &err));
	assert_int_equal(res.n_lines, 2);
	assert_string_equal(res.key_hash, HASH);
	assert_string_equal(res.lines[1].product_id, "B");
	assert_int_equal(res.lines[1].quantity, 1000);
	free(res.lines);
	assert_true(parse("{\"ttl_s\":1,\"key_hash\":null,\"lines\":["
			  "{\"product_id\":\"A\",\"quantity\":1}]}",
			  &res, &err));
	assert_string_equal(res.key_hash, "");
	free(res.lines);
}

#define LINE "{\"product_id\":\"A\",\"quantity\":1}"

static void bad_bodies(void **state)
{
	(void)state;
	refuses("{\"lines\":[" LINE "]}", "ttl_s");
	refuses("{\"ttl_s\":0,\"lines\":[" LINE "]}", "ttl_s");
	refuses("{\"ttl_s\":9999,\"lines\":[" LINE "]}", "ttl_s");
	refuses("{\"ttl_s\":9,\"key_hash\":\"xyz\",\"lines\":[" LINE "]}", "key_hash");
	refuses("{\"ttl_s\":9}", "lines");
	refuses("{\"ttl_s\":9,\"lines\":[]}", "lines");
	refuses("{\"ttl_s\":9,\"lines\":{}}", "lines");
	refuses("{\"ttl_s\":9,\"lines\":[1]}", "lines[0]");
	refuses("{\"ttl_s\":9,\"lines\":[" LINE "," LINE "]}", "lines");
	refuses("{\"ttl_s\":9,\"lines\":[{\"product_id\":\"B\",\"quantity\":1}," LINE
		"]}",
		"lines");
	refuses("{\"ttl_s\":9,\"lines\":[{\"product_id\":\"A\",\"quantity\":0}]}",
		"lines[0].quantity");
	refuses("{\"ttl_s\":9,\"lines\":[{\"product_id\":\"A\",\"quantity\":1001}]}",
		"lines[0].quantity");
	refuses("{\"ttl_s\":9,\"lines\":[{\"product_id\":\"A\",\"quantity\":1,\"x\":1}]}",
		"lines[0].x");
	refuses("{\"ttl_s\":9,\"x\":1,\"lines\":[" LINE "]}", "x");
}

static void too_many_lines(void **state)
{
	char text[4096] = "{\"ttl_s\":9,\"lines\":[", *at = text + strlen(text);

	(void)state;
	for (int i = 0; i < RESERVATION_MAX_LINES + 1; i++)
		at += snprintf(at, 64, "%s{\"product_id\":\"P%03d\",\"quantity\":1}",
			       i ? "," : "", i);
	snprintf(at, 8, "]}");
	refuses(text, "lines");
}

static void decisions(void **state)
{
	struct reservation_line lines[] = {
		{.product_id = "A", .quantity = 2, .found = true, .available = 2},
		{.product_id = "B", .quantity = 3, .found = true, .available = 2},
	};
	struct reservation res = {.n_lines = 2, .lines = lines};
	unsigned line;

	(void)state;
	assert_int_equal(reservation_decide(&res, &line), RESERVATION_SHORT);
	assert_int_equal(line, 1);
	assert_false(reservation_twin_holds(&res));
	lines[1].held = 1;
	assert_true(reservation_twin_holds(&res));
	lines[1].available = 3;
	assert_int_equal(reservation_decide(&res, &line), RESERVATION_FITS);
	/* A product that is not there weighs more than one that is short. */
	lines[0].available = 0;
	lines[1].found = false;
	assert_int_equal(reservation_decide(&res, &line), RESERVATION_NO_PRODUCT);
	assert_int_equal(line, 1);
}

static void answers(void **state)
{
	struct reservation_line lines[] = {
		{.product_id = "A", .name = "Lamp", .quantity = 2, .unit_price = 1990}};
	struct reservation res = {
		.id = ID, .n_lines = 1, .lines = lines, .expires_at = 1764018802123};
	struct shortage shortage = {.product_id = "A", .available = 1, .requested = 2};
	struct jw w;

	(void)state;
	jw_init(&w, RESERVATION_JSON_MAX);
	reservation_write(&w, &res);
	assert_true(jw_ok(&w));
	assert_string_equal(jw_text(&w).at,
			    "{\"reservation_id\":\"" ID "\",\"state\":\"pending\","
			    "\"expires_at\":\"2025-11-24T21:13:22.123Z\",\"lines\":["
			    "{\"product_id\":\"A\",\"name\":\"Lamp\",\"quantity\":2,"
			    "\"unit_price\":19.90}],\"total\":39.80}");
	jw_fini(&w);
	jw_init(&w, 1024);
	shortage_write(&w, &shortage, STR("r1"));
	assert_true(jw_ok(&w));
	assert_non_null(strstr(jw_text(&w).at, "\"code\":\"insufficient_stock\""));
	assert_non_null(strstr(jw_text(&w).at, "\"available\":1,\"requested\":2"));
	jw_fini(&w);
}

static void states(void **state)
{
	(void)state;
	for (int i = RESERVATION_PENDING; i <= RESERVATION_RETURNED; i++)
		assert_int_equal(reservation_state_from(str_from(reservation_state_name(
					 (enum reservation_state)i))),
				 i);
	assert_int_equal(reservation_state_from(STR("odd")), RESERVATION_RELEASED);
}

static enum order_event_kind kind(const char *text, struct order_event *event)
{
	struct err err;

	return order_event_read(str_from(text), event, &err);
}

static void events(void **state)
{
	struct order_event e;

	(void)state;
	assert_int_equal(kind("{\"order_id\":7,\"type\":\"order.created\","
			      "\"reservation_id\":\"" ID "\",\"more\":[]}",
			      &e),
			 ORDER_EVENT_CREATED);
	assert_int_equal(e.order_id, 7);
	assert_string_equal(e.reservation_id, ID);
	assert_int_equal(kind("{\"order_id\":7,\"type\":\"order.cancelled\","
			      "\"reservation_id\":\"" ID "\"}",
			      &e),
			 ORDER_EVENT_CANCELLED);
	assert_int_equal(kind("{\"order_id\":7,\"reservation_id\":\"" ID "\"}", &e),
			 ORDER_EVENT_CREATED);
	assert_int_equal(kind("{\"order_id\":7,\"user_id\":1}", &e), ORDER_EVENT_IGNORED);
	assert_int_equal(kind("{\"type\":\"order.shipped\"}", &e), ORDER_EVENT_IGNORED);
	assert_int_equal(kind("{\"type\":5,\"order_id\":7}", &e), ORDER_EVENT_POISON);
	assert_int_equal(kind("{\"order_id\":0,\"reservation_id\":\"" ID "\"}", &e),
			 ORDER_EVENT_POISON);
	assert_int_equal(kind("{\"order_id\":7,\"reservation_id\":\"zz\"}", &e),
			 ORDER_EVENT_POISON);
	assert_int_equal(kind("not json", &e), ORDER_EVENT_POISON);
	assert_int_equal(kind("[]", &e), ORDER_EVENT_POISON);
	assert_int_equal(kind("", &e), ORDER_EVENT_POISON);
	assert_int_equal(kind(NULL, &e), ORDER_EVENT_POISON);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies),    cmocka_unit_test(bad_bodies),
		cmocka_unit_test(decisions), cmocka_unit_test(too_many_lines),
		cmocka_unit_test(answers),   cmocka_unit_test(states),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
