/* test_order.c - what a client may ask for, its identity, totals and JSON. */
/* link: order-svc/order.c order-svc/order_wish.c order-svc/reservation_answer.c */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#include "js.h"
#include "money.h"
#include "order-svc/order.h"
#include "order-svc/reservations.h"

/* reservations.c also makes calls; only its reading is tested here. */
void trace_headers(const struct trace *trace, const char *authorization,
		   struct http_header_pair headers[TRACE_HEADERS])
{
	(void)trace;
	(void)authorization;
	(void)headers;
	abort();
}

static bool parse(struct order_wish *wish, const char *text, struct str key,
		  struct err *err)
{
	json_t *body = js_parse_object(str_from(text), err);
	bool ok;

	assert_non_null(body);
	ok = order_wish_parse(wish, body, key, err);
	json_decref(body);
	return ok;
}

static void takes(struct order_wish *wish, const char *text, struct str key)
{
	struct err err = {0};

	if (!parse(wish, text, key, &err))
		fail_msg("%s: %s", text, err.text);
}

static void refuses(const char *text, struct str key, const char *field)
{
	struct order_wish wish;
	struct err err = {0};

	if (parse(&wish, text, key, &err))
		fail_msg("accepted: %s", text);
	assert_int_equal(err.code, ERR_INPUT);
	assert_string_equal(err.field, field);
	order_fini(&wish.order);
}

static void short_form(void **state)
{
	struct order_wish wish;

	(void)state;
	takes(&wish, "{\"user_id\":1,\"product_id\":\"LAPTOP001\",\"quantity\":2}",
	      STR_NONE);
	assert_int_equal(wish.order.user_id, 1);
	assert_int_equal(wish.order.n_lines, 1);
	assert_string_equal(wish.order.lines[0].product_id, "LAPTOP001");
	assert_int_equal(wish.order.lines[0].quantity, 2);
	assert_int_equal(wish.order.lines[0].source, -1);
	assert_string_equal(wish.key, "");
	assert_string_equal(wish.key_hash, "");
	assert_int_equal(strlen(wish.hash), ORDER_HASH_LEN);
	order_fini(&wish.order);
}

static void merges_and_sorts(void **state)
{
	struct order_wish wish;

	(void)state;
	takes(&wish,
	      "{\"user_id\":1,\"items\":[{\"product_id\":\"b\",\"quantity\":400},"
	      "{\"product_id\":\"a\",\"quantity\":1},{\"product_id\":\"b\","
	      "\"quantity\":600},{\"product_id\":\"B\",\"quantity\":3}]}",
	      STR_NONE);
	assert_int_equal(wish.order.n_lines, 3);
	assert_string_equal(wish.order.lines[0].product_id, "B");
	assert_string_equal(wish.order.lines[1].product_id, "a");
	assert_string_equal(wish.order.lines[2].product_id, "b");
	assert_int_equal(wish.order.lines[2].quantity, 1000);
	assert_int_equal(wish.order.lines[0].source, 3);
	assert_int_equal(wish.order.lines[2].source, 0);
	order_fini(&wish.order);
}

static void bad_bodies(void **state)
{
	static const struct {
		const char *text, *field;
	} cases[] = {
		{"{\"product_id\":\"a\",\"quantity\":1}", "user_id"},
		{"{\"user_id\":0,\"product_id\":\"a\",\"quantity\":1}", "user_id"},
		{"{\"user_id\":\"1\",\"product_id\":\"a\",\"quantity\":1}", "user_id"},
		{"{\"user_id\":1e30,\"product_id\":\"a\",\"quantity\":1}", "user_id"},
		{"{\"user_id\":9007199254740992,\"product_id\":\"a\",\"quantity\":1}",
		 "user_id"},
		{"{\"user_id\":1,\"product_id\":\"a\"}", "quantity"},
		{"{\"user_id\":1,\"quantity\":1}", "product_id"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":0}", "quantity"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":-1}", "quantity"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1000000000}",
		 "quantity"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1.5}", "quantity"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1.0}", "quantity"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":true}", "quantity"},
		{"{\"user_id\":1,\"product_id\":\"\",\"quantity\":1}", "product_id"},
		{"{\"user_id\":1,\"product_id\":\"a b\",\"quantity\":1}", "product_id"},
		{"{\"user_id\":1,\"product_id\":\"a'\",\"quantity\":1}", "product_id"},
		{"{\"user_id\":1,\"product_id\":7,\"quantity\":1}", "product_id"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1,\"price\":1}",
		 "price"},
		{"{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1,"
		 "\"items\":[{\"product_id\":\"a\",\"quantity\":1}]}",
		 "items"},
		{"{\"user_id\":1,\"items\":[]}", "items"},
		{"{\"user_id\":1,\"items\":{}}", "items"},
		{"{\"user_id\":1,\"items\":[7]}", "items[0]"},
		{"{\"user_id\":1,\"items\":[{\"product_id\":\"a\",\"quantity\":1},"
		 "{\"product_id\":\"a\",\"quantitty\":1}]}",
		 "items[1].quantitty"},
		{"{\"user_id\":1,\"items\":[{\"product_id\":\"a\",\"quantity\":1000},"
		 "{\"product_id\":\"a\",\"quantity\":1}]}",
		 "items[1].quantity"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refuses(cases[i].text, STR_NONE, cases[i].field);
}

