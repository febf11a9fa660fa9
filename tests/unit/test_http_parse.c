/* test_http_parse.c - the strict parser: heads, framing, chunks, paths, queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http_parse.h"
#include "http_status.h"

#define HOST "Host: a\r\n"

static int parse(const char *text, struct http_head *head)
{
	size_t scanned = 0;
	struct str in = str_from(text);
	int end = http_head_end(in, &scanned);

	if (end <= 0)
		return end;
	return http_parse_request((struct str){text, (size_t)end}, head);
}

static void assert_str(struct str got, const char *want)
{
	if (!str_eqz(got, want))
		fail_msg("got '" STR_FMT "', wanted '%s'", STR_ARG(got), want);
}

static void accepts_plain_requests(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(
		parse("GET /a/b?x=1&y HTTP/1.1\r\nHost: shop:80\r\nX-A:  b c \t\r\n\r\n",
		      &head),
		0);
	assert_int_equal(head.method, HTTP_GET);
	assert_str(head.target, "/a/b?x=1&y");
	assert_str(head.path, "/a/b");
	assert_str(head.query, "x=1&y");
	assert_null(head.authority.at);
	assert_int_equal(head.n_fields, 2);
	assert_str(http_field_get(&head, "x-a"), "b c");
	assert_null(http_field_get(&head, "x-b").at);
	assert_int_equal(head.framing, HTTP_NO_BODY);
	assert_false(head.close);

	assert_int_equal(parse("\r\n\r\nPOST / HTTP/1.1\r\n" HOST
			       "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n",
			       &head),
			 0);
	assert_int_equal(head.framing, HTTP_LENGTH);
	assert_int_equal(head.content_length, 5);
	assert_true(head.expect_continue);
	assert_null(head.query.at);
}

static void knows_when_the_connection_ends(void **state)
{
	static const struct {
		const char *text;
		bool close;
	} cases[] = {
		{"GET / HTTP/1.1\r\n" HOST "Connection: foo, CLOSE\r\n\r\n", true},
		{"GET / HTTP/1.1\r\n" HOST "Connection: foo\r\nConnection: close\r\n\r\n",
		 true},
		{"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", false},
		{"GET / HTTP/1.0\r\n\r\n", true},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", true},
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].text, &head), 0);
		assert_int_equal(head.close, cases[i].close);
	}
}

static void splits_absolute_targets(void **state)
{
	struct http_head head;

	(void)state;
	assert_int_equal(
		parse("GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n", &head), 0);
	assert_str(head.authority, "A:80");
	assert_str(head.path, "/x");
	assert_str(head.query, "y");
	assert_int_equal(parse("GET https://a?y HTTP/1.1\r\n" HOST "\r\n", &head), 0);
	assert_str(head.path, "/");
	assert_str(head.query, "y");
	assert_int_equal(parse("GET http://a HTTP/1.1\r\n" HOST "\r\n", &head), 0);
	assert_str(head.path, "/");
	assert_int_equal(parse("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &head), 0);
	assert_str(head.path, "*");
	assert_int_equal(parse("GET http://b/ HTTP/1.1\r\n" HOST "\r\n", &head), 400);
	assert_int_equal(parse("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", &head),
			 400);
	assert_int_equal(parse("GET http:///x HTTP/1.1\r\n" HOST "\r\n", &head), 400);
}

/* Everything here must be refused with just that status. */
static const struct {
	int status;
	const char *text;
} refused[] = {
	{400, "GET / HTTP/1.1\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
	{400, "get / HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GE(T / HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET  / HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET / a HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET / HTTP/1.1 \r\n" HOST "\r\n"},
	{400, "GET  HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET x HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET * HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /#a HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /%2 HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /%00 HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"},
	{501, "BREW / HTTP/1.1\r\n" HOST "\r\n"},
	{501, "TRACE / HTTP/1.1\r\n" HOST "\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST "X A: b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"},
	{400, "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"},
	{417, "GET / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST "Content-Length: \r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n"},
	{400,
	 "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000000000000000000\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST
	      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{400, "POST / HTTP/1.1\r\n" HOST
	      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n"},
	{501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \xa0"
	      "chunked\r\n\r\n"},
};

static void refuses(void **state)
{
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int status = abs(parse(refused[i].text, &head));

		if (status != refused[i].status)
			fail_msg("%d, not %d, for %s", status, refused[i].status,
				 refused[i].text);
	}
}

/* Refused before the head is complete: such a client may never complete it. */
static void refuses_early(void **state)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{-400, "GET / HTTP/1.1\n"},
		{-400, "GET / HTTP/1.1\r\nHost: a\n"},
		{-400, "GET /\r\n"},
		{-400, "\x16\x03\x01"},
		{-400, "\n"},
		{-400, " GET"},
		{-505, "PRI * HTTP/2.0\r\n"},
		{-505, "GET / HTTP/1.2\r\n"},
		{-400, "GET / HTTP/11\r\n"},
		{0, "GET / HTTP/1.1\r\nHost: a\r\n"},
		{0, "\r\n\r"},
		{0, "G"},
		{0, ""},
	};
	struct http_head head;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(parse(cases[i].text, &head), cases[i].status);
}

static void limits_sizes(void **state)
{
	size_t n = 40000;
	char *text = calloc(n + 1, 1);
	size_t scanned = 0, at;

	(void)state;
	memset(text, 'A', n);
	assert_int_equal(http_head_end((struct str){text, 9000}, &scanned), -414);
	assert_int_equal(http_head_end((struct str){text, 100}, &scanned), 0);

	at = (size_t)snprintf(text, n, "GET / HTTP/1.1\r\n" HOST);
	text[at] = 'X'; /* over the zero */
	scanned = 0;
	assert_int_equal(http_head_end((struct str){text, 9000}, &scanned), -431);

	while (at < n - 20)
		at += (size_t)snprintf(text + at, n - at, "X: %011d\r\n", 1);
	scanned = 0;
	assert_int_equal(http_head_end((struct str){text, at}, &scanned), -431);
	free(text);
}

static void limits_field_count(void **state)
{
	char text[4096];
	size_t at = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);
	struct http_head head;

	(void)state;
	for (int i = 1; i < HTTP_MAX_FIELDS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "X: %d\r\n", i);
	snprintf(text + at, sizeof(text) - at, "\r\n");
	assert_int_equal(parse(text, &head), 0);
	assert_int_equal(head.n_fields, HTTP_MAX_FIELDS);
	snprintf(text + at, sizeof(text) - at, "Y: 1\r\n\r\n");
	assert_int_equal(parse(text, &head), 431);
}

/* Whatever the pieces, the end is found at the same place. */
static void finds_the_end_in_pieces(void **state)
{
	static const char text[] = "\r\nPUT /a HTTP/1.1\r\nHost: b\r\nX: y\r\n\r\nGET";
	int whole = (int)sizeof(text) - 4;

	(void)state;
	for (size_t step = 1; step < sizeof(text); step++) {
		size_t scanned = 0, have = 0;
		int end = 0;

		while (end == 0 && have < sizeof(text) - 1) {
			have = have + step < sizeof(text) - 1 ? have + step
							      : sizeof(text) - 1;
			end = http_head_end((struct str){text, have}, &scanned);
		}
		assert_int_equal(end, whole);
	}
}

static void parses_responses(void **state)
{
	static const struct {
		const char *text;
		bool to_head;
		int result, status;
		enum http_framing framing;
		bool close;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, 0, 200,
		 HTTP_LENGTH, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, 0, 200,
		 HTTP_NO_BODY, 0},
		{"HTTP/1.1 200\r\nTransfer-Encoding: CHUNKED\r\n\r\n", false, 0, 200,
		 HTTP_CHUNKED, 0},
		{"HTTP/1.1 404 \r\n\r\n", false, 0, 404, HTTP_UNTIL_CLOSE, 1},
		{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", false, 0, 200,
		 HTTP_LENGTH, 1},
		{"HTTP/1.1 204 No\r\n\r\n", false, 0, 204, HTTP_NO_BODY, 0},
		{"HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", false, 0, 304,
		 HTTP_NO_BODY, 0},
		{"HTTP/1.1 100 Go\r\n\r\n", false, 0, 100, HTTP_NO_BODY, 0},
		{"HTTP/1.1 99 Go\r\n\r\n", false, -1, 0, 0, 0},
		{"HTTP/1.1 2000 OK\r\n\r\n", false, -1, 0, 0, 0},
		{"HTTP/2.0 200 OK\r\n\r\n", false, -1, 0, 0, 0},
		{"HTTP/1.1  200 OK\r\n\r\n", false, -1, 0, 0, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: "
		 "chunked\r\n\r\n",
		 false, -1, 0, 0, 0},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, -1, 0, 0,
		 0},
		{"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", false, -1, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_head head;

		assert_int_equal(http_parse_response(str_from(cases[i].text),
						     cases[i].to_head, &head),
				 cases[i].result);
		if (cases[i].result != 0)
			continue;
		assert_int_equal(head.status, cases[i].status);
		assert_int_equal(head.framing, cases[i].framing);
		assert_int_equal(head.close, cases[i].close);
	}
}

