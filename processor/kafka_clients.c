/*
 * kafka_clients.c - the transactional producer, the consumer, the readers of a
 * restore: how they are set up, and what must be true of the topics.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_internal.h"
#include "events_internal.h"
#include "log.h"
#include "timeutil.h"

#define TOPIC_WAIT_MS 2000
#define RETRY_MS      500
/* Larger than the time-out of any call, or an outage would end a transaction
 * that is still being committed; the price is only paid by readers after a
 * slot has gone for good. */
#define TXN_TIMEOUT "60000"

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

typedef const char *const property[2];

/*
 * socket.timeout: a broker that hangs is noticed before the watchdog takes the
 * call that waits for it for a stuck engine; by default the library waits as long
 * as a transaction lives, whatever the time-out of the call.
 * linger: a commit writes all its records at once and then waits for them.
 * retry.backoff: while the brokers still finish the transaction before, they refuse
 * the offsets of the next; 100 ms, the default, would be longer than a transaction.
 * Queues: what a transaction of MAX_TXN_RECORDS may produce.
 */
static property producer_properties[] = {
	{"transaction.timeout.ms", TXN_TIMEOUT},
	{"socket.timeout.ms", "10000"},
	{"linger.ms", "1"},
	{"retry.backoff.ms", "5"},
	{"compression.codec", "lz4"},
	{"queue.buffering.max.messages", "200000"},
	{"queue.buffering.max.kbytes", "65536"},
	{NULL, NULL},
};

/*
 * auto.offset.reset=error: an offset that is gone means that events were lost;
 * a first start names the beginning itself.
 * range: the cooperative assignor of this librdkafka has known faults.
 * queued, fetch.max: what is read ahead is bounded by kilobytes; see prefetch.c. An
 * answer may be several times larger in memory, because events compress well.
 * fetch.min, fetch.wait: a fetch costs a broker as much with one event as with a
 * hundred, so it waits for 64 KB, or 5 ms; less than what a transaction waits.
 */
static property consumer_properties[] = {
	{"isolation.level", "read_committed"},
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"auto.offset.reset", "error"},
	{"partition.assignment.strategy", "range"},
	{"session.timeout.ms", "10000"},
	{"heartbeat.interval.ms", "1000"},
	{"queued.min.messages", "1000000"},
	{"queued.max.messages.kbytes", TEXT(PREFETCH_KBYTES)},
	{"fetch.max.bytes", "2097152"},
	{"fetch.min.bytes", "65536"},
	{"fetch.wait.max.ms", "5"},
	{"check.crcs", "true"},
	{NULL, NULL},
};

static property reader_properties[] = {
	{"socket.timeout.ms", "10000"},
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"auto.offset.reset", "error"},
	{"enable.partition.eof", "true"},
	{"queued.min.messages", "1000000"},
	{"queued.max.messages.kbytes", TEXT(PREFETCH_KBYTES)},
	{"fetch.max.bytes", "2097152"},
	{"fetch.wait.max.ms", "20"},
	{"check.crcs", "true"},
	{NULL, NULL},
};

/* With a delivery callback commits take 2.5 ms instead of 11: the library
 * waits in larger steps without one. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (msg->err && msg->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
	    msg->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		log_warn("result not delivered",
			 LOG_STR("why", rd_kafka_err2str(msg->err)),
			 LOG_STR("hint", events_hint(msg->err)));
}

static rd_kafka_t *producer_new(struct engine *engine, struct err *err)
{
	rd_kafka_conf_t *conf = events_conf(&engine->cfg->events, engine->id, err);

	if (!conf)
		return NULL;
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	if (events_set(conf, "transactional.id", engine->id, err) &&
	    events_set_all(conf, producer_properties, err))
		return events_client_new(RD_KAFKA_PRODUCER, conf, err);
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static rd_kafka_t *consumer_new(struct engine *engine, struct err *err)
{
	rd_kafka_conf_t *conf = events_conf(&engine->cfg->events, engine->id, err);
	char poll_ms[24];

	if (!conf)
		return NULL;
	/* A restore runs inside a poll. */
	snprintf(poll_ms, sizeof(poll_ms), "%" PRId64,
		 engine->cfg->restore_timeout_ms + 60000);
	rd_kafka_conf_set_opaque(conf, engine);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	if (events_set(conf, "group.id", engine->cfg->group, err) &&
	    events_set(conf, "group.instance.id", engine->id, err) &&
	    events_set(conf, "max.poll.interval.ms", poll_ms, err) &&
	    events_set_all(conf, consumer_properties, err))
		return events_client_new(RD_KAFKA_CONSUMER, conf, err);
	rd_kafka_conf_destroy(conf);
	return NULL;
}

rd_kafka_t *clients_reader(struct engine *engine, const char *isolation)
{
	struct err err;
	rd_kafka_conf_t *conf = events_conf(&engine->cfg->events, engine->id, &err);
	rd_kafka_t *reader = NULL;

	/* The library wants a group even of a consumer that never joins one. */
	if (conf && events_set(conf, "group.id", engine->id, &err) &&
	    events_set(conf, "isolation.level", isolation, &err) &&
	    events_set_all(conf, reader_properties, &err))
		reader = events_client_new(RD_KAFKA_CONSUMER, conf, &err);
	else if (conf)
		rd_kafka_conf_destroy(conf);
	if (!reader)
		engine_fail(engine, "restore: %s", err.text);
	return reader;
}