static char *many_lines(unsigned n)
{
	struct jw w;
	char *text;

	jw_init(&w, 65536);
	jw_object(&w);
	jw_kint(&w, "user_id", 1);
	jw_key(&w, "items");
	jw_array(&w);
	for (unsigned i = 0; i < n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "P%u", i);
		jw_object(&w);
		jw_kstrz(&w, "product_id", id);
		jw_kint(&w, "quantity", 1);
		jw_end(&w);
	}
	jw_end(&w);
	jw_end(&w);
	text = xstrdup(jw_text(&w).at);
	jw_fini(&w);
	return text;
}

static void line_limit(void **state)
{
	char *most = many_lines(ORDER_MAX_LINES), *over = many_lines(ORDER_MAX_LINES + 1);
	struct order_wish wish;

	(void)state;
	takes(&wish, most, STR_NONE);
	assert_int_equal(wish.order.n_lines, ORDER_MAX_LINES);
	order_fini(&wish.order);
	refuses(over, STR_NONE, "items");
	free(most);
	free(over);
}

#define BODY "{\"user_id\":1,\"product_id\":\"a\",\"quantity\":1"

static void keys(void **state)
{
	char longest[ORDER_KEY_MAX + 2];
	struct order_wish wish, other;

	(void)state;
	memset(longest, 'k', sizeof(longest));
	takes(&wish, BODY "}", (struct str){longest, ORDER_KEY_MAX});
	order_fini(&wish.order);
	refuses(BODY "}", (struct str){longest, ORDER_KEY_MAX + 1}, "Idempotency-Key");
	refuses(BODY "}", STR(""), "Idempotency-Key");
	refuses(BODY "}", STR("a\x01"), "Idempotency-Key");
	refuses(BODY "}", STR("\xc3\xa9"), "Idempotency-Key");
	refuses(BODY ",\"idempotency_key\":\"x \"}", STR_NONE, "idempotency_key");
	refuses(BODY ",\"idempotency_key\":\"\"}", STR_NONE, "idempotency_key");
	refuses(BODY ",\"idempotency_key\":5}", STR_NONE, "idempotency_key");
	refuses(BODY ",\"idempotency_key\":\"x\"}", STR("y"), "idempotency_key");

	takes(&wish, BODY ",\"idempotency_key\":\"x y\"}", STR_NONE);
	takes(&other, BODY ",\"idempotency_key\":\"x y\"}", STR("x y"));
	assert_string_equal(wish.key, "x y");
	assert_string_equal(wish.key_hash, other.key_hash);
	assert_string_equal(wish.hash, other.hash);
	order_fini(&wish.order);
	order_fini(&other.order);
}

