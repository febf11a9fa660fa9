/*
 * http_text.h - write the text of a message straight into a buffer's memory.
 *
 * An addition to an evbuffer for each piece of a head, or worse a printf, costs
 * several times what copying the bytes does.
 */
#ifndef COMMON_HTTP_TEXT_H
#define COMMON_HTTP_TEXT_H

#include <event2/buffer.h>
#include <stdint.h>

#include "str.h"

/* Begins as {.out = buffer}. Nothing else may touch the buffer until the end. */
struct http_text {
	struct evbuffer *out;
	struct evbuffer_iovec space;
	size_t used;
};

void http_text_add(struct http_text *w, struct str text);
void http_text_number(struct http_text *w, uint64_t n);
/* "name: value" and the end of the line. */
void http_text_field(struct http_text *w, struct str name, struct str value);
void http_text_length(struct http_text *w, uint64_t n); /* Content-Length */
void http_text_end(struct http_text *w); /* what was written is in the buffer now */

#endif
