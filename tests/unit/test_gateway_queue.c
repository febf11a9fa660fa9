/* test_gateway_queue.c - who may wait for a connection, and who would wait too long. */
/* link: gateway/queue.c */
#include "check.h"

#include "client.h"
#include "queue.h"
#include "timeutil.h"

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
	static uint64_t now;

	if (queue->moves == 0)
		now = queue->since_us;
	for (unsigned i = 0; i < times; i++) {
		now += every_us;
		queue_moved(queue, now);
	}
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

/* Services work in batches: 64 at once, then nothing for 15 ms. */
static void batches(void **state)
{
	struct queue queue;

	(void)state;
	queue_init(&queue);
	for (int i = 0; i < 50; i++) {
		move(&queue, 63, 10);
		move(&queue, 1, 15000);
		queue.n = MAX - 1;
		assert_false(full(&queue, LISTENER_PUBLIC));
	}
	assert_in_range(queue.pace_us, 200, 300);
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
	move(&queue, 400, 500);
	queue.n = MAX - 1;
	assert_false(full(&queue, LISTENER_PUBLIC));
}

/* The database stood still for a moment.  Since then bursts of eight are served within
 * 15 ms, so no burst lasts long enough to be counted. */
static void recovers_by_short_bursts(void **state)
{
	struct queue queue;
	uint64_t now = 1000000;

	(void)state;
	queue_init(&queue);
	queue.pace_us = 100000;
	queue.paced_us = now;
	for (int burst = 0; burst < 2; burst++, now += 100000) {
		queue.since_us = now;
		for (queue.n = 8; queue.n > 0;) {
			queue.n--;
			queue_moved(&queue, now + 15000);
		}
	}
	assert_int_equal(queue.pace_us, 15000 / 8);
	queue.n = MAX - 1;
	assert_false(full(&queue, LISTENER_PUBLIC));
}

/* What a queue knew long ago does not refuse a burst that nobody has tried yet. */
static void old_pace_is_forgotten(void **state)
{
	struct client client = {.listener = LISTENER_PUBLIC};
	struct exchange x = {.client = &client};
	struct queue queue;

	(void)state;
	queue_init(&queue);
	queue.pace_us = 100000;
	queue.paced_us = time_mono_us() - 1000000;
	queue_join(&queue, &x, false);
	assert_int_equal(queue.pace_us, 100000); /* the rush may not be over */
	queue_leave(&queue, &x);
	queue.paced_us = time_mono_us() - 6000000;
	queue_join(&queue, &x, false);
	queue.n = MAX - 1;
	assert_false(full(&queue, LISTENER_PUBLIC));
}

RUN(cmocka_unit_test(pace_unknown), cmocka_unit_test(by_pace), cmocka_unit_test(batches),
    cmocka_unit_test(recovers), cmocka_unit_test(recovers_by_short_bursts),
    cmocka_unit_test(old_pace_is_forgotten))