static void hashes(void **state)
{
	struct order_wish a, b, c, d;

	(void)state;
	takes(&a, "{\"user_id\":1,\"product_id\":\"a\",\"quantity\":3}", STR_NONE);
	takes(&b,
	      "{\"items\":[{\"quantity\":1,\"product_id\":\"a\"},"
	      "{\"product_id\":\"a\",\"quantity\":2}],\"user_id\":1}",
	      STR("key"));
	takes(&c, "{\"user_id\":1,\"product_id\":\"a\",\"quantity\":4}", STR_NONE);
	takes(&d, "{\"user_id\":2,\"product_id\":\"a\",\"quantity\":3}", STR("key"));
	assert_string_equal(a.hash, b.hash);
	assert_string_not_equal(a.hash, c.hash);
	assert_string_not_equal(a.hash, d.hash);
	assert_string_not_equal(b.key_hash, d.key_hash);
	order_fini(&a.order);
	order_fini(&b.order);
	order_fini(&c.order);
	order_fini(&d.order);
}

static void fill(struct order *order)
{
	memset(order, 0, sizeof(*order));
	order->id = 123;
	order->user_id = 1;
	order->created_at = 1764018802123;
	str_copy(order->reservation_id, sizeof(order->reservation_id),
		 STR("0123456789abcdef0123456789abcdef"));
	order_new_lines(order, 2);
	for (unsigned i = 0; i < 2; i++) {
		struct order_line *line = &order->lines[i];

		snprintf(line->product_id, sizeof(line->product_id), "P%u", i);
		order_set_name(line, STR("Thing"));
		line->quantity = i + 1;
		line->unit_price = 1050;
	}
}

static void totals(void **state)
{
	struct err err = {0};
	struct order order;
	int64_t cents;

	(void)state;
	fill(&order);
	assert_true(order_total(&order, &cents, &err));
	assert_int_equal(cents, 3150);
	order.lines[0].unit_price = MONEY_MAX_CENTS;
	order.lines[1].unit_price = 0;
	assert_true(order_total(&order, &cents, &err));
	order.lines[1].unit_price = 1;
	assert_false(order_total(&order, &cents, &err));
	assert_int_equal(err.code, ERR_UNPROCESSABLE);
	assert_string_equal(err.slug, "total_too_large");
	order_fini(&order);
}

static void json(void **state)
{
	struct order_event event = {"order.cancelled", "ee", 17, 1764018802123};
	struct order order;
	struct jw w;

	(void)state;
	fill(&order);
	order.total = 3150;
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &order);
	assert_true(jw_ok(&w));
	assert_string_equal(
		jw_text(&w).at,
		"{\"order_id\":123,\"user_id\":1,\"status\":\"placed\",\"total_price\":"
		"31.50,"
		"\"currency\":\"USD\",\"items\":[{\"product_id\":\"P0\",\"name\":"
		"\"Thing\","
		"\"quantity\":1,\"unit_price\":10.50},{\"product_id\":\"P1\",\"name\":"
		"\"Thing\",\"quantity\":2,\"unit_price\":10.50}],"
		"\"created_at\":\"2025-11-24T21:13:22.123Z\"}");
	jw_fini(&w);
	jw_init(&w, ORDER_JSON_MAX);
	order_event_write(&w, &order, &event);
	assert_string_equal(
		jw_text(&w).at,
		"{\"order_id\":123,\"user_id\":1,\"price\":31.50,\"quantity\":3,"
		"\"timestamp\":\"2025-11-24T21:13:22Z\",\"type\":\"order.cancelled\","
		"\"event_id\":\"ee\",\"seq\":17,\"currency\":\"USD\",\"reservation_id\":"
		"\"0123456789abcdef0123456789abcdef\",\"items\":[{\"product_id\":\"P0\","
		"\"quantity\":1,\"unit_price\":10.50},{\"product_id\":\"P1\","
		"\"quantity\":2,"
		"\"unit_price\":10.50}]}");
	jw_fini(&w);
	order_fini(&order);
}

/* The largest order there can be still fits its buffers. */
static void largest(void **state)
{
	char name[ORDER_NAME_MAX + 50];
	struct order_event event = {"order.created", "ee", INT64_MAX, 0};
	struct order order = {.id = ORDER_MAX_ID, .total = MONEY_MAX_CENTS};
	struct jw w;

	(void)state;
	memset(name, 1, sizeof(name));
	order_new_lines(&order, ORDER_MAX_LINES);
	for (unsigned i = 0; i < ORDER_MAX_LINES; i++) {
		memset(order.lines[i].product_id, 'x', ORDER_PRODUCT_MAX);
		order_set_name(&order.lines[i], (struct str){name, sizeof(name)});
		order.lines[i].unit_price = MONEY_MAX_CENTS;
	}
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &order);
	assert_true(jw_ok(&w));
	jw_fini(&w);
	jw_init(&w, ORDER_JSON_MAX);
	order_event_write(&w, &order, &event);
	assert_true(jw_ok(&w));
	jw_fini(&w);
	order_fini(&order);
}

