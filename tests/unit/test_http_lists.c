/* test_http_lists.c - lists in header fields, also those that nobody should send. */
#include "check.h"

#include <stdio.h>

#include "http_lists.h"

/* All directives of a list as "name=number;". */
static void assert_directives(const char *list, const char *expected)
{
	struct str rest = str_from(list);
	struct http_directive one;
	char text[200] = "";
	size_t n = 0;

	while (http_directive_next(&rest, &one))
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      STR_FMT "=" STR_FMT "/%u;", STR_ARG(one.name),
				      STR_ARG(one.value), one.number);
	assert_string_equal(text, expected);
	assert_int_equal(rest.len, 0);
}

static void directives(void **state)
{
	(void)state;
	assert_directives("", "");
	assert_directives(" ,, \t,", "");
	assert_directives("no-cache", "no-cache=/0;");
	assert_directives("no-cache,max-age=60", "no-cache=/0;max-age=60/60;");
	assert_directives(" a ,\tmax-age=060, b=", "a=/0;max-age=060/60;b=/0;");
	/* Both forms of a value mean the same (RFC 9111 section 5.2). */
	assert_directives("max-age=\"60\"", "max-age=60/60;");
	assert_directives("max-age=-1, max-age=1s, max-age=\"", "max-age=-1/0;"
								"max-age=1s/0;"
								"max-age=\"/0;");
	assert_directives("max-age=4294967295, a=4294967296, b=99999999999999999999",
			  "max-age=4294967295/4294967295;a=4294967296/4294967295;"
			  "b=99999999999999999999/0;");
	assert_directives("max-age = 1", "max-age = 1/0;");
}

static void commas_in_quotes(void **state)
{
	(void)state;
	assert_directives("private=\"X-A, no-store\", b",
			  "private=X-A, no-store/0;b=/0;");
	assert_directives("a=\"x\\\", no-store\", b", "a=x\\\", no-store/0;b=/0;");
	assert_directives("a=\"x\\\\\", b", "a=x\\\\/0;b=/0;");
	/* One that is never closed hides nothing. */
	assert_directives("a=\"x, no-store", "a=\"x/0;no-store=/0;");
	assert_directives("a=\"x\\\", no-store", "a=\"x\\\"/0;no-store=/0;");
	assert_directives("a=\"x\"y, b", "a=\"x\"y/0;b=/0;");
	/* Nor does one that is no value. */
	assert_directives("a\"x, no-store, b\"", "a\"x=/0;no-store=/0;b\"=/0;");
	assert_directives("\"x, no-store\"", "\"x=/0;no-store\"=/0;");
}

static bool listed(const char *list, const char *etag, bool weak)
{
	return http_etag_listed(str_from(list), str_from(etag), weak);
}

static void tags(void **state)
{
	(void)state;
	for (int weak = 0; weak < 2; weak++) {
		assert_true(listed("\"12\"", "\"12\"", weak));
		assert_true(listed(" \"11\" , \"12\"", "\"12\"", weak));
		assert_true(listed("\"11\",\"12\",", "\"12\"", weak));
		assert_true(listed(", ,W/\"x,y\",\"12\"", "\"12\"", weak));
		assert_true(listed("\"x,y\"", "\"x,y\"", weak));
		assert_true(listed("\"a\\\", \"12\"", "\"12\"", weak));
		assert_true(listed("\"\"", "\"\"", weak));
		assert_true(listed("*", "\"12\"", weak));
		assert_true(listed(" * ", "\"12\"", weak));
		assert_false(listed("\"1\", \"2\"", "\"12\"", weak));
		assert_false(listed("\"A\"", "\"a\"", weak));
		assert_false(listed("", "\"12\"", weak));
		assert_false(listed(",,", "\"12\"", weak));
		/* What is no tag ends the list. */
		assert_false(listed("12", "\"12\"", weak));
		assert_false(listed("\"12", "\"12\"", weak));
		assert_false(listed("\"", "\"12\"", weak));
		assert_false(listed("\"11,\"12\"", "\"12\"", weak));
		assert_false(listed("\"11\" \"12\"", "\"12\"", weak));
		assert_false(listed("x\"12\"", "\"12\"", weak));
		assert_false(listed("\"12\"x", "\"12\"", weak));
		assert_false(listed("*, \"12\"", "\"12\"", weak));
		assert_false(listed("w/\"12\"", "\"12\"", weak));
		assert_false(listed("W/", "\"12\"", weak));
	}
}

static void weak_tags(void **state)
{
	(void)state;
	assert_true(listed("W/\"12\"", "\"12\"", true));
	assert_true(listed("\"12\"", "W/\"12\"", true));
	assert_true(listed("W/\"12\"", "W/\"12\"", true));
	assert_false(listed("W/\"12\"", "\"12\"", false));
	assert_false(listed("\"12\"", "W/\"12\"", false));
	assert_false(listed("W/\"12\"", "W/\"12\"", false));
}

static void what_is_a_tag(void **state)
{
	(void)state;
	assert_true(http_is_etag(STR("\"\"")));
	assert_true(http_is_etag(STR("\"a,\\\"")));
	assert_true(http_is_etag(STR("W/\"a\"")));
	assert_false(http_is_etag(STR_NONE));
	assert_false(http_is_etag(STR("a")));
	assert_false(http_is_etag(STR("\"")));
	assert_false(http_is_etag(STR("\"a\"b\"")));
	assert_false(http_is_etag(STR("\"a\" ")));
	assert_false(http_is_etag(STR(" \"a\"")));
	assert_false(http_is_etag(STR("w/\"a\"")));
}

RUN(cmocka_unit_test(directives), cmocka_unit_test(commas_in_quotes),
    cmocka_unit_test(tags), cmocka_unit_test(weak_tags), cmocka_unit_test(what_is_a_tag))
