/* test_gateway_cache.c - what is kept, for how long, and what a write does to it. */
/* link: gateway/cache.c gateway/generations.c gateway/cache_rules.c */
#include "check.h"

#include <stdio.h>

#include "cache.h"
#include "cache_rules.h"

#define PATTERN "/p/:id"
#define LIFE_US 250000

static struct generations generations;

static struct cache_answer answer_of(const char *key, const char *body, uint64_t begun_us)
{
	struct cache_answer answer = {
		.key = str_from(key),
		.etag = STR("\"1\""),
		.fields = STR("ETag: \"1\"\r\nX: y\r\n"),
		.fields_304 = STR("ETag: \"1\"\r\n"),
		.body = str_from(body),
		.begun_us = begun_us,
		.lifetime_us = LIFE_US,
	};

	generations_take(&generations, str_from(key), STR(PATTERN), &answer.tag);
	return answer;
}

static bool put(struct cache *cache, const char *key, const char *body, uint64_t begun_us)
{
	struct cache_answer answer = answer_of(key, body, begun_us);

	return cache_put(cache, &answer) != NULL;
}

static enum cache_found find(struct cache *cache, const char *key, uint64_t now_us)
{
	struct cache_entry *entry;

	return cache_find(cache, str_from(key), now_us, UINT64_MAX, &entry);
}

static void assert_body(struct cache *cache, const char *key, uint64_t now_us,
			const char *body)
{
	struct cache_entry *entry = NULL;

	assert_int_equal(cache_find(cache, str_from(key), now_us, UINT64_MAX, &entry),
			 CACHE_HIT);
	assert_true(str_eqz(entry->answer.body, body));
}

static void keeps_by_key(void **state)
{
	struct cache *cache = cache_new(&generations, 100000);
	struct cache_entry *entry = NULL;

	(void)state;
	assert_true(put(cache, "/p/1", "one", 1000));
	assert_true(put(cache, "/p/1?a=b", "one with a query", 1000));
	assert_true(put(cache, "/p/2", "", 1000));
	assert_body(cache, "/p/1", 1000, "one");
	assert_body(cache, "/p/1?a=b", 1000, "one with a query");
	assert_body(cache, "/p/2", 1000, "");
	assert_int_equal(find(cache, "/p/1?", 1000), CACHE_NONE);
	assert_int_equal(find(cache, "/p/", 1000), CACHE_NONE);
	assert_int_equal(cache_find(cache, STR("/p/1"), 1000, 0, &entry), CACHE_HIT);
	assert_true(str_eqz(entry->answer.fields, "ETag: \"1\"\r\nX: y\r\n"));
	assert_true(str_eqz(entry->answer.fields_304, "ETag: \"1\"\r\n"));
	assert_true(str_eqz(entry->answer.etag, "\"1\""));
	cache_free(cache);
}

static void grows_old(void **state)
{
	struct cache *cache = cache_new(&generations, 100000);
	struct cache_entry *entry = NULL;

	(void)state;
	put(cache, "/p/1", "one", 1000);
	assert_int_equal(find(cache, "/p/1", 1000 + LIFE_US - 1), CACHE_HIT);
	assert_int_equal(find(cache, "/p/1", 1000 + LIFE_US), CACHE_OLD);
	assert_int_equal(cache_find(cache, STR("/p/1"), 1100, 100, &entry), CACHE_HIT);
	assert_int_equal(cache_find(cache, STR("/p/1"), 1101, 100, &entry), CACHE_OLD);
	/* The one whose fetch began later stays, whichever came first. */
	assert_true(put(cache, "/p/1", "two", 2000));
	assert_false(put(cache, "/p/1", "one", 1999));
	assert_body(cache, "/p/1", 2000, "two");
	assert_int_equal(cache->n, 1);
	cache_free(cache);
}

