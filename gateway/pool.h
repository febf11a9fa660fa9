/*
 * pool.h - connections of one thread to one endpoint, and the choice of the
 * endpoint.
 *
 * An upstream connection is BUSY with one exchange or IDLE in its pool, the
 * last used one first.  When an endpoint has all the connections it may have,
 * exchanges wait in the thread's queue for that upstream.
 */
#ifndef GATEWAY_POOL_H
#define GATEWAY_POOL_H

#include "app.h"
#include "exchange.h"
#include "sock.h"

struct upstream_conn {
	TAILQ_ENTRY(upstream_conn) link; /* in pool->idle */
	struct pool *pool;
	struct sock sock;
	struct exchange *x; /* NULL: idle */
	bool reused;        /* it answered before */
	bool got_bytes;     /* of the answer to x */
	bool stream;        /* x is one */
	bool gone;
	unsigned moves;      /* pool->moves when it was opened */
	int64_t deadline_ms; /* idle until then */
};
TAILQ_HEAD(upstream_conns, upstream_conn);

struct pool {
	struct worker *worker;
	struct endpoint *endpoint;    /* of the newest snapshot */
	struct sockaddr_storage addr; /* of a name: one that was found */
	int addr_len;                 /* 0: none at the time */
	unsigned moves;               /* how often the address changed */
	struct upstream_conns idle;
	unsigned n_conns, n_busy;
	unsigned n_streams; /* of them: open for hours, so outside of POOL_CONNS */
};

enum pool_result {
	POOL_READY,      /* x->up is connected: send */
	POOL_CONNECTING, /* dispatch_connected() or dispatch_refused() follows */
	POOL_QUEUED,     /* dispatch() is called again when one is free */
	POOL_FULL,       /* so is the queue */
	POOL_NONE        /* no endpoint is left to try */
};

struct pool *pool_new(struct worker *worker, struct endpoint *endpoint);
void pool_free(struct pool *pool); /* no exchange may be left */
/* `addr_len` of 0: no address any more. */
void pool_set_addr(struct pool *pool, const struct sockaddr_storage *addr, int addr_len);
void pool_tick(struct pool *pool, int64_t now_ms);

/* ---- pool.c ---- */

enum pool_result pool_acquire(struct exchange *x);
/* Would that be POOL_FULL? */
bool pool_is_overloaded(const struct exchange *x);
void pool_leave_queue(struct exchange *x);
/* The endpoint refused a connection: not to be tried for a moment. */
void pool_mark_down(struct exchange *x);
/* A connection became free: the next in the queue may have it. */
void pool_wake(struct worker *worker, const struct upstream *upstream);

static inline bool pool_is_full(const struct pool *pool, unsigned n)
{
	return n - pool->n_streams >= pool->worker->app->settings.pool_conns;
}

/* ---- balance.c ---- */

/* Power of two choices by what is in flight, among the usable endpoints that
 * `tried` (bits by place) leaves. -1: none. */
int balance_pick(struct worker *worker, const struct upstream *upstream, uint64_t tried);
/* Has none of those that balance_pick() would choose from a connection for one more?
 * false if there is none to choose from. */
bool balance_is_full(const struct worker *worker, const struct upstream *upstream);
/* Has it an endpoint that may be expected to answer? */
bool balance_is_live(const struct worker *worker, const struct upstream *upstream);

/* ---- upstream.c ---- */

/* Opens a connection for x. false: could not even start. */
bool upstream_open(struct pool *pool, struct exchange *x);
void upstream_take_idle(struct upstream_conn *up, struct exchange *x);
/* Ends the use by its exchange: back into the pool, or closed. */
void upstream_release(struct upstream_conn *up);
void upstream_close(struct upstream_conn *up);

#endif
