/* test_topics.c - the topics file, and how a topic may differ from it. */
/* link: processor/topics.c */
#include "check.h"

#include <string.h>

#include "processor/topics.h"

#define DOC(list) "{\"topics\":[" list "]}"
#define ONE       "{\"name\":\"a\",\"partitions\":3,\"config\":{\"x.y\":\"1\",\"z\":\"q\"}}"

static void reads(void **state)
{
	struct topics topics;
	struct err err = {0};
	const struct topic *topic;

	(void)state;
	assert_true(topics_parse(STR(DOC(ONE ",{\"name\":\"b\",\"partitions\":1}")),
				 &topics, &err));
	assert_int_equal(topics.n, 2);
	topic = topics_find(&topics, "a");
	assert_non_null(topic);
	assert_int_equal(topic->partitions, 3);
	assert_int_equal(topic->n_options, 2);
	assert_non_null(topics_find(&topics, "b"));
	assert_null(topics_find(&topics, "c"));
	topics_fini(&topics);
}

static void reads_our_own_file(void **state)
{
	struct topics topics;
	struct err err = {0};

	(void)state;
	if (!topics_load("tools/topics.json", &topics, &err))
		fail_msg("%s", err.text);
	assert_non_null(topics_find(&topics, "orders-events"));
	topics_fini(&topics);
}

static void refuse(const char *json, const char *why)
{
	struct topics topics;
	struct err err = {0};

	assert_false(topics_parse(str_from(json), &topics, &err));
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	topics_fini(&topics);
}

static void refuses(void **state)
{
	struct topics topics;
	struct err err = {0};

	(void)state;
	refuse("{", "");
	refuse("{\"topics\":{}}", "\"topics\" must be a list");
	refuse("{\"topics\":[],\"more\":1}", "more");
	refuse(DOC("7"), "topics[0]: must be an object");
	refuse(DOC("{\"partitions\":3}"), "topics[0]: name");
	refuse(DOC("{\"name\":\"a\"}"), "topics[0]: a: partitions");
	refuse(DOC("{\"name\":\"a\",\"partitions\":0}"), "partitions");
	refuse(DOC("{\"name\":\"a\",\"partitions\":1,\"confg\":{}}"), "confg");
	refuse(DOC("{\"name\":\"a\",\"partitions\":1,\"config\":[]}"), "config");
	refuse(DOC("{\"name\":\"a\",\"partitions\":1,\"config\":{\"x\":1}}"), "config.x");
	refuse(DOC(ONE "," ONE), "topics[1]: a is there twice");
	assert_false(topics_load("/nowhere.json", &topics, &err));
	assert_non_null(strstr(err.text, "/nowhere.json"));
}

static void compares(void **state)
{
	struct topics topics;
	struct err err = {0};
	const struct topic *a;

	(void)state;
	assert_true(topics_parse(STR(DOC(ONE)), &topics, &err));
	a = &topics.list[0];
	assert_true(topic_same_shape(a, 3, 1, 0, &err));
	assert_true(topic_same_shape(a, 3, 2, 2, &err));
	assert_false(topic_same_shape(a, 4, 2, 2, &err));
	assert_string_equal(err.text, "a has 4 partitions, not 3");
	assert_false(topic_same_shape(a, 3, 1, 2, &err));
	assert_string_equal(err.text, "a is kept 1 times, not 2 (TOPICS_REPLICATION)");
	assert_true(topic_same_option(a, "x.y", "1", &err));
	assert_true(topic_same_option(a, "other", "anything", &err));
	assert_false(topic_same_option(a, "x.y", "2", &err));
	assert_string_equal(err.text, "a has x.y=2, not 1");
	topics_fini(&topics);
}

RUN(cmocka_unit_test(reads), cmocka_unit_test(reads_our_own_file),
    cmocka_unit_test(refuses), cmocka_unit_test(compares))
