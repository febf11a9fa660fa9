/*
 * fuzz_http_parse.c - everything that http_parse.h and http_lists.h read from a socket.
 *
 * The first byte chooses the part; the rest is its input.  Besides not crashing:
 * slices stay inside the input, the head's end does not depend on how the bytes
 * arrive, no accepted request has two framings, chunks give the same data in any
 * pieces, and a normalised path stays what it is when sent on and read again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "http_lists.h"
#include "http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_inside(struct str in, struct str s)
{
	check(s.len == 0 || (s.at >= in.at && s.at + s.len <= in.at + in.len));
}

static int head_end_by_step(struct str in, size_t step)
{
	size_t scanned = 0, have = 0;
	int end = 0;

	while (end == 0 && have < in.len) {
		have = have + step < in.len ? have + step : in.len;
		end = http_head_end((struct str){in.at, have}, &scanned);
	}
	return end;
}

static unsigned count_fields(const struct http_head *head, struct str name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < head->n_fields; i++)
		n += str_ieq(head->fields[i].name, name);
	return n;
}

static void check_head(struct str in, const struct http_head *head)
{
	unsigned lengths = count_fields(head, STR("content-length"));
	unsigned encodings = count_fields(head, STR("transfer-encoding"));

	check(lengths + encodings <= 1);
	check(head->framing != HTTP_CHUNKED || encodings == 1);
	check(head->framing != HTTP_LENGTH || lengths == 1);
	for (unsigned i = 0; i < head->n_fields; i++) {
		check_inside(in, head->fields[i].name);
		check_inside(in, head->fields[i].value);
		check(http_is_token(head->fields[i].name));
		check(http_is_value(head->fields[i].value));
		(void)http_field_is_hop(head, &head->fields[i]);
	}
}

static void fuzz_path(struct str in)
{
	size_t len, len2, room = 3 * in.len + 2;
	char *once = malloc(in.len + 1), *sent = malloc(room), *twice = malloc(room);

	if (http_path_normalise(in, once, in.len + 1, &len)) {
		size_t n = http_path_encode((struct str){once, len}, sent, room);

		check(len > 0 && len <= in.len && once[0] == '/' && n >= len);
		check(http_path_normalise((struct str){sent, n}, twice, room, &len2));
		check(str_eq((struct str){once, len}, (struct str){twice, len2}));
	}
	free(once);
	free(sent);
	free(twice);
}

static void fuzz_request(struct str in)
{
	static struct http_head head;
	int end = head_end_by_step(in, in.len ? in.len : 1);
	struct str text = {in.at, end > 0 ? (size_t)end : 0};

	/* A refusal may come sooner or later, with another reason. */
	for (size_t step = 1; step <= 7; step += 3) {
		int other = head_end_by_step(in, step);

		check(other == end || (other < 0 && end < 0));
	}
	if (end <= 0 || http_parse_request(text, &head) != 0)
		return;
	check_head(text, &head);
	check(head.minor == 0 || count_fields(&head, STR("host")) == 1);
	check_inside(text, head.target);
	check_inside(text, head.query);
	fuzz_path(head.path);
}

static void fuzz_response(struct str in)
{
	static struct http_head head;

	if (http_parse_response(in, in.len % 2, &head) != 0)
		return;
	check(head.status >= 100 && head.status <= 599);
	check_head(in, &head);
}

/* Result as http_chunks_step(), 1 for the end; `hash` of the data. */
static int64_t read_chunks(struct str in, size_t step, uint64_t *hash)
{
	struct http_chunks chunks;
	size_t used = 0, have = 0;

	*hash = 0;
	http_chunks_init(&chunks, 5000);
	while (chunks.state != HTTP_CHUNK_END) {
		struct str data;
		int64_t n = http_chunks_step(
			&chunks, (struct str){in.at + used, have - used}, &data);

		if (n < 0)
			return n;
		for (size_t i = 0; i < data.len; i++)
			*hash = *hash * 31 + (uint8_t)data.at[i] + 1;
		used += (size_t)n;
		check(used <= have && chunks.total <= 5000);
		if (n == 0 && have == in.len)
			return 0;
		if (n == 0)
			have = have + step < in.len ? have + step : in.len;
	}
	return 1;
}

static void fuzz_chunks(struct str in)
{
	uint64_t whole, hash;
	int64_t result = read_chunks(in, in.len + 1, &whole);

	for (size_t step = 1; step <= 7; step += 3) {
		check(read_chunks(in, step, &hash) == result);
		check(hash == whole);
	}
}

static void fuzz_query(struct str in)
{
	char value[64];
	size_t len;

	if (http_query_get(in, "a", value, sizeof(value), &len, NULL))
		check(len < sizeof(value) && value[len] == '\0' &&
		      str_utf8_ok((struct str){value, len}));
}

static void fuzz_lists(struct str in)
{
	struct http_directive one;
	struct str rest = in;

	while (http_directive_next(&rest, &one)) {
		check_inside(in, one.name);
		check_inside(in, one.value);
		check_inside(in, rest);
	}
	check(rest.len == 0);
	(void)http_etag_listed(in, STR("\"a\""), true);
	if (http_is_etag(in))
		check(http_etag_listed(in, in, true));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = {(const char *)data + 1, size - 1};
	char *copy;

	if (size == 0)
		return 0;
	copy = malloc(in.len ? in.len : 1); /* exact, so that overreads are seen */
	memcpy(copy, in.at, in.len);
	in.at = copy;
	switch (data[0] % 6) {
	case 0: fuzz_request(in); break;
	case 1: fuzz_response(in); break;
	case 2: fuzz_chunks(in); break;
	case 3: fuzz_path(in); break;
	case 4: fuzz_lists(in); break;
	default: fuzz_query(in); break;
	}
	free(copy);
	return 0;
}
