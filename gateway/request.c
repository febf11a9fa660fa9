/*
 * request.c - judge a request before anything is sent anywhere:
 *
 *   ids -> path -> route, variant -> is there room -> who may call -> body limit -> what
 * is stored
 * -> 100 Continue -> collect a small body -> dispatch
 *
 * A body that always fits into memory is read whole before a connection to the
 * service is taken: otherwise a few slow senders could hold all of them.
 */
#include <stdlib.h>

#include "access.h"
#include "cached.h"
#include "client.h"
#include "exchange.h"
#include "headers.h"
#include "pool.h"
#include "reply.h"
#include "timeutil.h"
#include "trace.h"
#include "variants.h"

#define COLLECT_MAX 65536

static bool make_path(struct exchange *x, char *plain, size_t size, size_t *len)
{
	size_t max = x->head.path.len * 3 + 1;

	if (!http_path_normalise(x->head.path, plain, size, len))
		return false;
	x->path = xcalloc(1, max);
	return http_path_encode((struct str){plain, *len}, x->path, max) > 0;
}

static void reply_options(struct exchange *x, unsigned methods)
{
	char allow[96];
	const struct reply reply = {.status = 204, .allow = allow};

	route_allow_text(methods, allow, sizeof(allow));
	reply_send(x, &reply);
	exchange_over(x, false);
}

static void reply_no_method(struct exchange *x, unsigned methods)
{
	char allow[96];
	const struct reply reply = {.status = 405,
				    .slug = "method_not_allowed",
				    .detail = "this path does not answer that method",
				    .allow = allow};

	route_allow_text(methods, allow, sizeof(allow));
	x->why = reply.slug;
	reply_send(x, &reply);
	exchange_over(x, false);
}

static void choose_upstream(struct exchange *x)
{
	/* random() is good enough to spread load. */
	x->upstream = x->route->upstream;
	if (x->upstream->n_variants)
		x->upstream = variants_choose(x->upstream, &x->head, (unsigned)random());
	if (x->upstream != x->route->upstream && !balance_is_live(x->worker, x->upstream))
		dispatch_fall_back(x);
}

/* Finds the route, or answers. */
static bool find_route(struct exchange *x)
{
	char plain[HTTP_MAX_TARGET + 1];
	unsigned methods = 0;
	size_t len = 0;

	if (x->head.method == HTTP_OPTIONS && str_eqz(x->head.target, "*")) {
		reply_options(x, (1u << HTTP_METHODS) - 1);
		return false;
	}
	if (!make_path(x, plain, sizeof(plain), &len)) {
		exchange_fail(x, 400, "bad_request", "malformed path");
		return false;
	}
	x->route = route_find(x->routes, x->client->listener, x->head.method,
			      (struct str){plain, len}, &methods);
	if (x->route) {
		choose_upstream(x);
		return true;
	}
	if (!methods)
		exchange_fail(x, 404, "not_found", "no such path");
	else if (x->head.method == HTTP_OPTIONS)
		reply_options(x, methods);
	else
		reply_no_method(x, methods);
	return false;
}

/* Who will be refused anyhow costs nothing more: neither a look at his token nor a
 * buffer for his body. A body that is not here yet is read first, to keep the
 * connection. */
static bool is_too_much(struct exchange *x)
{
	if (x->route->cache_ms || !pool_is_overloaded(x) ||
	    !body_skip(&x->request, x->client->sock.in))
		return false;
	dispatch_overloaded(x);
	return true;
}

static bool authorise(struct exchange *x)
{
	struct str header = http_field_get(&x->head, "Authorization");
	struct err err = {0};

	if (x->route->ignore_token)
		return true;
	if (access_check(x->worker->auth, x->route, header, &x->caller, &err))
		return true;
	exchange_fail_err(x, &err);
	return false;
}

static bool body_fits(struct exchange *x)
{
	if (x->head.framing != HTTP_LENGTH ||
	    x->head.content_length <= x->route->max_body)
		return true;
	exchange_fail(x, 413, NULL, NULL);
	return false;
}

static void answer_expect(struct exchange *x)
{
	struct evbuffer *in = x->client->sock.in;

	if (!x->head.expect_continue || x->head.minor == 0 || x->request.done ||
	    evbuffer_get_length(in) > 0)
		return;
	evbuffer_add_printf(x->client->sock.out, "HTTP/1.1 100 Continue\r\n\r\n");
	sock_flush(&x->client->sock);
}

void request_begin(struct exchange *x)
{
	if (x->client->speaks_for_others)
		proxies_client(&x->worker->app->proxies, &x->head, x->from);
	trace_adopt(x);
	body_init(&x->request, &x->head, 0, x->head.framing == HTTP_CHUNKED);
	if (!find_route(x) || is_too_much(x) || !authorise(x) || !body_fits(x))
		return;
	if (cached_begin(x))
		return;
	x->request.chunks.max_total = x->route->max_body;
	answer_expect(x);
	if (x->request.done || x->route->max_body > COLLECT_MAX) {
		dispatch(x);
		return;
	}
	x->state = X_COLLECTING;
	x->replay = evbuffer_new();
	if (!x->replay)
		abort();
	request_collect(x);
}

void request_collect(struct exchange *x)
{
	struct sock *client = &x->client->sock;
	uint64_t moved;
	int status = body_move(&x->request, client->in, x->replay, &moved);

	x->bytes_in += moved;
	x->progress_ms = time_mono_ms();
	exchange_settle(x);
	if (status)
		exchange_fail(x, status, NULL, NULL);
	else if (x->request.done)
		dispatch(x);
	else
		sock_read_on(client, true);
}
