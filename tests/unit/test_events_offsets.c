/* test_events_offsets.c - which offsets are committed, and again when nobody answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "events_internal.h"

#define TOPIC "events"

/* In the place of librdkafka's: what was asked for last. */
static struct {
	int calls;
	rd_kafka_resp_err_t error;
	int32_t partition;
	int64_t offset;
	int count;
} asked;

rd_kafka_resp_err_t
rd_kafka_commit(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *list, int async)
{
	(void)rk;
	assert_int_equal(async, 1);
	asked.calls++;
	asked.count = list->cnt;
	asked.partition = list->elems[0].partition;
	asked.offset = list->elems[0].offset;
	return asked.error;
}

static struct events_offsets *two_partitions(void)
{
	struct events_offsets *offsets = events_offsets_new(NULL, TOPIC);

	asked = (typeof(asked)){0};
	events_offsets_add(offsets, 0);
	events_offsets_add(offsets, 1);
	return offsets;
}

/* Asks at `now_ms`; how often that was in all. */
static int ask(struct events_offsets *offsets, int64_t now_ms)
{
	events_offsets_commit(offsets, now_ms);
	return asked.calls;
}

static bool answer(struct events_offsets *offsets, int64_t zero, int64_t one,
		   rd_kafka_resp_err_t error, rd_kafka_resp_err_t of_one)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);
	bool all;

	if (zero >= 0)
		rd_kafka_topic_partition_list_add(list, TOPIC, 0)->offset = zero;
	if (one >= 0) {
		rd_kafka_topic_partition_list_add(list, TOPIC, 1)->offset = one;
		list->elems[list->cnt - 1].err = of_one;
	}
	all = events_offsets_committed(offsets, list, error);
	rd_kafka_topic_partition_list_destroy(list);
	return all;
}

static void what_is_done_is_committed_once(void **state)
{
	struct events_offsets *offsets = two_partitions();

	(void)state;
	assert_int_equal(ask(offsets, 0), 0);
	events_offsets_done(offsets, 1, 7);
	assert_int_equal(ask(offsets, 500), 1);
	assert_int_equal(asked.partition, 1);
	assert_int_equal(asked.offset, 7);
	assert_int_equal(ask(offsets, 1000), 1);
	assert_true(answer(offsets, -1, 7, 0, 0));
	assert_int_equal(ask(offsets, 60000), 1);
	events_offsets_done(offsets, 1, 9);
	events_offsets_done(offsets, 0, 3);
	assert_int_equal(ask(offsets, 60500), 2);
	assert_int_equal(asked.count, 2);
	events_offsets_free(offsets);
}

static void a_failure_is_due_again(void **state)
{
	struct events_offsets *offsets = two_partitions();

	(void)state;
	events_offsets_done(offsets, 0, 5);
	events_offsets_done(offsets, 1, 7);
	assert_int_equal(ask(offsets, 0), 1);
	assert_false(answer(offsets, 5, 7, RD_KAFKA_RESP_ERR__WAIT_COORD, 0));
	assert_int_equal(ask(offsets, 500), 2);
	assert_int_equal(asked.count, 2);
	/* One of them was taken. */
	assert_false(answer(offsets, 5, 7, 0, RD_KAFKA_RESP_ERR_NOT_COORDINATOR));
	assert_int_equal(ask(offsets, 1000), 3);
	assert_int_equal(asked.count, 1);
	assert_int_equal(asked.partition, 1);
	asked.error = RD_KAFKA_RESP_ERR__STATE;
	assert_true(answer(offsets, -1, 6, 0, 0)); /* late, of an earlier one */
	events_offsets_done(offsets, 1, 8);
	assert_int_equal(ask(offsets, 1500), 4);
	asked.error = 0;
	assert_int_equal(ask(offsets, 2000), 5);
	events_offsets_free(offsets);
}

/* Nothing else is done meanwhile, so nothing else would ever commit it. */
static void an_answer_that_never_comes_is_not_awaited(void **state)
{
	struct events_offsets *offsets = two_partitions();

	(void)state;
	events_offsets_done(offsets, 0, 5);
	assert_int_equal(ask(offsets, 0), 1);
	assert_int_equal(ask(offsets, 4500), 1);
	assert_int_equal(ask(offsets, 5000), 2);
	assert_int_equal(asked.offset, 5);
	assert_true(answer(offsets, 5, -1, 0, 0));
	assert_int_equal(ask(offsets, 60000), 2);
	events_offsets_free(offsets);
}

static void what_was_taken_away_is_not_committed(void **state)
{
	struct events_offsets *offsets = two_partitions();

	(void)state;
	events_offsets_done(offsets, 0, 5);
	events_offsets_drop(offsets);
	assert_int_equal(ask(offsets, 0), 0);
	assert_true(answer(offsets, 5, -1, 0, 0));
	events_offsets_add(offsets, 0);
	events_offsets_done(offsets, 0, 3);
	assert_int_equal(ask(offsets, 500), 1);
	/* Its owner before us was further: going back would be wrong. */
	assert_true(answer(offsets, 5, -1, 0, 0));
	events_offsets_done(offsets, 0, 4);
	assert_int_equal(ask(offsets, 1000), 1);
	events_offsets_free(offsets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_is_committed_once),
		cmocka_unit_test(a_failure_is_due_again),
		cmocka_unit_test(an_answer_that_never_comes_is_not_awaited),
		cmocka_unit_test(what_was_taken_away_is_not_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