static void names_are_cut_between_characters(void **state)
{
	char name[ORDER_NAME_MAX + 10];
	struct order_line line = {.name = NULL};

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa9", 2);
	order_set_name(&line, (struct str){name, ORDER_NAME_MAX + 1});
	assert_int_equal(strlen(line.name), ORDER_NAME_MAX - 1);
	free(line.name);
}

static void problems(void **state)
{
	struct order_shortage shortage = {.product_id = "P1",
					  .available = 2,
					  .requested = 3,
					  .detail = "only 2 left"};
	struct jw kept, w;

	(void)state;
	jw_init(&kept, ORDER_JSON_MAX);
	order_shortage_write(&kept, &shortage);
	jw_init(&w, ORDER_JSON_MAX);
	order_problem_write(&w, jw_text(&kept), STR("r1"));
	assert_true(jw_ok(&w));
	assert_string_equal(
		jw_text(&w).at,
		"{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,"
		"\"detail\":\"only 2 left\",\"code\":\"insufficient_stock\","
		"\"product_id\":\"P1\",\"available\":2,\"requested\":3,"
		"\"request_id\":\"r1\"}");
	jw_fini(&w);
	jw_init(&w, ORDER_JSON_MAX);
	order_problem_write(&w, STR("x"), STR("r1"));
	assert_false(jw_ok(&w));
	jw_fini(&w);
	jw_fini(&kept);
}

static void cursors(void **state)
{
	static const char *const bad[] = {"",
					  "o",
					  "1",
					  "o000000000000000g",
					  "O0000000000000001",
					  "o0000000000000000",
					  "offffffffffffffff",
					  "o000000000000000A",
					  "o00000000000000011"};
	char text[ORDER_CURSOR_LEN + 1];
	struct err err = {0};
	int64_t id = 0;

	(void)state;
	order_cursor_write(text, 4711);
	assert_true(order_cursor_parse(str_from(text), &id, &err));
	assert_int_equal(id, 4711);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (order_cursor_parse(str_from(bad[i]), &id, &err))
			fail_msg("accepted cursor %s", bad[i]);
		assert_string_equal(err.field, "cursor");
	}
}

/* ---- what product-svc answers ---- */

#define RESERVED(state, price, quantity)                                              \
	"{\"reservation_id\":\"0123456789abcdef0123456789abcdef\",\"state\":\"" state \
	"\",\"expires_at\":\"x\",\"total\":31.50,\"lines\":[{\"product_id\":\"P0\","  \
	"\"name\":\"Zero\",\"quantity\":1,\"unit_price\":" price "},{\"product_id\":" \
	"\"P1\",\"name\":\"One\",\"quantity\":" quantity ",\"unit_price\":2}]}"

static enum reserve_end answer(struct order *order, int status, const char *text,
			       struct err *err, struct order_shortage *shortage)
{
	struct reservation reservation = {.order = order, .key_hash = ""};
	enum reserve_end end;
	json_t *doc;

	memset(err, 0, sizeof(*err));
	doc = js_parse_object(str_from(text), NULL);
	end = reservation_read(&reservation, status, doc, err);
	json_decref(doc);
	if (shortage)
		*shortage = reservation.shortage;
	return end;
}

