/* http_chunks.c - reads a chunked body piece by piece (RFC 9112 section 7.1). */
#include "http_chars.h"
#include "http_parse.h"

#define MAX_SIZE_LINE   1024 /* with its extensions */
#define MAX_TRAILER     8192
#define MAX_SIZE_DIGITS 15
#define TINY_CHUNK      16
/* So many tiny chunks in a row are an attack on our time, not a body. */
#define MAX_TINY_IN_A_ROW 16384

void http_chunks_init(struct http_chunks *chunks, uint64_t max_total)
{
	memset(chunks, 0, sizeof(*chunks));
	chunks->state = HTTP_CHUNK_SIZE;
	chunks->max_total = max_total;
}

/* The line at the start of `in` without its CRLF. Returns its length with CRLF,
 * 0 when it is not complete, `status` when it is longer than `max`. */
static int64_t take_line(struct str in, size_t max, int64_t status, struct str *line)
{
	size_t look = in.len < max ? in.len : max;
	const char *lf = look ? memchr(in.at, '\n', look) : NULL;

	if (!lf)
		return in.len < max ? 0 : status;
	if (lf == in.at || lf[-1] != '\r')
		return -400;
	*line = (struct str){in.at, (size_t)(lf - in.at) - 1};
	return lf - in.at + 1;
}

/* Nothing, or blanks and ";" and printable text. Who sent it and what it says
 * does not matter: extensions are dropped. */
static bool extension_ok(struct str rest)
{
	struct str text = str_trim(rest);

	return http_is_value(rest) &&
	       (rest.len == 0 || (text.len > 0 && text.at[0] == ';'));
}

/* Hex digits at the start of the line; the rest of it in `rest`. */
static int parse_size(struct str line, uint64_t *size, struct str *rest)
{
	size_t n = 0;

	*size = 0;
	for (; n < line.len && http_hex_digit(line.at[n]) >= 0; n++) {
		if (n == MAX_SIZE_DIGITS)
			return -413;
		*size = *size << 4 | (unsigned)http_hex_digit(line.at[n]);
	}
	*rest = (struct str){line.at + n, line.len - n};
	return n > 0 && extension_ok(*rest) ? 0 : -400;
}

static int64_t step_size(struct http_chunks *chunks, struct str in)
{
	struct str line, rest;
	uint64_t size;
	int64_t used = take_line(in, MAX_SIZE_LINE, -400, &line);
	int status;

	if (used <= 0)
		return used;
	status = parse_size(line, &size, &rest);
	if (status < 0)
		return status;
	if (size > chunks->max_total - chunks->total)
		return -413;
	chunks->tiny = size < TINY_CHUNK ? chunks->tiny + 1 : 0;
	if (chunks->tiny > MAX_TINY_IN_A_ROW)
		return -413;
	chunks->left = size;
	chunks->total += size;
	chunks->state = size > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
	return used;
}

static int64_t step_data(struct http_chunks *chunks, struct str in, struct str *data)
{
	size_t n = in.len < chunks->left ? in.len : (size_t)chunks->left;

	*data = (struct str){in.at, n};
	chunks->left -= n;
	if (chunks->left == 0)
		chunks->state = HTTP_CHUNK_CRLF;
	return (int64_t)n;
}

static int64_t step_crlf(struct http_chunks *chunks, struct str in)
{
	if (in.len > 0 && in.at[0] != '\r')
		return -400;
	if (in.len < 2)
		return 0;
	if (in.at[1] != '\n')
		return -400;
	chunks->state = HTTP_CHUNK_SIZE;
	return 2;
}

/* Trailer fields must be well formed, and are not looked at further. */
static int64_t step_trailer(struct http_chunks *chunks, struct str in)
{
	struct str line;
	int64_t used = take_line(in, MAX_TRAILER - chunks->trailer, -431, &line);
	const char *colon;

	if (used <= 0)
		return used;
	chunks->trailer += (size_t)used;
	if (line.len == 0) {
		chunks->state = HTTP_CHUNK_END;
		return used;
	}
	colon = memchr(line.at, ':', line.len);
	if (!colon || !http_is_token((struct str){line.at, (size_t)(colon - line.at)}) ||
	    !http_is_value(line))
		return -400;
	return used;
}

int64_t http_chunks_step(struct http_chunks *chunks, struct str in, struct str *data)
{
	*data = (struct str){in.at, 0};
	if (in.len == 0)
		return 0;
	switch (chunks->state) {
	case HTTP_CHUNK_SIZE: return step_size(chunks, in);
	case HTTP_CHUNK_DATA: return step_data(chunks, in, data);
	case HTTP_CHUNK_CRLF: return step_crlf(chunks, in);
	case HTTP_CHUNK_TRAILER: return step_trailer(chunks, in);
	case HTTP_CHUNK_END: break;
	}
	return 0;
}
