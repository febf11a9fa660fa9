/* link: gateway/body.c */
/* test_gateway_body.c - bodies are decoded and framed again, whatever the pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "body.h"

struct run {
	int status;
	bool done;
	uint64_t moved;
	char out[256];
	char left[64];
};

/* Feeds `text` in pieces of `step` bytes. */
static struct run feed(struct http_head head, const char *text, bool out_chunked,
		       size_t step)
{
	struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
	struct run run = {0};
	struct body body;
	size_t len = strlen(text);

	body_init(&body, &head, 100, out_chunked);
	for (size_t at = 0; at < len && !run.status; at += step) {
		uint64_t moved;

		evbuffer_add(in, text + at, at + step > len ? len - at : step);
		run.status = body_move(&body, in, out, &moved);
		run.moved += moved;
	}
	run.done = body.done;
	body_close(&body, out);
	evbuffer_copyout(out, run.out, sizeof(run.out) - 1);
	evbuffer_copyout(in, run.left, sizeof(run.left) - 1);
	evbuffer_free(in);
	evbuffer_free(out);
	return run;
}

static void by_length(void **state)
{
	struct http_head head = {.framing = HTTP_LENGTH, .content_length = 5};

	(void)state;
	for (size_t step = 1; step < 9; step++) {
		struct run run = feed(head, "abcdeNEXT", false, step);

		assert_true(run.done && run.moved == 5 && run.status == 0);
		assert_string_equal(run.out, "abcde");
		assert_int_equal(run.left[0] ? run.left[0] : 'N', 'N');
	}
	assert_false(feed(head, "abcd", false, 2).done);
}

static void chunks(void **state)
{
	struct http_head head = {.framing = HTTP_CHUNKED};
	const char *text = "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\nNEXT";

	(void)state;
	for (size_t step = 1; step < 40; step++) {
		struct run run = feed(head, text, false, step);

		assert_true(run.done && run.moved == 5 && run.status == 0);
		assert_string_equal(run.out, "abcde");
	}
	assert_string_equal(feed(head, text, true, 100).out, "5\r\nabcde\r\n0\r\n\r\n");
	assert_string_equal(feed(head, text, true, 100).left, "NEXT");
}

static void bad_chunks(void **state)
{
	struct http_head head = {.framing = HTTP_CHUNKED};

	(void)state;
	assert_int_equal(feed(head, "3\r\nabcX", false, 100).status, 400);
	assert_int_equal(feed(head, "zz\r\n", false, 1).status, 400);
	assert_int_equal(feed(head, "65\r\n", false, 1).status, 413);
	assert_int_equal(feed(head, "ffffffffffffffffff\r\n", false, 100).status, 413);
}

static void until_close(void **state)
{
	struct http_head head = {.framing = HTTP_UNTIL_CLOSE};

	(void)state;
	assert_string_equal(feed(head, "abc", true, 2).out,
			    "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
	assert_string_equal(feed(head, "abc", false, 2).out, "abc");
}

static void nothing(void **state)
{
	struct http_head none = {.framing = HTTP_NO_BODY};
	struct http_head zero = {.framing = HTTP_LENGTH};

	(void)state;
	assert_true(feed(none, "NEXT", false, 4).done);
	assert_string_equal(feed(none, "NEXT", true, 4).out, "");
	assert_string_equal(feed(zero, "NEXT", false, 4).left, "NEXT");
}

static bool skips(enum http_framing framing, uint64_t length, const char *text,
		  size_t left)
{
	struct http_head head = {.framing = framing, .content_length = length};
	struct evbuffer *in = evbuffer_new();
	struct body body;
	bool skipped;

	body_init(&body, &head, 100, false);
	evbuffer_add(in, text, strlen(text));
	skipped = body_skip(&body, in);
	assert_true(skipped == body.done);
	assert_int_equal(evbuffer_get_length(in), left);
	evbuffer_free(in);
	return skipped;
}

static void skipping(void **state)
{
	(void)state;
	assert_true(skips(HTTP_LENGTH, 3, "abcNEXT", 4));
	assert_true(skips(HTTP_LENGTH, 3, "abc", 0));
	assert_true(skips(HTTP_NO_BODY, 0, "NEXT", 4));
	assert_false(skips(HTTP_LENGTH, 3, "ab", 2));
	assert_false(skips(HTTP_CHUNKED, 0, "0\r\n\r\n", 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_length),  cmocka_unit_test(chunks),
		cmocka_unit_test(bad_chunks), cmocka_unit_test(until_close),
		cmocka_unit_test(nothing),    cmocka_unit_test(skipping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
