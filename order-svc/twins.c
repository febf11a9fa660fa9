/* twins.c - a table of the keys under way; its size is bounded by the number of
 * connections, and one key's waiters by MAX_WAITING. */
#include "twins.h"

#include <stdlib.h>

#define BUCKETS     256
#define MAX_WAITING 32 /* for one key */

struct twins {
	struct twin_list buckets[BUCKETS]; /* running and waiting, in arrival order */
	struct twin_list due;              /* have their turn when `timer` runs */
	struct loop_timer *timer;
};

static void run_turns(void *arg)
{
	struct twins *twins = arg;
	struct twin_list now = TAILQ_HEAD_INITIALIZER(now);
	struct twin *twin;

	TAILQ_CONCAT(&now, &twins->due, due);
	while ((twin = TAILQ_FIRST(&now))) {
		TAILQ_REMOVE(&now, twin, due);
		twin->turn(twin->arg);
	}
}

struct twins *twins_new(struct loop *loop)
{
	struct twins *twins = xcalloc(1, sizeof(*twins));

	TAILQ_INIT(&twins->due);
	twins->timer = loop_timer_new(loop, run_turns, twins);
	for (unsigned i = 0; i < BUCKETS; i++)
		TAILQ_INIT(&twins->buckets[i]);
	return twins;
}

void twins_free(struct twins *twins)
{
	if (!twins)
		return;
	while (!TAILQ_EMPTY(&twins->due))
		run_turns(twins);
	loop_timer_free(twins->timer);
	free(twins);
}

static struct twin_list *bucket_of(struct twins *twins, const char *key_hash)
{
	return &twins->buckets[str_hash(str_from(key_hash)) % BUCKETS];
}

static void start_turn(struct twins *twins, struct twin *twin)
{
	TAILQ_INSERT_TAIL(&twins->due, twin, due);
	loop_timer_start(twins->timer, 0);
}

bool twins_enter(struct twins *twins, struct twin *twin)
{
	struct twin_list *list;
	struct twin *other;
	unsigned same = 0;

	if (!*twin->key_hash) {
		start_turn(twins, twin);
		return true;
	}
	list = bucket_of(twins, twin->key_hash);
	TAILQ_FOREACH (other, list, link) {
		if (strcmp(other->key_hash, twin->key_hash) == 0)
			same++;
	}
	if (same > MAX_WAITING)
		return false;
	TAILQ_INSERT_TAIL(list, twin, link);
	twin->entered = true;
	if (same == 0)
		start_turn(twins, twin);
	return true;
}

void twins_leave(struct twins *twins, struct twin *twin)
{
	struct twin_list *list;
	struct twin *other;

	if (!twin->entered)
		return;
	twin->entered = false;
	list = bucket_of(twins, twin->key_hash);
	TAILQ_REMOVE(list, twin, link);
	TAILQ_FOREACH (other, list, link) {
		if (strcmp(other->key_hash, twin->key_hash) == 0) {
			start_turn(twins, other);
			return;
		}
	}
}
