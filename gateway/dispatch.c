/*
 * dispatch.c - find a connection for a request, send its head, and decide about
 * second tries.
 *
 * A request goes out a second time in two cases only: nothing of it was sent
 * (the connection was refused, or took too long), or a kept connection turned out
 * dead before any byte of the answer and repeating is harmless.  A budget for more
 * than that belongs here.
 */
#include "cached.h"
#include "client.h"
#include "exchange.h"
#include "headers.h"
#include "pool.h"
#include "timeutil.h"

/* So long after the first connection was begun all endpoints are tried once more. */
#define ROUNDS_MS 1500

static void send_request(struct exchange *x)
{
	struct sock *sock = &x->up->sock;

	x->state = X_SENT;
	x->sent_us = time_mono_us();
	x->progress_ms = (int64_t)(x->sent_us / 1000);
	headers_request(x, x->up->pool->endpoint->origin.authority, sock->out);
	if (x->replay) {
		size_t len = evbuffer_get_length(x->replay);

		evbuffer_add(sock->out, evbuffer_pullup(x->replay, -1), len);
	}
	relay_request(x);
}

void dispatch_overloaded(struct exchange *x)
{
	metric_add(x->worker->app->metrics.overloaded, 1);
	exchange_unavailable(x, "overloaded", "too many requests wait for the service");
}

void dispatch_fall_back(struct exchange *x)
{
	metric_add(x->upstream->series.fallbacks, 1);
	x->upstream = x->route->upstream;
	x->tried = 0;
	x->round = 0;
	x->connects_ms = 0;
}

static void no_endpoint(struct exchange *x)
{
	if (x->upstream != x->route->upstream) {
		dispatch_fall_back(x);
		dispatch(x);
		return;
	}
	metric_add(x->worker->app->metrics.no_endpoint, 1);
	exchange_unavailable(x, "unavailable", "the service is not available");
}

void dispatch(struct exchange *x)
{
	switch (pool_acquire(x)) {
	case POOL_READY: send_request(x); break;
	case POOL_CONNECTING:
	case POOL_QUEUED: break;
	case POOL_FULL: dispatch_overloaded(x); break;
	case POOL_NONE: no_endpoint(x); break;
	}
}

void dispatch_connected(struct exchange *x)
{
	send_request(x);
}

/* One lost SYN must not decide: who was too slow is asked again. */
static bool next_round(struct exchange *x)
{
	if (x->worker->now_ms - x->connects_ms > ROUNDS_MS)
		return false;
	x->round++;
	x->tried = 0;
	return true;
}

void dispatch_refused(struct exchange *x, bool timed_out)
{
	pool_mark_down(x);
	x->state = X_CHECKING;
	upstream_close(x->up);
	if (timed_out && x->upstream == x->route->upstream &&
	    balance_pick(x->worker, x->upstream, x->tried) < 0 && !next_round(x))
		exchange_fail(x, 504, "upstream_timeout",
			      "the service cannot be reached");
	else
		dispatch(x);
}

static bool is_idempotent(enum http_method_id method)
{
	return method != HTTP_POST && method != HTTP_PATCH;
}

bool dispatch_again(struct exchange *x)
{
	if (!x->up->reused || x->up->got_bytes || x->fresh || x->cannot_replay ||
	    !is_idempotent(x->head.method))
		return false;
	metric_add(x->worker->app->metrics.retries, 1);
	/* It may have been heard, and the second try may never get there. */
	cached_wrote(x, 0);
	x->fresh = true;
	x->queue_until_ms = 0;
	x->state = X_CHECKING;
	upstream_close(x->up);
	dispatch(x);
	return true;
}
