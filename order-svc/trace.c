/* trace.c - take over a request's ids, and pass them on. */
#include "trace.h"

static bool only(struct str s, const char *allowed)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\0' || !strchr(allowed, s.at[i]))
			return false;
	}
	return true;
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < 0x21 || s.at[i] > 0x7e)
			return false;
	}
	return true;
}

void trace_init(struct trace *trace, struct http_req *req)
{
	struct str id = http_request_id(req), parent = http_traceparent(req);

	memset(trace, 0, sizeof(*trace));
	if (printable(id))
		str_copy(trace->request_id, sizeof(trace->request_id), id);
	if (parent.len == TRACE_PARENT_LEN && only(parent, "0123456789abcdef-"))
		str_copy(trace->traceparent, sizeof(trace->traceparent), parent);
}

static struct str optional(const char *z)
{
	return *z ? str_from(z) : STR_NONE;
}

void trace_headers(const struct trace *trace, const char *authorization,
		   struct http_header_pair headers[TRACE_HEADERS])
{
	headers[0] = (struct http_header_pair){"Authorization", str_from(authorization)};
	headers[1] =
		(struct http_header_pair){"X-Request-Id", optional(trace->request_id)};
	headers[2] =
		(struct http_header_pair){"traceparent", optional(trace->traceparent)};
	headers[3] = (struct http_header_pair){NULL, STR_NONE};
}
