/* test_rebalance.c - what is shown while partitions come and go. */
/* link: processor/rebalance.c processor/engine_metrics.c */
/* link: processor/order_event.c processor/order_scan.c */
#include "check.h"

#include "metrics.h"
#include "processor/engine_internal.h"

#define PARTITIONS 2

static struct fixture {
	struct metrics *metrics;
	struct partition part[PARTITIONS];
	struct engine engine;
	bool restores; /* the next restore succeeds */
} fix;

/* ---- in the place of librdkafka's ---- */

int rd_kafka_assignment_lost(rd_kafka_t *rk)
{
	(void)rk;
	return 0;
}

rd_kafka_resp_err_t rd_kafka_assign(rd_kafka_t *rk,
				    const rd_kafka_topic_partition_list_t *list)
{
	(void)rk;
	(void)list;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- the engine's other files ---- */

bool restore(struct engine *engine, rd_kafka_topic_partition_list_t *list)
{
	metric_set(engine->metrics.restoring, fix.restores ? 0 : list->cnt);
	return fix.restores;
}

bool engine_running(const struct engine *engine)
{
	(void)engine;
	return true;
}

bool engine_fail(struct engine *engine, const char *fmt, ...)
{
	(void)engine;
	fail_msg("%s", fmt);
	return false;
}

void engine_turned(struct engine *engine)
{
	(void)engine;
}

int64_t engine_show(struct engine *engine)
{
	(void)engine;
	return 0;
}

void txn_commit(struct engine *engine, bool rewind)
{
	(void)engine;
	(void)rewind;
}

void txn_abort(struct engine *engine, bool rewind)
{
	(void)engine;
	(void)rewind;
}

void state_free(struct state *state)
{
	(void)state;
}

/* ---- tests ---- */

static int begin(void **state)
{
	(void)state;
	fix = (struct fixture){.metrics = metrics_new()};
	fix.engine.part = fix.part;
	fix.engine.partitions = PARTITIONS;
	engine_metrics_init(&fix.engine.metrics, fix.metrics);
	return 0;
}

static int end(void **state)
{
	(void)state;
	metrics_free(fix.metrics);
	return 0;
}

static void assign(int count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	for (int i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, "orders-events", i);
	on_rebalance(NULL, RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, list, &fix.engine);
	rd_kafka_topic_partition_list_destroy(list);
}

static int64_t restoring(void)
{
	return metric_get(fix.engine.metrics.restoring);
}

static void restore_that_failed_stays_shown(void **state)
{
	(void)state;
	assign(2);
	assert_int_equal(restoring(), 2);
	fix.restores = true;
	assign(2);
	assert_int_equal(restoring(), 0);
}

/* Begun again, it came last and all partitions were others' already. */
static void nothing_is_restored_without_partitions(void **state)
{
	(void)state;
	assign(2);
	assert_int_equal(restoring(), 2);
	assign(0);
	assert_int_equal(restoring(), 0);
}

RUN(cmocka_unit_test_setup_teardown(restore_that_failed_stays_shown, begin, end),
    cmocka_unit_test_setup_teardown(nothing_is_restored_without_partitions, begin, end))
