/*
 * events_pump.c - takes messages from librdkafka and hands them out in batches.
 *
 *   events_pump -> collect() -> deliver() -> on_batch … events_consumer_done()
 *
 * The wake-up comes only when the queue turns from empty to non-empty, so the
 * queue is emptied; when the budget of a turn is used up, by a timer in the next one.
 * event_active() would run the same callback again in this turn, and nothing else.
 */
#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

#include "events_consumer_internal.h"
#include "log.h"
#include "timeutil.h"

#define DEFAULT_BATCH 200
#define TURN_BUDGET   500 /* messages, so that HTTP stays responsive */
#define RETRY_MIN_MS  100
#define RETRY_MAX_MS  5000

/* ---- batches ---- */

static void batch_clear(struct batch *batch)
{
	for (size_t i = 0; i < batch->n; i++)
		rd_kafka_message_destroy(batch->msgs[i]);
	batch->n = 0;
}

static void set_state(struct events_consumer *consumer, enum batch_state state)
{
	consumer->state = state;
	if (state == BATCH_NONE) {
		batch_clear(&consumer->out);
		consumer->stale = false;
	}
}

static void unpause(struct events_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *list;

	if (!consumer->paused)
		return;
	list = events_offsets_list(consumer->offsets);
	rd_kafka_resume_partitions(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	consumer->paused = false;
}

static void settle_ok(struct events_consumer *consumer)
{
	for (size_t i = 0; i < consumer->out.n && !consumer->stale; i++) {
		const rd_kafka_message_t *m = consumer->out.msgs[i];
		events_offsets_done(consumer->offsets, m->partition, m->offset + 1);
	}
	consumer->retry_ms = RETRY_MIN_MS;
	set_state(consumer, BATCH_NONE);
	unpause(consumer);
}

static void settle(struct events_consumer *consumer, bool ok)
{
	if (ok || consumer->stale) {
		settle_ok(consumer);
		return;
	}
	metric_add(consumer->m_again, 1);
	set_state(consumer, BATCH_WAITING);
	loop_timer_start(consumer->retry, consumer->retry_ms);
	consumer->retry_ms *= 2;
	if (consumer->retry_ms > RETRY_MAX_MS)
		consumer->retry_ms = RETRY_MAX_MS;
}

static void fill_views(struct events_consumer *consumer)
{
	for (size_t i = 0; i < consumer->out.n; i++) {
		const rd_kafka_message_t *m = consumer->out.msgs[i];
		struct events_message *view = &consumer->views[i];

		view->topic = consumer->topic_name;
		view->partition = m->partition;
		view->offset = m->offset;
		view->timestamp_ms = rd_kafka_message_timestamp(m, NULL);
		view->key = (struct str){m->key, m->key_len};
		view->value = (struct str){m->payload, m->len};
	}
}

static void hand_out(struct events_consumer *consumer)
{
	set_state(consumer, BATCH_OUT);
	consumer->in_callback = true;
	consumer->done_inside = false;
	consumer->cfg.on_batch(consumer, consumer->views, consumer->out.n,
			       consumer->cfg.arg);
	consumer->in_callback = false;
	if (consumer->done_inside)
		settle(consumer, consumer->done_ok);
}

static void deliver(struct events_consumer *consumer)
{
	struct batch empty = consumer->out;

	consumer->out = consumer->next;
	consumer->next = empty;
	consumer->out_since_ms = time_mono_ms();
	metric_add(consumer->m_messages, (int64_t)consumer->out.n);
	fill_views(consumer);
	hand_out(consumer);
}

void events_consumer_done(struct events_consumer *consumer, bool ok)
{
	assert(consumer->state == BATCH_OUT);
	if (consumer->in_callback) {
		/* The messages stay valid until the callback has returned. */
		consumer->done_inside = true;
		consumer->done_ok = ok;
		return;
	}
	settle(consumer, ok);
	loop_timer_start(consumer->more, 0);
}

/* ---- taking messages ---- */

static rd_kafka_message_t *poll_one(struct events_consumer *consumer)
{
	if (consumer->cfg.start == EVENTS_GROUP)
		return rd_kafka_consumer_poll(consumer->rk, 0);
	return rd_kafka_consume_queue(consumer->queue, 0);
}

/* Errors come through the same queue as messages. */
static void take(struct events_consumer *consumer, rd_kafka_message_t *m)
{
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		events_offsets_taken(consumer->offsets, m->partition, m->offset + 1);
		consumer->next.msgs[consumer->next.n++] = m;
		return;
	}
	if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		events_offsets_ended(consumer->offsets, m->partition, m->offset);
		/* Of all partitions only the probe knows: it asks every leader. */
		if (consumer->cfg.start == EVENTS_GROUP)
			events_set_reachable(consumer, true);
	} else {
		events_note_trouble(consumer, m->err);
		log_warn("kafka consumer", LOG_STR("topic", consumer->topic_name),
			 LOG_INT("partition", m->partition),
			 LOG_STR("why", rd_kafka_message_errstr(m)),
			 LOG_STR("hint", events_hint(m->err)));
	}
	rd_kafka_message_destroy(m);
}

