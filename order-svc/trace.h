/* trace.h - what ties a request to its log lines and spans in other services. */
#ifndef ORDER_SVC_TRACE_H
#define ORDER_SVC_TRACE_H

#include "http.h"
#include "http_client.h"

#define TRACE_REQUEST_MAX 64
#define TRACE_PARENT_LEN  55 /* version-traceid-parentid-flags */

struct trace {
	char request_id[TRACE_REQUEST_MAX + 1];
	char traceparent[TRACE_PARENT_LEN + 1]; /* "": none, or not well-formed */
};

void trace_init(struct trace *trace, struct http_req *req);

#define TRACE_HEADERS 4
/* Headers of a call to another service, ended with {NULL}. Borrows. */
void trace_headers(const struct trace *trace, const char *authorization,
		   struct http_header_pair headers[TRACE_HEADERS]);

#endif