static void forgets_what_was_written(void **state)
{
	struct cache *cache = cache_new(&generations, 100000);
	struct cache_answer late;

	(void)state;
	put(cache, "/p/1", "one", 1000);
	put(cache, "/p/2", "two", 1000);
	generations_wrote(&generations, STR("/p/1"));
	assert_int_equal(find(cache, "/p/1", 1000), CACHE_WRITTEN);
	assert_int_equal(find(cache, "/p/2", 1000), CACHE_HIT);
	/* What hangs below it is part of it. */
	put(cache, "/p/1", "one", 1001);
	generations_wrote(&generations, STR("/p/1/stock"));
	assert_int_equal(find(cache, "/p/1", 1001), CACHE_WRITTEN);
	/* A write while it was being fetched. */
	late = answer_of("/p/1", "before the write", 1002);
	generations_wrote(&generations, STR("/p/1"));
	assert_non_null(cache_put(cache, &late));
	assert_int_equal(find(cache, "/p/1", 1002), CACHE_WRITTEN);
	put(cache, "/p/1", "after it", 1003);
	assert_body(cache, "/p/1", 1003, "after it");
	/* All of a route. */
	generations_move(&generations, STR(PATTERN));
	assert_int_equal(find(cache, "/p/1", 1003), CACHE_WRITTEN);
	assert_int_equal(find(cache, "/p/2", 1003), CACHE_WRITTEN);
	cache_free(cache);
}

static void key_no(char *dst, size_t size, unsigned n)
{
	snprintf(dst, size, "/p/%08u", n);
}

static void the_last_used_stay(void **state)
{
	struct cache *cache;
	char key[32];
	size_t each;

	(void)state;
	cache = cache_new(&generations, 100000);
	put(cache, "/p/00000000", "body", 1000);
	each = cache->bytes;
	cache_free(cache);
	cache = cache_new(&generations, 10 * each);
	for (unsigned i = 0; i < 10; i++) {
		key_no(key, sizeof(key), i);
		assert_true(put(cache, key, "body", 1000));
	}
	assert_int_equal(find(cache, "/p/00000000", 1000), CACHE_HIT);
	assert_true(put(cache, "/p/00000010", "body", 1000));
	assert_int_equal(find(cache, "/p/00000000", 1000), CACHE_HIT);
	assert_int_equal(find(cache, "/p/00000001", 1000), CACHE_NONE);
	assert_int_equal(cache->n, 10);
	assert_int_equal(cache->evicted, 1);
	assert_int_equal(cache->bytes, 10 * each);
	cache_free(cache);
}

static void stays_within_its_bounds(void **state)
{
	struct cache *cache = cache_new(&generations, 50000);
	char key[32], large[60001];

	(void)state;
	memset(large, 'x', sizeof(large));
	for (unsigned i = 0; i < 20000; i++) {
		key_no(key, sizeof(key), i);
		large[i % 3000] = '\0';
		assert_true(put(cache, key, large, i));
		large[i % 3000] = 'x';
		assert_true(cache->bytes <= 50000);
		assert_int_equal(find(cache, key, i), CACHE_HIT);
	}
	large[60000] = '\0';
	assert_false(put(cache, key, large, 30000));
	assert_int_equal(find(cache, key, 30000), CACHE_NONE);
	cache_free(cache);
	cache = cache_new(&generations, 1 << 30);
	for (unsigned i = 0; i < CACHE_MAX_ENTRIES + 100; i++) {
		key_no(key, sizeof(key), i);
		put(cache, key, "", i);
	}
	assert_true(cache->n <= CACHE_MAX_ENTRIES);
	assert_int_equal(cache->n + cache->evicted, CACHE_MAX_ENTRIES + 100);
	cache_free(cache);
}

/* ---- rules ---- */

static void set_field(struct http_head *head, const char *name, const char *value)
{
	head->fields[head->n_fields++] =
		(struct http_field){str_from(name), str_from(value)};
}

static struct cache_wish wish_of(const char *name, const char *value)
{
	struct http_head head = {.method = HTTP_GET};

	if (name)
		set_field(&head, name, value);
	return cache_wish(&head);
}

static void fetches_say_nothing_of_who_asks(void **state)
{
	(void)state;
	assert_true(cache_fetch_drops(STR("authorization")));
	assert_true(cache_fetch_drops(STR("Cookie")));
	assert_true(cache_fetch_drops(STR("If-None-Match")));
	assert_false(cache_fetch_drops(STR("Cache-Control")));
	assert_false(cache_fetch_drops(STR("Accept")));
}

