/* http_text.c - text written into reserved space of an evbuffer. */
#include "http_text.h"

#include <stdlib.h>

/* Room for a usual head; with libevent's own bytes a round 1 KB. */
#define SPACE_BYTES 960

void http_text_end(struct http_text *w)
{
	if (!w->space.iov_base)
		return;
	w->space.iov_len = w->used;
	if (evbuffer_commit_space(w->out, &w->space, 1) != 0)
		abort();
	w->space = (struct evbuffer_iovec){0};
	w->used = 0;
}

static void more_space(struct http_text *w, size_t len)
{
	size_t want = len > SPACE_BYTES ? len : SPACE_BYTES;

	http_text_end(w);
	if (evbuffer_reserve_space(w->out, (ev_ssize_t)want, &w->space, 1) != 1)
		abort();
}

void http_text_add(struct http_text *w, struct str text)
{
	if (text.len > w->space.iov_len - w->used)
		more_space(w, text.len);
	if (text.len > 0)
		memcpy((char *)w->space.iov_base + w->used, text.at, text.len);
	w->used += text.len;
}

void http_text_number(struct http_text *w, uint64_t n)
{
	char text[20], *at = text + sizeof(text);

	do {
		*--at = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	http_text_add(w, (struct str){at, (size_t)(text + sizeof(text) - at)});
}

void http_text_field(struct http_text *w, struct str name, struct str value)
{
	http_text_add(w, name);
	http_text_add(w, STR(": "));
	http_text_add(w, value);
	http_text_add(w, STR("\r\n"));
}

void http_text_length(struct http_text *w, uint64_t n)
{
	http_text_add(w, STR("Content-Length: "));
	http_text_number(w, n);
	http_text_add(w, STR("\r\n"));
}
