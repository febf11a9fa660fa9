/*
 * relay_shards.h - which parts of the outbox a relay takes.  Pure.
 *
 * The outbox has a fixed number of shards, a user belongs to one of them.  Every
 * relay of every instance is a member, and each takes its fair share; a shard is
 * worked on by whoever holds its lock.  Nobody has to be told how many relays
 * there are, so their number can be changed at any time.
 */
#ifndef ORDER_SVC_RELAY_SHARDS_H
#define ORDER_SVC_RELAY_SHARDS_H

#include <stdbool.h>

#define RELAY_SHARDS 8 /* as in migrations/0002_outbox_shards.sql */

/* A set of shards: bit n is shard n. */
typedef unsigned relay_shards;

#define RELAY_ALL_SHARDS ((1u << RELAY_SHARDS) - 1)

unsigned relay_shards_count(relay_shards set);

/* What member number `me` of `members` (a set of numbers) should change: of what
 * it `held` it gives up the highest shards above its share, or it tries to take as
 * many as it lacks of those that are `unheld`. */
struct relay_move {
	relay_shards give, take;
};
struct relay_move relay_shards_move(relay_shards held, relay_shards unheld,
				    unsigned members, unsigned me);

#endif
