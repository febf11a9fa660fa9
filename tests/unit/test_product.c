/* test_product.c - what may be sold, and the tags of the catalogue. */
/* link: product-svc/product.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "js.h"
#include "product-svc/product.h"

#define VALID                                                                \
	"\"name\":\"Laptop 15\",\"category\":\"laptops\",\"price\":1999.99," \
	"\"description\":\"thin\\nlight\",\"image_url\":\"/img/a.svg\""

struct parsed {
	json_t *doc;
	struct product product;
	struct err err;
};

static bool parse_new(struct parsed *p, const char *text)
{
	memset(p, 0, sizeof(*p));
	p->doc = js_parse_object(str_from(text), &p->err);
	assert_non_null(p->doc);
	return product_parse_new(p->doc, &p->product, &p->err);
}

static void refuses(const char *text, const char *field)
{
	struct parsed p;

	assert_false(parse_new(&p, text));
	assert_int_equal(p.err.code, ERR_INPUT);
	assert_string_equal(p.err.field, field);
	json_decref(p.doc);
}

static void new_product(void **state)
{
	struct parsed p;

	(void)state;
	assert_true(
		parse_new(&p, "{\"product_id\":\"LAPTOP-1.a_B\",\"stock\":7," VALID "}"));
	assert_true(str_eqz(p.product.id, "LAPTOP-1.a_B"));
	assert_int_equal(p.product.price, 199999);
	assert_int_equal(p.product.stock, 7);
	assert_true(str_eqz(p.product.image_url, "/img/a.svg"));
	json_decref(p.doc);
	assert_true(parse_new(&p,
			      "{\"product_id\":\"A\",\"name\":\"n\",\"category\":\"c\","
			      "\"price\":5,\"image_url\":null}"));
	assert_int_equal(p.product.stock, 0);
	assert_int_equal(p.product.description.len, 0);
	assert_null(p.product.image_url.at);
	json_decref(p.doc);
}

static void bad_fields(void **state)
{
	(void)state;
	refuses("{" VALID "}", "product_id");
	refuses("{\"product_id\":\"a/b\"," VALID "}", "product_id");
	refuses("{\"product_id\":\"\"," VALID "}", "product_id");
	refuses("{\"product_id\":7," VALID "}", "product_id");
	refuses("{\"product_id\":\"A\",\"colour\":1," VALID "}", "colour");
	refuses("{\"product_id\":\"A\",\"stock\":-1," VALID "}", "stock");
	refuses("{\"product_id\":\"A\",\"stock\":1.5," VALID "}", "stock");
	refuses("{\"product_id\":\"A\",\"category\":\"c\",\"price\":1}", "name");
	refuses("{\"product_id\":\"A\",\"name\":\"  \",\"category\":\"c\",\"price\":1}",
		"name");
	refuses("{\"product_id\":\"A\",\"name\":\"a\\u0007\",\"category\":\"c\","
		"\"price\":1}",
		"name");
	refuses("{\"product_id\":\"A\",\"name\":\"a\",\"category\":\"c\",\"price\":0}",
		"price");
	refuses("{\"product_id\":\"A\",\"name\":\"a\",\"category\":\"c\",\"price\":1."
		"999}",
		"price");
	refuses("{\"product_id\":\"A\",\"name\":\"a\",\"category\":\"c\","
		"\"price\":10000000}",
		"price");
	refuses("{\"product_id\":\"A\",\"currency\":\"EUR\"," VALID "}", "currency");
}

static void bad_image(const char *url)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"product_id\":\"A\",\"name\":\"a\",\"category\":\"c\",\"price\":1,"
		 "\"image_url\":\"%s\"}",
		 url);
	refuses(text, "image_url");
}

static void image_urls(void **state)
{
	(void)state;
	bad_image("javascript:alert(1)");
	bad_image("//elsewhere/x.png");
	bad_image("/a b.png");
	bad_image("/a\\\"b.png");
	bad_image("data:text/html,x");
}

static void put_product(void **state)
{
	struct product product;
	struct err err;
	json_t *doc = js_parse_object(STR("{" VALID "}"), &err);

	(void)state;
	assert_true(product_parse_put(doc, STR("A"), &product, &err));
	assert_true(str_eqz(product.id, "A"));
	json_decref(doc);

	doc = js_parse_object(STR("{\"stock\":5," VALID "}"), &err);
	assert_false(product_parse_put(doc, STR("A"), &product, &err));
	assert_string_equal(err.field, "stock");
	json_decref(doc);

	doc = js_parse_object(STR("{\"product_id\":\"B\"," VALID "}"), &err);
	assert_false(product_parse_put(doc, STR("A"), &product, &err));
	assert_string_equal(err.field, "product_id");
	json_decref(doc);
}

static bool delta_of(const char *text, int64_t *delta, struct err *err)
{
	json_t *doc = js_parse_object(str_from(text), err);
	bool ok = product_parse_delta(doc, delta, err);

	json_decref(doc);
	return ok;
}

static void deltas(void **state)
{
	struct err err;
	int64_t delta;

	(void)state;
	assert_true(delta_of("{\"delta\":-3}", &delta, &err));
	assert_int_equal(delta, -3);
	assert_false(delta_of("{\"delta\":0}", &delta, &err));
	assert_false(delta_of("{\"delta\":1.0}", &delta, &err));
	assert_false(delta_of("{\"delta\":1000000001}", &delta, &err));
	assert_false(delta_of("{\"delta\":1,\"x\":1}", &delta, &err));
	assert_string_equal(err.field, "x");
	assert_false(delta_of("{}", &delta, &err));
	assert_string_equal(err.field, "delta");
}

static void keys(void **state)
{
	char big[PRODUCT_KEY_MAX + 2];
	struct err err;

	(void)state;
	memset(big, 'k', sizeof(big));
	assert_true(product_key_ok(STR("seed-1"), &err));
	assert_false(product_key_ok(STR_NONE, &err));
	assert_string_equal(err.field, "Idempotency-Key");
	assert_false(product_key_ok(STR(""), &err));
	assert_false(product_key_ok(STR("a\x80"), &err));
	assert_true(product_key_ok((struct str){big, PRODUCT_KEY_MAX}, &err));
	assert_false(product_key_ok((struct str){big, sizeof(big) - 1}, &err));
}

static void etags(void **state)
{
	char etag[PRODUCT_ETAG_MAX];

	(void)state;
	product_etag(etag, 12);
	assert_string_equal(etag, "\"12\"");
}

static void exact_reads(void **state)
{
	(void)state;
	assert_true(product_wants_exact(STR("no-cache")));
	assert_true(product_wants_exact(STR("foo, No-Cache")));
	assert_true(product_wants_exact(STR("max-age=0")));
	assert_true(product_wants_exact(STR("Max-Age=00")));
	assert_true(product_wants_exact(STR("max-age=nonsense")));
	assert_false(product_wants_exact(STR("max-age=1")));
	assert_false(product_wants_exact(STR("max-stale")));
	assert_false(product_wants_exact(STR("a=\"x, no-cache\", no-store")));
	assert_false(product_wants_exact(STR("")));
	assert_false(product_wants_exact(STR_NONE));
}

static void patterns(void **state)
{
	char pattern[PRODUCT_PATTERN_MAX], big[404];

	(void)state;
	assert_true(product_pattern(pattern, STR_NONE));
	assert_string_equal(pattern, "%");
	assert_true(product_pattern(pattern, STR("50%_off!")));
	assert_string_equal(pattern, "%50!%!_off!!%");
	memset(big, '%', sizeof(big));
	assert_true(product_pattern(pattern, (struct str){big, 100}));
	assert_int_equal(strlen(pattern), 202);
	assert_false(product_pattern(pattern, (struct str){big, 101}));
	for (int i = 0; i < 100; i++)
		memcpy(big + 4 * i, "\xf0\x9f\x98\x80", 4);
	assert_true(product_pattern(pattern, (struct str){big, 400}));
	assert_int_equal(strlen(pattern), 402);
}

static void json_form(void **state)
{
	struct product p = {.id = STR("A1"),
			    .name = STR("Lamp"),
			    .description = STR(""),
			    .category = STR("home"),
			    .price = 1990,
			    .version = 3,
			    .created_at = 1764018802000,
			    .updated_at = 1764018802000};
	struct jw w;

	(void)state;
	jw_init(&w, PRODUCT_JSON_MAX);
	product_write(&w, &p);
	assert_true(jw_ok(&w));
	assert_string_equal(
		jw_text(&w).at,
		"{\"product_id\":\"A1\",\"name\":\"Lamp\",\"description\":\"\","
		"\"category\":\"home\",\"price\":19.90,\"currency\":\"USD\","
		"\"stock\":0,\"in_stock\":false,"
		"\"created_at\":\"2025-11-24T21:13:22Z\","
		"\"updated_at\":\"2025-11-24T21:13:22Z\"}");
	jw_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_product), cmocka_unit_test(bad_fields),
		cmocka_unit_test(image_urls),  cmocka_unit_test(put_product),
		cmocka_unit_test(deltas),      cmocka_unit_test(keys),
		cmocka_unit_test(etags),       cmocka_unit_test(exact_reads),
		cmocka_unit_test(patterns),    cmocka_unit_test(json_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
