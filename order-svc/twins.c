/* twins.c - a table of the keys under way; its size is bounded by the number of
 * connections, and one key's waiters by MAX_WAITING. */
#include "twins.h"

#include <stdlib.h>

#define BUCKETS     256
#define MAX_WAITING 32 /* for one key */

struct twins {
	struct loop *loop;
	struct twin_list buckets[BUCKETS]; /* running and waiting, in arrival order */
};

struct twins *twins_new(struct loop *loop)
{
	struct twins *twins = xcalloc(1, sizeof(*twins));

	twins->loop = loop;
	for (unsigned i = 0; i < BUCKETS; i++)
		TAILQ_INIT(&twins->buckets[i]);
	return twins;
}

void twins_free(struct twins *twins)
{
	free(twins);
}

static struct twin_list *bucket_of(struct twins *twins, const char *key_hash)
{
	return &twins->buckets[str_hash(str_from(key_hash)) % BUCKETS];
}

static void start_turn(struct twins *twins, struct twin *twin)
{
	twin->waiting = false;
	twin->running = true;
	loop_defer(twins->loop, twin->turn, twin->arg);
}

bool twins_enter(struct twins *twins, struct twin *twin)
{
	struct twin_list *list;
	struct twin *other;
	unsigned same = 0;

	if (!*twin->key_hash) {
		loop_defer(twins->loop, twin->turn, twin->arg);
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
	if (same == 0)
		start_turn(twins, twin);
	else
		twin->waiting = true;
	return true;
}

void twins_leave(struct twins *twins, struct twin *twin)
{
	struct twin_list *list;
	struct twin *other;

	if (!twin->running)
		return;
	twin->running = false;
	list = bucket_of(twins, twin->key_hash);
	TAILQ_REMOVE(list, twin, link);
	TAILQ_FOREACH (other, list, link) {
		if (strcmp(other->key_hash, twin->key_hash) == 0) {
			start_turn(twins, other);
			return;
		}
	}
}
