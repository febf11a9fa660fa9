/* queue.c - who waits for a connection, in which order, and who may not. */
#include "queue.h"

#include "client.h"
#include "timeutil.h"

/* So many may always wait: else a service that stood still would never be seen
 * to move again. */
#define ALWAYS 8
/* The pace is counted over so long: services work in batches, so a single gap
 * between two moves says nothing. */
#define WINDOW_US 100000
/* One long standstill must not count for more than this. */
#define PACE_MAX_US 100000
/* A pace older than this says nothing about a new queue. */
#define PACE_OLD_US 5000000

void queue_init(struct queue *queue)
{
	*queue = (struct queue){0};
	for (int kind = 0; kind < LISTENER_KINDS; kind++)
		TAILQ_INIT(&queue->list[kind]);
}

bool queue_is_full(const struct queue *queue, enum listener_kind kind, unsigned max,
		   unsigned max_wait_ms)
{
	if (queue->n >= max)
		return true;
	if (kind == LISTENER_INTERNAL || queue->n < ALWAYS)
		return false;
	return (uint64_t)queue->n * queue->pace_us > (uint64_t)max_wait_ms * 1000;
}

void queue_moved(struct queue *queue, uint64_t now_us)
{
	uint64_t took = now_us - queue->since_us;
	uint64_t pace = took / ++queue->moves;

	/* Before the window has ended, who emptied the queue has shown to be so quick at
	 * least: bursts that end sooner would be judged for ever by a standstill before
	 * them. */
	if (took < WINDOW_US && (queue->n > 0 || pace >= queue->pace_us))
		return;
	queue->pace_us = (uint32_t)(pace < PACE_MAX_US ? pace : PACE_MAX_US);
	queue->paced_us = now_us;
	queue->since_us = now_us;
	queue->moves = 0;
}

/* Nobody waited, so nothing could move: counting begins anew. */
static void begin(struct queue *queue, uint64_t now_us)
{
	queue->since_us = now_us;
	queue->moves = 0;
	if (now_us - queue->paced_us > PACE_OLD_US)
		queue->pace_us = 0;
}

void queue_join(struct queue *queue, struct exchange *x, bool again)
{
	struct exchanges *list = &queue->list[x->client->listener];

	if (queue->n++ == 0)
		begin(queue, time_mono_us());
	if (again)
		TAILQ_INSERT_HEAD(list, x, link);
	else
		TAILQ_INSERT_TAIL(list, x, link);
}

void queue_leave(struct queue *queue, struct exchange *x)
{
	queue->n--;
	TAILQ_REMOVE(&queue->list[x->client->listener], x, link);
}

struct exchange *queue_next(struct queue *queue)
{
	struct exchange *x = TAILQ_FIRST(&queue->list[LISTENER_INTERNAL]);

	if (!x)
		x = TAILQ_FIRST(&queue->list[LISTENER_PUBLIC]);
	if (!x)
		return NULL;
	queue_leave(queue, x);
	queue_moved(queue, time_mono_us());
	return x;
}
