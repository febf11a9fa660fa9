/* pool.c - hand out connections to the endpoints; queue who cannot have one. */
#include "pool.h"

#include <stdlib.h>

#include "client.h"
#include "queue.h"
#include "timeutil.h"

#define QUEUE_MS 1000
#define DOWN_MS  1000

struct pool *pool_new(struct worker *worker, struct endpoint *endpoint)
{
	struct pool *pool = xcalloc(1, sizeof(*pool));

	pool->worker = worker;
	pool->endpoint = endpoint;
	TAILQ_INIT(&pool->idle);
	pool_set_addr(pool, &endpoint->origin.addr, endpoint->origin.addr_len);
	return pool;
}

void pool_set_addr(struct pool *pool, const struct sockaddr_storage *addr, int addr_len)
{
	/* Who is busy finishes; upstream_release() closes it then. */
	while (!TAILQ_EMPTY(&pool->idle))
		upstream_close(TAILQ_FIRST(&pool->idle));
	pool->addr = *addr;
	pool->addr_len = addr_len;
	pool->moves++;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	while (!TAILQ_EMPTY(&pool->idle))
		upstream_close(TAILQ_FIRST(&pool->idle));
	free(pool);
}

void pool_tick(struct pool *pool, int64_t now_ms)
{
	struct upstream_conn *oldest = TAILQ_LAST(&pool->idle, upstream_conns);

	while (oldest && oldest->deadline_ms <= now_ms) {
		upstream_close(oldest);
		oldest = TAILQ_LAST(&pool->idle, upstream_conns);
	}
}

/* ---- the queue ---- */

static struct queue *queue_of(const struct exchange *x)
{
	return &x->worker->waiting[x->upstream->id];
}

static bool may_not_wait(const struct exchange *x)
{
	const struct gateway_settings *settings = &x->worker->app->settings;

	return queue_is_full(queue_of(x), x->client->listener,
			     (unsigned)settings->pool_waiting,
			     (unsigned)settings->pool_wait_ms);
}

static enum pool_result join_queue(struct exchange *x)
{
	/* What was free went to somebody else: it waited for that already, or had it. */
	bool again = x->queue_until_ms != 0 || x->fresh;

	if (!again && may_not_wait(x))
		return POOL_FULL;
	queue_join(queue_of(x), x, again);
	metric_add(x->worker->app->metrics.waiting, 1);
	if (!x->queue_until_ms)
		x->queue_until_ms = x->worker->now_ms + QUEUE_MS;
	x->state = X_WAITING;
	x->deadline_ms = x->queue_until_ms;
	return POOL_QUEUED;
}

static void left_queue(struct exchange *x)
{
	metric_add(x->worker->app->metrics.waiting, -1);
	x->state = X_CHECKING;
}

void pool_leave_queue(struct exchange *x)
{
	queue_leave(queue_of(x), x);
	left_queue(x);
}

void pool_wake(struct worker *worker, const struct upstream *upstream)
{
	struct exchange *x = queue_next(&worker->waiting[upstream->id]);

	if (!x)
		return;
	left_queue(x);
	dispatch(x);
}

/* ---- connections ---- */

static enum pool_result connect_now(struct pool *pool, struct exchange *x)
{
	if (pool_is_full(pool, pool->n_conns) && !TAILQ_EMPTY(&pool->idle))
		upstream_close(TAILQ_LAST(&pool->idle, upstream_conns));
	if (!x->route->stream && pool_is_full(pool, pool->n_conns))
		return join_queue(x);
	return upstream_open(pool, x) ? POOL_CONNECTING : POOL_NONE;
}

bool pool_is_overloaded(const struct exchange *x)
{
	/* A free endpoint is only looked for when many wait already. */
	return !x->route->stream && may_not_wait(x) &&
	       balance_is_full(x->worker, x->upstream);
}

enum pool_result pool_acquire(struct exchange *x)
{
	const struct upstream *upstream = x->upstream;
	enum pool_result result = POOL_NONE;
	int place;

	while (result == POOL_NONE &&
	       (place = balance_pick(x->worker, upstream, x->tried)) >= 0) {
		struct pool *pool = x->worker->pools[upstream->endpoints[place]->id];

		if (!TAILQ_EMPTY(&pool->idle) && !x->fresh) {
			upstream_take_idle(TAILQ_FIRST(&pool->idle), x);
			return POOL_READY;
		}
		result = connect_now(pool, x);
		if (result == POOL_NONE)
			x->tried |= 1ull << place;
	}
	return result;
}

void pool_mark_down(struct exchange *x)
{
	const struct upstream *upstream = x->upstream;
	struct endpoint *endpoint = x->up->pool->endpoint;

	atomic_store(&endpoint->down_until_ms, time_mono_ms() + DOWN_MS);
	for (unsigned i = 0; i < upstream->n_endpoints; i++) {
		if (upstream->endpoints[i] == endpoint)
			x->tried |= 1ull << i;
	}
}
