/*
 * http_client.h - call another service: small JSON requests over kept
 * connections to one origin.
 *
 * Uses the strict response parser of http_parse.h.  A connection that cannot be
 * made is tried again until the call's time is over, whatever the method: nothing
 * was sent.  A request is sent again by itself in one case only: a kept connection
 * turned out closed before any byte of the answer, and the request is idempotent
 * (RFC 9110 section 9.2.2).
 */
#ifndef COMMON_HTTP_CLIENT_H
#define COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"

struct http_client;

struct http_client_config {
	const char *base_url; /* "http://host:port", no path */
	unsigned max_conns;   /* default 32 */
	unsigned max_waiting; /* default 256; more: ERR_BUSY */
	size_t max_body;      /* of an answer; default 1 MB */
	/* Of a call's first attempt to connect, name included; later ones have more.
	 * Default 300: a lost SYN is sent again after 1 s by the kernel, sooner by us. */
	int connect_ms;
	int idle_ms; /* kept connections; default 10000, below the server's */
	/* A refused connection ends its call at once, with the slug "refused". */
	bool fail_refused;
};

struct http_client *http_client_new(struct loop *loop,
				    const struct http_client_config *cfg,
				    struct metrics *metrics, struct err *err);
/* Pending requests end before this returns: with ERR_UPSTREAM if they were sent, else
 * with ERR_BUSY. */
void http_client_free(struct http_client *client);

struct http_header_pair {
	const char *name;
	struct str value; /* .at == NULL: not sent */
};

struct http_call {
	const char *method;
	const char *path; /* with query; copied */
	const struct http_header_pair
		*headers;  /* copied; ends with {NULL} ; may be NULL */
	struct str body;   /* copied; sent as application/json when not empty */
	int timeout_ms;    /* whole call, waiting included; never 0 */
	const char *label; /* for metrics: the route, a literal */
};

struct http_answer {
	int status;
	struct str body; /* valid during the callback */
};

/* Exactly once, on the loop, never inside http_client_call(). `err` is NULL when
 * an answer arrived, whatever its status. ERR_TIMEOUT and ERR_UPSTREAM: the
 * request may have been carried out; ERR_BUSY: it was not sent. */
typedef void (*http_client_cb)(const struct http_answer *answer, const struct err *err,
			       void *arg);
void http_client_call(struct http_client *client, const struct http_call *call,
		      http_client_cb cb, void *arg);
/* Value of an answer's header, valid during the callback. */
struct str http_answer_header(const struct http_answer *answer, const char *name);

/* Turns a problem+json answer of another service into our error: code from the
 * status, slug from its "code", text from its "detail". */
void http_answer_err(const struct http_answer *answer, struct err *err);

#endif
