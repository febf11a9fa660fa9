/* test_consume.c - what becomes of the engine when its consumer reports an error. */
/* link: processor/consume.c processor/partitioner.c */
/* link: processor/order_event.c processor/order_scan.c */
/* link: processor/partition_state.c processor/user_state.c */
/* link: processor/window_state.c processor/seq_window.c */
#include "check.h"

#include <string.h>

#include "processor/engine_internal.h"

static char ended[256], begun_again[256];

/* ---- the engine's other files ---- */

bool engine_fail(struct engine *engine, const char *fmt, ...)
{
	va_list ap;

	(void)engine;
	va_start(ap, fmt);
	vsnprintf(ended, sizeof(ended), fmt, ap);
	va_end(ap);
	return false;
}

bool engine_again(struct engine *engine, const char *fmt, ...)
{
	va_list ap;

	(void)engine;
	va_start(ap, fmt);
	vsnprintf(begun_again, sizeof(begun_again), fmt, ap);
	va_end(ap);
	return false;
}

bool engine_fenced(struct engine *engine, const char *call, const char *why)
{
	(void)engine;
	(void)call;
	(void)why;
	return false;
}

bool txn_begin(struct engine *engine)
{
	(void)engine;
	return false;
}

void dlq_send(struct engine *engine, const rd_kafka_message_t *msg,
	      const struct reject *why, bool with_value)
{
	(void)engine;
	(void)msg;
	(void)why;
	(void)with_value;
}

/* ---- tests ---- */

/* The library has no answer to where the partition is to be read from `next` on. */
static void refuse_offset(int64_t next)
{
	static char topic[] = "orders-events";
	static char why[] = "Broker: Unknown topic or partition";
	const struct settings cfg = {.orders_topic = topic};
	struct partition part[2] = {{.next = 7}, {.next = next}};
	struct engine engine = {.cfg = &cfg, .part = part, .partitions = 2};
	rd_kafka_message_t msg = {.err = RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET,
				  .partition = 1,
				  .payload = why};

	ended[0] = begun_again[0] = '\0';
	consume(&engine, &msg);
}

static void counted_offset_that_is_gone_ends_it(void **state)
{
	(void)state;
	refuse_offset(0);
	assert_non_null(strstr(ended, "[1]: the committed offset does not exist"));
	assert_string_equal(begun_again, "");
	refuse_offset(5);
	assert_non_null(strstr(ended, "deleted by retention"));
}

static void beginning_that_is_not_found_is_asked_for_again(void **state)
{
	(void)state;
	refuse_offset(-1);
	assert_string_equal(ended, "");
	assert_string_equal(begun_again, "orders-events [1]: cannot find the beginning: "
					 "Broker: Unknown topic or partition");
}

RUN(cmocka_unit_test(counted_offset_that_is_gone_ends_it),
    cmocka_unit_test(beginning_that_is_not_found_is_asked_for_again))
