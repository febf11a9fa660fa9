/* balance.c - which endpoint of an upstream gets the next request? */
#include <stdlib.h>

#include "pool.h"

/* Best first. A lower rank is only used when no endpoint has a better one. New: about
 * to be probed; it may be an instance that has not yet begun to listen. */
enum rank { RANK_GOOD, RANK_FULL, RANK_NEW, RANK_UNREADY, RANK_DOWN, RANKS };

static enum rank rank_of(const struct pool *pool, int64_t now_ms)
{
	const struct endpoint *endpoint = pool->endpoint;
	int health;

	if (!pool->addr_len)
		return RANKS;
	if (atomic_load_explicit(&endpoint->down_until_ms, memory_order_relaxed) > now_ms)
		return RANK_DOWN;
	health = atomic_load_explicit(&endpoint->health, memory_order_relaxed);
	if (health == HEALTH_UNREADY)
		return RANK_UNREADY;
	if (health == HEALTH_UNKNOWN && endpoint_is_probed(endpoint))
		return RANK_NEW;
	return pool_is_full(pool, pool->n_busy) ? RANK_FULL : RANK_GOOD;
}

static int less_busy(struct worker *worker, const struct upstream *upstream, int a, int b)
{
	const struct pool *x = worker->pools[upstream->endpoints[a]->id];
	const struct pool *y = worker->pools[upstream->endpoints[b]->id];

	return x->n_busy <= y->n_busy ? a : b;
}

/* Those of the best rank there is, by place in the upstream; returns how many. */
static unsigned best_of(const struct worker *worker, const struct upstream *upstream,
			uint64_t tried, int *list)
{
	unsigned n = 0;
	enum rank best = RANKS;

	for (unsigned i = 0; i < upstream->n_endpoints; i++) {
		enum rank rank = rank_of(worker->pools[upstream->endpoints[i]->id],
					 worker->now_ms);

		if (rank == RANKS || tried & 1ull << i || rank > best)
			continue;
		if (rank < best)
			n = 0;
		best = rank;
		list[n++] = (int)i;
	}
	return n;
}

int balance_pick(struct worker *worker, const struct upstream *upstream, uint64_t tried)
{
	int list[ROUTES_MAX_ENDPOINTS];
	unsigned n = best_of(worker, upstream, tried, list);

	if (n == 0)
		return -1;
	if (n == 1)
		return list[0];
	/* Two different ones at random; random() is good enough to spread load. */
	unsigned a = (unsigned)random() % n;
	unsigned b = (a + 1 + (unsigned)random() % (n - 1)) % n;

	return less_busy(worker, upstream, list[a], list[b]);
}

bool balance_is_full(const struct worker *worker, const struct upstream *upstream)
{
	int list[ROUTES_MAX_ENDPOINTS];
	unsigned n = best_of(worker, upstream, 0, list);

	for (unsigned i = 0; i < n; i++) {
		const struct pool *pool = worker->pools[upstream->endpoints[list[i]]->id];

		if (!TAILQ_EMPTY(&pool->idle) || !pool_is_full(pool, pool->n_conns))
			return false;
	}
	return n > 0;
}

bool balance_is_live(const struct worker *worker, const struct upstream *upstream)
{
	for (unsigned i = 0; i < upstream->n_endpoints; i++) {
		if (rank_of(worker->pools[upstream->endpoints[i]->id], worker->now_ms) <=
		    RANK_NEW)
			return true;
	}
	return false;
}