/* Fills `next`; true when there is nothing left to take. */
static bool collect(struct events_consumer *consumer)
{
	while (consumer->next.n < consumer->cfg.max_batch) {
		rd_kafka_message_t *m = poll_one(consumer);
		if (!m)
			return true;
		take(consumer, m);
	}
	return false;
}

static void check_caught_up(struct events_consumer *consumer)
{
	if (consumer->caught_up || consumer->cfg.start != EVENTS_EVERYTHING ||
	    consumer->state != BATCH_NONE || consumer->next.n > 0 ||
	    !events_offsets_all_ended(consumer->offsets))
		return;
	consumer->caught_up = true;
	log_info("caught up", LOG_STR("topic", consumer->topic_name),
		 LOG_INT("partitions", consumer->started));
	/* What was read ahead of us until now will not be needed again. */
	malloc_trim(0);
	if (consumer->cfg.on_caught_up)
		consumer->cfg.on_caught_up(consumer->cfg.arg);
}

void events_pump(void *arg)
{
	struct events_consumer *consumer = arg;
	size_t taken = 0;
	bool drained = false;

	while (consumer->state == BATCH_NONE && !drained && taken < TURN_BUDGET) {
		drained = collect(consumer);
		taken += consumer->next.n;
		if (consumer->next.n > 0)
			deliver(consumer);
	}
	if (consumer->state == BATCH_NONE && !drained)
		loop_timer_start(consumer->more, 0);
	check_caught_up(consumer);
}

void events_pump_again(void *arg)
{
	struct events_consumer *consumer = arg;

	hand_out(consumer);
	loop_timer_start(consumer->more, 0);
}

void events_pump_idle(struct events_consumer *consumer)
{
	if (!consumer->paused) {
		rd_kafka_topic_partition_list_t *list =
			events_offsets_list(consumer->offsets);
		rd_kafka_pause_partitions(consumer->rk, list);
		rd_kafka_topic_partition_list_destroy(list);
		consumer->paused = true;
	}
	collect(consumer);
}

void events_pump_drop(struct events_consumer *consumer)
{
	unpause(consumer);
	batch_clear(&consumer->next);
	if (consumer->state == BATCH_OUT)
		consumer->stale = true;
	if (consumer->state == BATCH_WAITING) {
		loop_timer_stop(consumer->retry);
		set_state(consumer, BATCH_NONE);
	}
}

void events_pump_init(struct events_consumer *consumer)
{
	if (consumer->cfg.max_batch == 0)
		consumer->cfg.max_batch = DEFAULT_BATCH;
	consumer->retry_ms = RETRY_MIN_MS;
	consumer->out.msgs = xcalloc(consumer->cfg.max_batch, sizeof(void *));
	consumer->next.msgs = xcalloc(consumer->cfg.max_batch, sizeof(void *));
	consumer->views = xcalloc(consumer->cfg.max_batch, sizeof(*consumer->views));
}

void events_pump_fini(struct events_consumer *consumer)
{
	batch_clear(&consumer->out);
	batch_clear(&consumer->next);
	free(consumer->out.msgs);
	free(consumer->next.msgs);
	free(consumer->views);
}
