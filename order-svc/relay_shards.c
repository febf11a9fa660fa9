/* relay_shards.c - fair shares of the outbox. */
#include "relay_shards.h"

unsigned relay_shards_count(relay_shards set)
{
	return (unsigned)__builtin_popcount(set);
}

/* What does not divide evenly goes to the first ones, one each, so that the shares
 * add up to all shards and nobody has none. */
static unsigned fair_share(unsigned members, unsigned me)
{
	unsigned n = relay_shards_count(members | 1u << me);
	unsigned before = relay_shards_count(members & ((1u << me) - 1));

	return RELAY_SHARDS / n + (before < RELAY_SHARDS % n);
}

struct relay_move relay_shards_move(relay_shards held, relay_shards unheld,
				    unsigned members, unsigned me)
{
	unsigned share = fair_share(members, me), have = relay_shards_count(held);
	struct relay_move move = {0, 0};

	for (unsigned n = RELAY_SHARDS; n-- > 0 && have > share;) {
		if (!(held & 1u << n))
			continue;
		move.give |= 1u << n;
		have--;
	}
	for (unsigned n = 0; n < RELAY_SHARDS && have < share; n++) {
		if (!(unheld & ~held & 1u << n))
			continue;
		move.take |= 1u << n;
		have++;
	}
	return move;
}
