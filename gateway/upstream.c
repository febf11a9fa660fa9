/*
 * upstream.c - one connection to a service.
 *
 * While idle it stays readable: a service that closes it, or says something
 * that nobody asked for, is noticed at once and never meets the next request.
 */
#include <stdlib.h>

#include "client.h"
#include "exchange.h"
#include "pool.h"

/* In the first round over the endpoints; twice that in each further one. The kernel
 * sends a lost SYN again after 1 s. */
#define CONNECT_MS 300
#define IDLE_MS    10000 /* well below the idle time of our services */

static void upstream_free(void *arg)
{
	free(arg);
}

static void begin_use(struct upstream_conn *up, struct exchange *x)
{
	up->x = x;
	x->up = up;
	up->stream = x->route->stream;
	up->pool->n_busy++;
	up->pool->n_streams += up->stream;
}

static void end_use(struct upstream_conn *up)
{
	up->x->up = NULL;
	up->x = NULL;
	up->pool->n_busy--;
	up->pool->n_streams -= up->stream;
}

void upstream_close(struct upstream_conn *up)
{
	struct pool *pool = up->pool;
	struct exchange *x = up->x;

	if (up->gone)
		return;
	up->gone = true;
	pool->n_conns--;
	if (x)
		end_use(up);
	else
		TAILQ_REMOVE(&pool->idle, up, link);
	sock_close(&up->sock);
	loop_defer(pool->worker->loop, upstream_free, up);
	if (x)
		pool_wake(pool->worker, x->upstream);
}

void upstream_release(struct upstream_conn *up)
{
	struct pool *pool = up->pool;
	struct exchange *x = up->x;

	if (up->moves != pool->moves) {
		upstream_close(up);
		return;
	}
	end_use(up);
	up->reused = true;
	up->deadline_ms = pool->worker->now_ms + IDLE_MS;
	TAILQ_INSERT_HEAD(&pool->idle, up, link);
	sock_read_on(&up->sock, true);
	pool_wake(pool->worker, x->upstream);
}

void upstream_take_idle(struct upstream_conn *up, struct exchange *x)
{
	TAILQ_REMOVE(&up->pool->idle, up, link);
	up->got_bytes = false;
	begin_use(up, x);
}

/* ---- events ---- */

static void on_readable(void *arg)
{
	struct upstream_conn *up = arg;

	if (!up->x) {
		upstream_close(up);
		return;
	}
	up->got_bytes = true;
	relay_answer(up->x);
}

static void on_writable(void *arg)
{
	struct upstream_conn *up = arg;

	if (up->x && up->x->state == X_CONNECTING)
		dispatch_connected(up->x);
	else if (up->x)
		relay_upstream_writable(up->x);
}

static void on_ended(void *arg, enum sock_end end)
{
	struct upstream_conn *up = arg;

	if (!up->x)
		upstream_close(up);
	else if (up->x->state == X_CONNECTING)
		dispatch_refused(up->x, false);
	else
		relay_upstream_ended(up->x, end);
}

static const struct sock_ops upstream_ops = {on_readable, on_writable, on_ended};

bool upstream_open(struct pool *pool, struct exchange *x)
{
	struct upstream_conn *up;

	if (!pool->addr_len)
		return false;
	up = xcalloc(1, sizeof(*up));
	if (!sock_connect(&up->sock, loop_base(pool->worker->loop),
			  (const struct sockaddr *)&pool->addr, pool->addr_len,
			  pool->worker->shared, &upstream_ops, up)) {
		free(up);
		return false;
	}
	up->pool = pool;
	up->moves = pool->moves;
	pool->n_conns++;
	begin_use(up, x);
	if (!x->connects_ms)
		x->connects_ms = pool->worker->now_ms;
	x->state = X_CONNECTING;
	x->deadline_ms = pool->worker->now_ms + (CONNECT_MS << x->round);
	return true;
}
