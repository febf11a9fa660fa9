/* test_json.c - the writer and the strict reader. */
#include "check.h"

#include <stdio.h>

#include "js.h"
#include "jw.h"
#include "money.h"

static void writes(void **state)
{
	struct jw w;

	(void)state;
	jw_init(&w, 4096);
	jw_object(&w);
	jw_kmoney(&w, "total", 199999);
	jw_key(&w, "list");
	jw_array(&w);
	jw_int(&w, -1);
	jw_str(&w, STR("a\"\\\n\x01\xc3\xa9\xff"));
	jw_null(&w);
	jw_end(&w);
	jw_end(&w);
	assert_true(jw_ok(&w));
	assert_string_equal(jw_text(&w).at,
			    "{\"total\":1999.99,\"list\":[-1,"
			    "\"a\\\"\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\",null]}");
	jw_fini(&w);
}

static void writer_limits(void **state)
{
	struct jw w;
	char small[8];

	(void)state;
	jw_init(&w, 5);
	jw_str(&w, STR("too long"));
	assert_false(jw_ok(&w));
	jw_fini(&w);

	jw_init_fixed(&w, small, sizeof(small));
	jw_str(&w, STR("12345"));
	assert_true(jw_ok(&w));
	assert_string_equal(jw_text(&w).at, "\"12345\"");

	jw_init(&w, 1000);
	jw_object(&w);
	assert_false(jw_ok(&w)); /* still open */
	jw_fini(&w);
}

/* Every byte at every place of a text: as one that looks at one byte at a time. */
static void strings(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		for (size_t at = 0; at < 20; at++) {
			char text[20], got[256], want[64];
			char byte = (char)c;
			struct jw w;

			memset(text, 'a', sizeof(text));
			text[at] = byte;
			if (c == '"' || c == '\\')
				snprintf(want, sizeof(want), "\\%c", c);
			else if (c == '\n' || c == '\r' || c == '\t')
				snprintf(want, sizeof(want), "\\%c",
					 c == '\n'   ? 'n'
					 : c == '\r' ? 'r'
						     : 't');
			else if (c < 0x20 || c == 0x7f)
				snprintf(want, sizeof(want), "\\u%04x", (unsigned)c);
			else
				snprintf(want, sizeof(want), "%c", c < 0x80 ? c : '?');
			jw_init_fixed(&w, got, sizeof(got));
			jw_str(&w, (struct str){text, sizeof(text)});
			assert_true(jw_ok(&w));
			assert_int_equal(w.len, 21 + (c < 0x80 ? strlen(want) : 3));
			assert_memory_equal(got + 1 + at,
					    c < 0x80 ? want : "\xef\xbf\xbd", w.len - 21);
			for (size_t i = 0; i < at; i++)
				assert_int_equal(got[1 + i], 'a');
		}
	}
}

static void refused(const char *text)
{
	struct err err = {0};

	assert_null(js_parse_object(str_from(text), &err));
	assert_int_equal(err.code, ERR_INPUT);
	assert_string_equal(err.slug, "invalid_json");
}

static void strict(void **state)
{
	char deep[3000];

	(void)state;
	refused("");
	refused("{");
	refused("[1]");
	refused("{\"a\":1,\"a\":2}");
	refused("{\"a\":\"\xff\"}");
	refused("{\"a\":1} x");
	refused("{\"a\":NaN}");
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	refused(deep);
}

static void fields(void **state)
{
	static const char *const allowed[] = {"n", "s", "m", "f", NULL};
	struct err err = {0};
	json_t *doc = js_parse_object(
		str_from("{\"n\":5,\"s\":\"abc\",\"m\":19.99,\"f\":1.5,\"z\":0}"), &err);
	struct str s;
	int64_t n;

	(void)state;
	assert_non_null(doc);
	assert_true(js_int(doc, "n", 1, 10, &n, &err) && n == 5);
	assert_false(js_int(doc, "n", 6, 10, &n, &err));
	assert_string_equal(err.field, "n");
	assert_false(js_int_at(doc, "items[2].", "f", 1, 10, &n, &err));
	assert_string_equal(err.field, "items[2].f");
	assert_true(js_str(doc, "s", 1, 3, &s, &err) && s.len == 3);
	assert_false(js_str(doc, "s", 4, 9, &s, &err));
	assert_true(js_money(doc, "m", 0, 100000, &n, &err) && n == 1999);
	assert_false(js_int(doc, "gone", 0, 1, &n, &err));
	assert_string_equal(err.text, "gone is missing");
	assert_false(js_only(doc, "", allowed, &err));
	assert_string_equal(err.field, "z");
	json_decref(doc);
}

static void reads_back(int64_t cents)
{
	char text[MONEY_TEXT_MAX], body[MONEY_TEXT_MAX + 8];
	struct err err = {0};
	int64_t read = -1;
	json_t *doc;

	money_format(text, cents);
	snprintf(body, sizeof(body), "{\"m\":%s}", text);
	doc = js_parse_object(str_from(body), &err);
	assert_non_null(doc);
	if (!js_money(doc, "m", 0, MONEY_MAX_CENTS, &read, &err) || read != cents)
		fail_msg("%s was read as %lld: %s", text, (long long)read, err.text);
	json_decref(doc);
}

static void money_reads_back(void **state)
{
	uint64_t random = 1;

	(void)state;
	reads_back(0);
	reads_back(998998331670);
	reads_back(MONEY_MAX_CENTS);
	for (int i = 0; i < 20000; i++) {
		random = random * 6364136223846793005U + 1442695040888963407U;
		/* Of every size: large ones have the fewest bits left for cents. */
		reads_back((int64_t)((random >> 16) % (MONEY_MAX_CENTS + 1)) >> (i % 40));
	}
}

RUN(cmocka_unit_test(writes), cmocka_unit_test(writer_limits), cmocka_unit_test(strings),
    cmocka_unit_test(strict), cmocka_unit_test(fields),
    cmocka_unit_test(money_reads_back))