static void knows_hop_by_hop_fields(void **state)
{
	static const char text[] =
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Mine, host, authorization\r\n"
		"Connection: x-forwarded-for\r\nTE: trailers\r\nX-Mine: 1\r\n"
		"Authorization: b\r\nX-Forwarded-For: c\r\nX-Other: d\r\n\r\n";
	static const bool hop[] = {false, true, true, true, true, false, false, false};
	struct http_head head;

	(void)state;
	assert_int_equal(parse(text, &head), 0);
	assert_int_equal(head.n_fields, ARRAY_LEN(hop));
	for (unsigned i = 0; i < head.n_fields; i++)
		assert_int_equal(http_field_is_hop(&head, &head.fields[i]), hop[i]);
}

/* Runs a body through in pieces of `step` bytes: what came out, or the status. */
static int dechunk(struct str in, size_t step, uint64_t max, char *out, size_t *used)
{
	struct http_chunks chunks;
	size_t have = 0, n = 0;

	*used = 0;
	http_chunks_init(&chunks, max);
	while (chunks.state != HTTP_CHUNK_END) {
		struct str data;
		int64_t took = http_chunks_step(
			&chunks, (struct str){in.at + *used, have - *used}, &data);

		if (took < 0)
			return (int)took;
		*used += (size_t)took;
		if (data.len)
			memcpy(out + n, data.at, data.len);
		n += data.len;
		if (took > 0)
			continue;
		if (have == in.len)
			return 0;
		have = have + step < in.len ? have + step : in.len;
	}
	out[n] = '\0';
	return 1;
}