bool clients_new(struct engine *engine, struct err *err)
{
	const struct settings *cfg = engine->cfg;

	engine->producer = producer_new(engine, err);
	if (!engine->producer)
		return false;
	engine->consumer = consumer_new(engine, err);
	if (!engine->consumer)
		return false;
	rd_kafka_poll_set_consumer(engine->consumer);
	engine->topic_orders =
		rd_kafka_topic_new(engine->producer, cfg->orders_topic, NULL);
	engine->topic_results =
		rd_kafka_topic_new(engine->producer, cfg->results_topic, NULL);
	engine->topic_dlq = rd_kafka_topic_new(engine->producer, cfg->dlq_topic, NULL);
	if (engine->topic_orders && engine->topic_results && engine->topic_dlq)
		return true;
	return err_set(err, ERR_INPUT, "kafka client: bad name of a topic");
}

void clients_free(struct engine *engine)
{
	if (engine->topic_orders)
		rd_kafka_topic_destroy(engine->topic_orders);
	if (engine->topic_results)
		rd_kafka_topic_destroy(engine->topic_results);
	if (engine->topic_dlq)
		rd_kafka_topic_destroy(engine->topic_dlq);
	if (engine->consumer)
		rd_kafka_destroy_flags(engine->consumer,
				       RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	if (engine->producer)
		rd_kafka_destroy(engine->producer);
	engine->topic_orders = engine->topic_results = engine->topic_dlq = NULL;
	engine->consumer = engine->producer = NULL;
}

/* ---- topics ---- */

/* 0: not known now; `waits` says why. */
static int32_t count_partitions(struct engine *engine, rd_kafka_topic_t *topic)
{
	const struct rd_kafka_metadata *meta = NULL;
	rd_kafka_resp_err_t error =
		rd_kafka_metadata(engine->producer, 0, topic, &meta, TOPIC_WAIT_MS);
	int32_t count = 0;

	engine_turned(engine);
	if (!error && meta->topic_cnt == 1) {
		error = meta->topics[0].err;
		count = error ? 0 : meta->topics[0].partition_cnt;
		engine_contact(engine);
	}
	if (error && engine->partitions == 0 &&
	    atomic_exchange(&engine->waits, events_hint(error)) != events_hint(error))
		log_warn("waiting for Kafka",
			 LOG_STR("topic", rd_kafka_topic_name(topic)),
			 LOG_STR("why", rd_kafka_err2str(error)),
			 LOG_STR("hint", events_hint(error)));
	if (meta)
		rd_kafka_metadata_destroy(meta);
	return count;
}

bool clients_check_topics(struct engine *engine)
{
	const struct settings *cfg = engine->cfg;
	int32_t orders = count_partitions(engine, engine->topic_orders);
	int32_t results = orders ? count_partitions(engine, engine->topic_results) : 0;
	int32_t dlq = results ? count_partitions(engine, engine->topic_dlq) : 0;

	if (!dlq)
		return false;
	if (orders != results)
		return engine_fail(engine,
				   "%s has %" PRId32 " partitions and %s has %" PRId32
				   ": they must be the same number",
				   cfg->orders_topic, orders, cfg->results_topic,
				   results);
	if (engine->partitions && orders != engine->partitions)
		return engine_fail(engine,
				   "%s changed from %" PRId32 " to %" PRId32
				   " partitions: users would be split",
				   cfg->orders_topic, engine->partitions, orders);
	engine->dlq_partitions = dlq;
	if (engine->partitions == 0) {
		engine->part = xcalloc((size_t)orders, sizeof(*engine->part));
		engine->partitions = orders;
	}
	return true;
}

/* ---- getting going ---- */

static void pause_ms(struct engine *engine, int64_t ms)
{
	int64_t until = time_mono_ms() + ms;

	while (engine_running(engine) && time_mono_ms() < until)
		rd_kafka_poll(engine->producer, 50);
}

/* Fences whoever used this slot before and ends what it left open. */
static bool take_slot(struct engine *engine)
{
	while (engine_running(engine)) {
		rd_kafka_error_t *error =
			rd_kafka_init_transactions(engine->producer, ENGINE_CALL_MS);
		bool again = error && rd_kafka_error_is_retriable(error);

		engine_turned(engine);
		if (!error)
			return true;
		atomic_store(&engine->waits, "the broker does not start transactions");
		log_warn("init_transactions",
			 LOG_STR("why", rd_kafka_error_string(error)));
		if (!again)
			engine_fatal(engine, "init_transactions", error);
		rd_kafka_error_destroy(error);
		pause_ms(engine, RETRY_MS);
	}
	return false;
}

static bool subscribe(struct engine *engine)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t error;

	rd_kafka_topic_partition_list_add(list, engine->cfg->orders_topic,
					  RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(engine->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (error)
		return engine_fail(engine, "subscribe: %s", rd_kafka_err2str(error));
	return true;
}

bool clients_connect(struct engine *engine)
{
	while (engine_running(engine) && !clients_check_topics(engine))
		pause_ms(engine, RETRY_MS);
	if (!take_slot(engine) || !subscribe(engine))
		return false;
	atomic_store(&engine->waits, NULL);
	return true;
}
