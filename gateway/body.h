/*
 * body.h - move a message's body from one connection to the other.
 *
 * The framing is never passed through: what arrives is decoded and checked, and
 * written again with our own Content-Length or our own chunks.
 */
#ifndef GATEWAY_BODY_H
#define GATEWAY_BODY_H

#include <event2/buffer.h>

#include "http_parse.h"

struct body {
	enum http_framing framing; /* of what arrives */
	uint64_t left;             /* HTTP_LENGTH */
	struct http_chunks chunks;
	bool out_chunked; /* how it leaves */
	bool done;        /* its end was seen and written */
};

/* `max` bounds a chunked body. */
void body_init(struct body *body, const struct http_head *head, uint64_t max,
	       bool out_chunked);
/* Moves what is there; `moved` counts data bytes. 0, or the status to refuse
 * with: 400 413 431. */
int body_move(struct body *body, struct evbuffer *in, struct evbuffer *out,
	      uint64_t *moved);
/* Drops a body that is there whole, unless its end is not plain to see: then false, and
 * nothing is done. */
bool body_skip(struct body *body, struct evbuffer *in);
/* Ends a body early. false: its length was announced. */
bool body_cut(struct body *body, struct evbuffer *out);
/* The connection ended: the end of an HTTP_UNTIL_CLOSE body. */
void body_close(struct body *body, struct evbuffer *out);

#endif
