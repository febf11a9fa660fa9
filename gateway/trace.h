/* trace.h - X-Request-Id and W3C traceparent: kept when well formed, else made. */
#ifndef GATEWAY_TRACE_H
#define GATEWAY_TRACE_H

#include "exchange.h"

void trace_adopt(struct exchange *x);

/* pure */
struct str trace_id(const char *traceparent); /* empty when that is */
bool trace_request_id_ok(struct str id);
bool trace_parent_ok(struct str value);

#endif