static void reservation_answers(void **state)
{
	struct order_shortage shortage;
	struct order order;
	struct err err;

	(void)state;
	fill(&order);
	order.lines[1].source = 4;
	assert_int_equal(
		answer(&order, 200, RESERVED("pending", "1999.99", "2"), &err, NULL),
		RESERVE_OK);
	assert_int_equal(order.lines[0].unit_price, 199999);
	assert_string_equal(order.lines[1].name, "One");
	assert_int_equal(answer(&order, 200, RESERVED("released", "1", "2"), &err, NULL),
			 RESERVE_UNKNOWN);
	assert_int_equal(answer(&order, 200, RESERVED("pending", "-1", "2"), &err, NULL),
			 RESERVE_UNKNOWN);
	assert_int_equal(answer(&order, 200, RESERVED("pending", "1", "3"), &err, NULL),
			 RESERVE_UNKNOWN);
	assert_int_equal(err.code, ERR_UPSTREAM);
	assert_int_equal(answer(&order, 200, "nonsense", &err, NULL), RESERVE_UNKNOWN);
	assert_int_equal(answer(&order, 500, "{}", &err, NULL), RESERVE_UNKNOWN);
	/* Only product-svc's own words promise that nothing is held. */
	assert_int_equal(answer(&order, 503, "{\"code\":\"unavailable\"}", &err, NULL),
			 RESERVE_UNKNOWN);
	assert_int_equal(answer(&order, 504, "{\"code\":\"database_busy\"}", &err, NULL),
			 RESERVE_UNKNOWN);
	assert_int_equal(answer(&order, 503, "{\"code\":\"database_busy\"}", &err, NULL),
			 RESERVE_NOT_SENT);
	assert_true(err.code == ERR_BUSY && err.retry_after_s > 0);
	assert_int_equal(answer(&order, 409,
				"{\"code\":\"insufficient_stock\",\"detail\":\"only 1\","
				"\"product_id\":\"P1\",\"available\":1,\"requested\":2}",
				&err, &shortage),
			 RESERVE_SHORT);
	assert_string_equal(shortage.product_id, "P1");
	assert_int_equal(shortage.available, 1);
	assert_int_equal(
		answer(&order, 409, "{\"code\":\"order_in_progress\"}", &err, NULL),
		RESERVE_IN_PROGRESS);
	assert_true(err.retry_after_s > 0);
	assert_int_equal(answer(&order, 404,
				"{\"code\":\"product_not_found\",\"detail\":\"no P1\","
				"\"errors\":[{\"field\":\"items[1].product_id\"}]}",
				&err, NULL),
			 RESERVE_REFUSED);
	assert_string_equal(err.field, "items[4].product_id");
	assert_int_equal(err.code, ERR_NOT_FOUND);
	order_fini(&order);
}

static enum reserve_end one_of_many(struct order *order, const char *text)
{
	struct reservation reservation = {.order = order, .key_hash = ""};
	struct err err = {0};
	json_t *doc = js_parse_object(str_from(text), NULL);
	enum reserve_end end = reservation_read_of_many(&reservation, doc, &err);

	json_decref(doc);
	return end;
}

#define SAID(what) "{\"results\":{\"0123456789abcdef0123456789abcdef\":" what "}}"

static void answers_to_many(void **state)
{
	struct order order;

	(void)state;
	fill(&order);
	assert_int_equal(one_of_many(&order, SAID("{\"status\":200,\"body\":" RESERVED(
						     "pending", "5", "2") "}")),
			 RESERVE_OK);
	assert_int_equal(order.lines[0].unit_price, 500);
	assert_int_equal(one_of_many(&order, SAID("{\"status\":503,\"body\":{\"code\":"
						  "\"database_busy\"}}")),
			 RESERVE_NOT_SENT);
	/* Not a word about it, or none that can be understood: it may be held. */
	assert_int_equal(one_of_many(&order, "{\"results\":{}}"), RESERVE_UNKNOWN);
	assert_int_equal(one_of_many(&order, "{}"), RESERVE_UNKNOWN);
	assert_int_equal(one_of_many(&order, "nonsense"), RESERVE_UNKNOWN);
	assert_int_equal(one_of_many(&order, SAID("{\"status\":200}")), RESERVE_UNKNOWN);
	assert_int_equal(one_of_many(&order, SAID("{\"status\":\"200\",\"body\":{}}")),
			 RESERVE_UNKNOWN);
	order_fini(&order);
}

RUN(cmocka_unit_test(short_form), cmocka_unit_test(merges_and_sorts),
    cmocka_unit_test(bad_bodies), cmocka_unit_test(line_limit), cmocka_unit_test(keys),
    cmocka_unit_test(hashes), cmocka_unit_test(totals), cmocka_unit_test(json),
    cmocka_unit_test(largest), cmocka_unit_test(names_are_cut_between_characters),
    cmocka_unit_test(problems), cmocka_unit_test(cursors),
    cmocka_unit_test(reservation_answers), cmocka_unit_test(answers_to_many))
