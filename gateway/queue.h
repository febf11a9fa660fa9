/*
 * queue.h - requests of one thread that wait for a connection to one upstream.
 *
 * First come, first served, except that what our own services ask goes first: it
 * belongs to work that was let in already.
 *
 * The queue takes as many as will be served soon.  How long a newcomer would wait
 * follows from how many are before it and from the pace at which the queue moved
 * lately; who would wait too long is refused at once.  So an overloaded service
 * keeps working at its best on requests whose senders are still there, and a
 * burst that it can take is not refused.
 */
#ifndef GATEWAY_QUEUE_H
#define GATEWAY_QUEUE_H

#include "exchange.h"

struct queue {
	struct exchanges list[LISTENER_KINDS];
	unsigned n;
	uint64_t since_us; /* when counting began */
	unsigned moves;    /* since then */
	uint32_t pace_us;  /* between two moves, on average; 0: not known */
	uint64_t paced_us; /* when that was found */
};

void queue_init(struct queue *queue);
/* Only to the front of its kind when `again`. */
void queue_join(struct queue *queue, struct exchange *x, bool again);
void queue_leave(struct queue *queue, struct exchange *x);
/* Takes out the next one; NULL: nobody waits. */
struct exchange *queue_next(struct queue *queue);

/* Would one more of this kind wait too long, or be too many? Pure. */
bool queue_is_full(const struct queue *queue, enum listener_kind kind, unsigned max,
		   unsigned max_wait_ms);
/* The queue moved, and holds `n` now. Pure. */
void queue_moved(struct queue *queue, uint64_t now_us);

#endif