static void reads_chunks(void **state)
{
	static const char body[] = "5;a=\"b\"\r\nhello\r\n00A ;x\r\n, world!!!\r\n0\r\n"
				   "X-Sum: 1\r\n\r\nGET";
	char out[128];
	size_t used;

	(void)state;
	for (size_t step = 1; step < sizeof(body); step++) {
		assert_int_equal(dechunk(STR(body), step, 15, out, &used), 1);
		assert_string_equal(out, "hello, world!!!");
		assert_int_equal(used, sizeof(body) - 4);
	}
	assert_int_equal(dechunk(STR(body), 1, 14, out, &used), -413);
}

static void refuses_bad_chunks(void **state)
{
	static const struct {
		int status;
		const char *text;
	} cases[] = {
		{-413, "10000000000000005\r\n"},
		{-400, "0x5\r\n"},
		{-400, "+5\r\n"},
		{-400, " 5\r\n"},
		{-400, "\r\n"},
		{-400, ";a\r\n"},
		{-400, "\xff"
		       "5\r\n"},
		{-400, "5\n"},
		{-400, "5;a\nhello"},
		{-400, "5 5\r\n"},
		{-400, "5;\x01\r\n"},
		{-400, "1\r\naX"},
		{-400, "1\r\na\rX"},
		{-400, "0\r\nX\r\n"},
		{-400, "0\r\n\n"},
		{-400, "0\r\nX : y\r\n"},
		{0, "5"},
		{0, "5\r\nhell"},
		{0, "0\r\n\r"},
	};
	char out[64];
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(dechunk(str_from(cases[i].text), 1, 100, out, &used),
				 cases[i].status);
}

static void limits_chunk_overhead(void **state)
{
	struct http_chunks chunks;
	char line[1100];
	struct str data;
	int64_t took = 0;

	(void)state;
	memset(line, 'a', sizeof(line));
	memcpy(line, "5;", 2);
	http_chunks_init(&chunks, UINT64_MAX);
	assert_int_equal(http_chunks_step(&chunks, (struct str){line, 1100}, &data),
			 -400);
	http_chunks_init(&chunks, UINT64_MAX);
	for (int i = 0; i < 100000 && took >= 0; i++) {
		took = http_chunks_step(&chunks, STR("1\r\n"), &data);
		if (took >= 0) {
			assert_int_equal(http_chunks_step(&chunks, STR("a"), &data), 1);
			assert_int_equal(http_chunks_step(&chunks, STR("\r\n"), &data),
					 2);
		}
	}
	assert_int_equal(took, -413);

	http_chunks_init(&chunks, 0);
	http_chunks_step(&chunks, STR("0\r\n"), &data);
	took = 1;
	for (int i = 0; i < 3000 && took > 0; i++)
		took = http_chunks_step(&chunks, STR("A: b\r\n"), &data);
	assert_int_equal(took, -431);
}

