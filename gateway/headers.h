/* headers.h - the heads that the gateway writes: which fields pass, which are
 * dropped, which are its own. */
#ifndef GATEWAY_HEADERS_H
#define GATEWAY_HEADERS_H

#include <event2/buffer.h>

#include "exchange.h"
#include "http_text.h"

/* The request as the service gets it. `authority`: for a request without Host. */
void headers_request(const struct exchange *x, const char *authority,
		     struct evbuffer *out);
/* Whom the client asked; may be empty. */
struct str headers_host(const struct exchange *x);
/* The final answer as the client gets it; x->close and x->answer are set. */
void headers_answer(const struct exchange *x, struct evbuffer *out);
/* Fields that every answer carries, also our own: ids, CORS, Connection. */
void headers_common(const struct exchange *x, struct http_text *w);
/* May this field of a service's answer pass to the client? */
bool headers_answer_may_pass(const struct http_head *head,
			     const struct http_field *field);

/* May this field of a client's request pass to a service? Pure. */
bool headers_may_pass(const struct http_head *head, const struct http_field *field);
/* Is `origin` in the comma-separated list? Pure. */
bool headers_origin_ok(const char *origins, struct str origin);

#endif
