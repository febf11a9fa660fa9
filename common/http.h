/*
 * http.h - answer HTTP requests on an event loop.
 *
 * Requests reach libevhtp only through the strict parser (http_guard.c), whole
 * and canonical, one at a time per connection.
 *
 * A handler is called once per request.  It may answer at once or keep `req`
 * and answer later from any callback on the same loop.  Every request must get
 * exactly one http_reply*() call (or one http_stream_start()); after it, `req`
 * must not be touched.  While a handler keeps `req`, the client may go away:
 * the reply is then dropped silently.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "jw.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"

struct http_req;
struct http_server;

typedef void (*http_handler)(struct http_req *req, void *app);

/* Patterns match whole paths; ":name" matches one segment. The table ends with
 * {0}. A path that matches under another method answers 405 with Allow; HEAD
 * is served by GET without its body. */
struct http_route {
	const char *method;
	const char *pattern;
	http_handler handler;
};

struct http_limits {
	size_t max_body;            /* 413 above it; default 64 KB */
	unsigned max_conns;         /* default 1024; further ones get 503 and a close */
	int idle_s, head_s, body_s; /* defaults 30, 10, 30 */
	/* X-Served-By of all answers, NULL: none. Must outlive the server. */
	const char *served_by;
};

/* `listen` is "host:port" ("127.0.0.1:0" picks a free port). `limits` may be
 * NULL. `metrics` (may be NULL) gets shop_http_requests_total{route,method,code}
 * and shop_http_request_seconds{route,method}. */
struct http_server *http_server_new(struct loop *loop, const char *listen,
				    const struct http_route *routes, void *app,
				    const struct http_limits *limits,
				    struct metrics *metrics, struct err *err);
uint16_t http_server_port(const struct http_server *server);
/* Stop accepting, answer with Connection: close, close idle connections;
 * `drained` runs (on the loop) when the last request is answered. */
void http_server_drain(struct http_server *server, loop_fn drained, void *arg);
void http_server_free(struct http_server *server);

/* ---- the request ---- */

/* Zeroed memory that lives exactly as long as the request. Never NULL. */
void *http_alloc(struct http_req *req, size_t size);
/* Runs when the request is gone (answered, or its connection died). */
void http_on_done(struct http_req *req, loop_fn fn, void *arg);

struct str http_method(struct http_req *req);
struct str http_path(struct http_req *req); /* normalised, decoded */
/* Value of ":name" in the route pattern; decoded. */
struct str http_param(struct http_req *req, const char *name);
/* The same as a positive number; false and ERR_INPUT naming it otherwise. */
bool http_param_id(struct http_req *req, const char *name, int64_t *id, struct err *err);
/* Query parameter, decoded; .at == NULL when absent. A repeated one: the first. false
 * and ERR_INPUT naming it when it is malformed or longer than 2047 bytes. */
bool http_query_text(struct http_req *req, const char *name, struct str *out,
		     struct err *err);
/* Optional number in the query; `out` keeps its value when absent. */
bool http_query_int(struct http_req *req, const char *name, int64_t min, int64_t max,
		    int64_t *out, struct err *err);
/* Header value by case-insensitive name; .at == NULL when absent. */
struct str http_header(struct http_req *req, const char *name);
struct str http_body(struct http_req *req);
/* Body as a JSON object, owned by the request. NULL: `err` says why (415 is
 * given as ERR_INPUT with slug "unsupported_media_type" when Content-Type is
 * there and not JSON). */
json_t *http_body_json(struct http_req *req, struct err *err);
/* X-Request-Id given by the gateway, or a new one; never empty. */
struct str http_request_id(struct http_req *req);
/* W3C traceparent as received, .at == NULL when absent. */
struct str http_traceparent(struct http_req *req);
/* What the request waits for; shows in logs. A literal. */
void http_action(struct http_req *req, const char *action);
struct loop *http_loop(struct http_req *req);

/* ---- the answer ---- */

/* Copies both; a value with CR, LF or NUL is refused (dropped with a log line). */
void http_set_header(struct http_req *req, const char *name, const char *value);
/* All finish the request. `body` is copied. */
void http_reply(struct http_req *req, int status, const char *content_type,
		struct str body);
void http_reply_json(struct http_req *req, int status, struct str json);
/* Takes the writer's text and finishes the writer; 500 if !jw_ok(). */
void http_reply_jw(struct http_req *req, int status, struct jw *w);
void http_reply_empty(struct http_req *req, int status); /* 204, 304 */
/* application/problem+json (RFC 9457) with type title status detail code
 * request_id, errors[] when err->field is set, Retry-After when given. */
void http_reply_err(struct http_req *req, const struct err *err);
/* The status of that answer; and its problem as one JSON object, for an answer that
 * tells of several things. Logs an ERR_INTERNAL, as http_reply_err() does; returns the
 * status. */
int http_err_status(const struct err *err);
int http_err_write(struct http_req *req, struct jw *w, const struct err *err);

/* ---- a stream (Server-Sent Events) ---- */

struct http_stream;
/* Answers 200 with `content_type` and keeps the connection; finishes `req`.
 * `closed` runs once, when the client is gone or http_stream_close() took
 * effect; after it the stream must not be used. */
struct http_stream *http_stream_start(struct http_req *req, const char *content_type,
				      loop_fn closed, void *arg);
/* false when more than `max_pending` bytes wait for a slow client: the chunk
 * was not queued, the caller should close. */
bool http_stream_send(struct http_stream *stream, struct str chunk, size_t max_pending);
void http_stream_close(struct http_stream *stream);

#endif