static void normalises_paths(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"/a/b/", "/a/b/"},
		{"//a///b", "/a/b"},
		{"/a/./b/../c", "/a/c"},
		{"/a/.", "/a/"},
		{"/a/..", "/"},
		{"/a/b/..", "/a/"},
		{"/%61%2e%2e/x", "/a../x"},
		{"/a/%2e%2e/x", "/x"},
		{"/%252e%252e/x", "/%2e%2e/x"},
		{"/caf%C3%A9", "/caf\xc3\xa9"},
		{"/...", "/..."},
		{"/..", NULL},
		{"/a/../../b", NULL},
		{"/%2e%2e%2f", NULL},
		{"/a%2Fb", NULL},
		{"/a%5cb", NULL},
		{"/a\\b", NULL},
		{"/a%00", NULL},
		{"/a%0a", NULL},
		{"/a%7f", NULL},
		{"/%c3", NULL},
		{"/%C0%AF", NULL},
		{"/%g0", NULL},
		{"/%2", NULL},
		{"a", NULL},
		{"*", NULL},
		{"", NULL},
	};
	char out[64];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str in = str_from(cases[i].in);
		bool ok = http_path_normalise(in, out, in.len + 1, &len);

		if (ok != (cases[i].out != NULL))
			fail_msg("%s: %d", cases[i].in, ok);
		if (ok)
			assert_string_equal(out, cases[i].out);
	}
}

static void encodes_paths(void **state)
{
	char out[32];

	(void)state;
	assert_int_equal(http_path_encode(STR("/a b%\xc3\xa9:@?"), out, sizeof(out)), 20);
	assert_string_equal(out, "/a%20b%25%C3%A9:@%3F");
	assert_int_equal(http_path_encode(STR("/a b"), out, 6), 0);
}

static void reads_queries(void **state)
{
	struct str query = STR("a=1&b=x%20y+z&&c&d=%zz&a=2&%61b=3&e=%ff&f=");
	char out[8];
	size_t len;
	bool malformed;

	(void)state;
	assert_true(http_query_get(query, "a", out, sizeof(out), &len, NULL));
	assert_string_equal(out, "1");
	assert_true(http_query_get(query, "b", out, sizeof(out), &len, NULL));
	assert_string_equal(out, "x y z");
	assert_true(http_query_get(query, "c", out, sizeof(out), &len, NULL));
	assert_int_equal(len, 0);
	assert_true(http_query_get(query, "ab", out, sizeof(out), &len, NULL));
	assert_true(http_query_get(query, "f", out, sizeof(out), &len, NULL));
	assert_false(http_query_get(query, "d", out, sizeof(out), &len, &malformed));
	assert_true(malformed);
	assert_false(http_query_get(query, "e", out, sizeof(out), &len, &malformed));
	assert_true(malformed);
	assert_false(http_query_get(query, "b", out, 5, &len, &malformed));
	assert_true(malformed);
	assert_false(http_query_get(query, "none", out, sizeof(out), &len, &malformed));
	assert_false(malformed);
	assert_false(http_query_get(STR_NONE, "a", out, sizeof(out), &len, NULL));
}

static void names_statuses(void **state)
{
	(void)state;
	assert_string_equal(http_reason(429), "Too Many Requests");
	assert_string_equal(http_reason(299), "Unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_plain_requests),
		cmocka_unit_test(knows_when_the_connection_ends),
		cmocka_unit_test(splits_absolute_targets),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_early),
		cmocka_unit_test(limits_sizes),
		cmocka_unit_test(limits_field_count),
		cmocka_unit_test(finds_the_end_in_pieces),
		cmocka_unit_test(parses_responses),
		cmocka_unit_test(knows_hop_by_hop_fields),
		cmocka_unit_test(reads_chunks),
		cmocka_unit_test(refuses_bad_chunks),
		cmocka_unit_test(limits_chunk_overhead),
		cmocka_unit_test(normalises_paths),
		cmocka_unit_test(encodes_paths),
		cmocka_unit_test(reads_queries),
		cmocka_unit_test(names_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
