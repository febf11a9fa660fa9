/* test_gateway_queue.c - who may wait for a connection, and who would wait too long. */
/* link: gateway/queue.c */
#include "check.h"

#include "queue.h"

#define MAX     100
#define WAIT_MS 250

static bool full(const struct queue *queue, enum listener_kind kind)
{
	return queue_is_full(queue, kind, MAX, WAIT_MS);
}

static void pace_unknown(void **state)
{
	struct queue queue;

	(void)state;
	queue_init(&queue);
	queue.n = MAX - 1;
	assert_false(full(&queue, LISTENER_PUBLIC));
	queue.n = MAX;
	assert_true(full(&queue, LISTENER_PUBLIC));
	assert_true(full(&queue, LISTENER_INTERNAL));
}

static void move(struct queue *queue, unsigned times, uint64_t every_us)
{
	for (unsigned i = 0; i < times; i++)
		queue_moved(queue, queue->moved_us + every_us);
}

/* 10 ms a move: 25 of them fit into 250 ms. */
static void by_pace(void **state)
{
	struct queue queue;

	(void)state;
	queue_init(&queue);
	move(&queue, 50, 10000);
	assert_int_equal(queue.pace_us, 10000);
	queue.n = 25;
	assert_false(full(&queue, LISTENER_PUBLIC));
	queue.n = 26;
	assert_true(full(&queue, LISTENER_PUBLIC));
	/* Work that was let in already only knows the hard limit. */
	assert_false(full(&queue, LISTENER_INTERNAL));
}

/* A service that stood still is not refused for long after it goes on. */
static void recovers(void **state)
{
	struct queue queue;

	(void)state;
	queue_init(&queue);
	move(&queue, 5, 60000000);
	queue.n = 7;
	assert_false(full(&queue, LISTENER_PUBLIC));
	queue.n = 8;
	assert_true(full(&queue, LISTENER_PUBLIC));
	move(&queue, 40, 500);
	queue.n = MAX - 1;
	assert_false(full(&queue, LISTENER_PUBLIC));
}

RUN(cmocka_unit_test(pace_unknown), cmocka_unit_test(by_pace), cmocka_unit_test(recovers))
