/*
 * twins.h - orders under the same user and key take turns.
 *
 * A client that lost its patience sends the same order again while the first
 * attempt is still on its way.  In one process the second waits for the first
 * and then finds its stored answer; between processes the unique key decides.
 */
#ifndef ORDER_SVC_TWINS_H
#define ORDER_SVC_TWINS_H

#include <stdbool.h>
#include <sys/queue.h>

#include "loop.h"
#include "order.h"

struct twins;

struct twins *twins_new(struct loop *loop);
/* Runs the turns that are still to come, all of them: attempts must leave in their
 * turn without starting anything. */
void twins_free(struct twins *twins);

/* One attempt; owned by the caller until it has left. */
struct twin {
	const char *key_hash; /* "": no key, no twins */
	loop_fn turn;
	void *arg;
	/* private */
	bool entered;
	TAILQ_ENTRY(twin) link; /* in its bucket; not without a key */
	TAILQ_ENTRY(twin) due;
};
TAILQ_HEAD(twin_list, twin);

/* `turn` runs on a later turn of the loop when no other attempt under the key is
 * running. false: too many are waiting already, `turn` will not run. */
bool twins_enter(struct twins *twins, struct twin *twin);
/* After its turn, in any case: lets the next one have its own. */
void twins_leave(struct twins *twins, struct twin *twin);

#endif