static void what_requests_ask(void **state)
{
	struct http_head post = {.method = HTTP_POST};

	(void)state;
	assert_false(wish_of(NULL, NULL).passes_by || wish_of(NULL, NULL).exact);
	assert_true(wish_of("cache-control", "No-Cache").exact);
	assert_true(wish_of("Cache-Control", "max-age=0").exact);
	assert_true(wish_of("Cache-Control", "foo, max-age = 1,no-cache").exact);
	assert_true(wish_of("Cache-Control", "max-age=nonsense").exact);
	assert_true(wish_of("Cache-Control", "max-age=00").exact);
	assert_false(wish_of("Cache-Control", "a=\"x, no-cache\"").exact);
	assert_false(wish_of("Cache-Control", "max-age=1").exact);
	assert_int_equal(wish_of("Cache-Control", "max-age=1").max_age_us, 1000000);
	assert_true(wish_of("Cache-Control", "no-store").passes_by);
	assert_false(wish_of("If-None-Match", "\"1\"").passes_by);
	assert_true(wish_of("Range", "bytes=0-1").passes_by);
	assert_true(wish_of("If-Match", "\"1\"").passes_by);
	assert_true(cache_wish(&post).passes_by);
}

struct storing {
	const char *name, *value;
	uint64_t ms; /* 0: not stored */
};

static void what_answers_allow(void **state)
{
	static const struct storing cases[] = {
		{"X-Other", "1", 250},
		{"Cache-Control", "no-cache", 250},
		{"Cache-Control", "public, max-age=60", 250},
		{"Cache-Control", "max-age=0", 0},
		{"Cache-Control", "s-maxage=0", 0},
		{"Cache-Control", "private", 0},
		{"Cache-Control", "Private=\"X-A, X-B\"", 0},
		{"cache-control", "max-age=60, no-store", 0},
		{"Cache-Control", "no-cache=\"X-A, no-store\"", 250},
		{"Vary", "Accept", 0},
		{"Vary", "*", 0},
		{"Set-Cookie", "a=b", 0},
		{"Age", "0", 0},
		{"Warning", "110 - \"stale\"", 0},
		{"Expires", "0", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head = {.status = 200, .framing = HTTP_LENGTH};
		uint64_t us = LIFE_US;
		bool stored;

		set_field(&head, "Cache-Control", "no-cache");
		set_field(&head, "etag", "W/\"a\"");
		set_field(&head, cases[i].name, cases[i].value);
		stored = cache_may_store(&head, &us);
		if (stored != (cases[i].ms > 0) || (stored && us != cases[i].ms * 1000))
			fail_msg("%s: %s", cases[i].name, cases[i].value);
	}
}

static bool stores(int status, enum http_framing framing, uint64_t length,
		   const char *etag)
{
	struct http_head head = {
		.status = status, .framing = framing, .content_length = length};
	uint64_t us = LIFE_US;

	if (etag)
		set_field(&head, "ETag", etag);
	return cache_may_store(&head, &us);
}

static void only_whole_small_tagged_answers(void **state)
{
	(void)state;
	assert_true(stores(200, HTTP_LENGTH, CACHE_BODY_MAX, "\"a\""));
	assert_false(stores(200, HTTP_LENGTH, CACHE_BODY_MAX + 1, "\"a\""));
	assert_false(stores(200, HTTP_CHUNKED, 0, "\"a\""));
	assert_false(stores(200, HTTP_UNTIL_CLOSE, 0, "\"a\""));
	assert_false(stores(206, HTTP_LENGTH, 1, "\"a\""));
	assert_false(stores(404, HTTP_LENGTH, 1, "\"a\""));
	assert_false(stores(200, HTTP_LENGTH, 1, NULL));
	assert_false(stores(200, HTTP_LENGTH, 1, "a"));
	assert_false(stores(200, HTTP_LENGTH, 1, "\""));
	assert_false(stores(200, HTTP_LENGTH, 1, "\"a\"b\""));
}

RUN(cmocka_unit_test(keeps_by_key), cmocka_unit_test(grows_old),
    cmocka_unit_test(forgets_what_was_written), cmocka_unit_test(the_last_used_stay),
    cmocka_unit_test(stays_within_its_bounds),
    cmocka_unit_test(fetches_say_nothing_of_who_asks),
    cmocka_unit_test(what_requests_ask), cmocka_unit_test(what_answers_allow),
    cmocka_unit_test(only_whole_small_tagged_answers))
