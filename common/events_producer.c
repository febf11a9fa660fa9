/*
 * events_producer.c - publishes batches and knows what became of each record.
 *
 * The producer is idempotent and without gaps: when a record fails, those behind
 * it fail too, so the order within a partition holds.  The price is that a
 * failure may be fatal to the client; then, or when a deadline leaves records in
 * flight, the client is thrown away and a new one made.  Records in flight may
 * arrive all the same: readers know a repeated record by its event id.
 */
#include <stdio.h>
#include <stdlib.h>

#include "events.h"
#include "events_internal.h"
#include "failpoint.h"
#include "log.h"
#include "timeutil.h"

#define POLL_MS     100
#define MIN_WAIT_MS 1

struct events_producer {
	struct events_settings cfg; /* borrows the strings of the program's settings */
	char *client_id;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic; /* the one whose metadata are known; NULL: none */
	size_t in_flight;
	rd_kafka_resp_err_t trouble; /* of a record, during one send */
	bool any_never;              /* a record of this send can never be delivered */
	bool too_large;              /* a broker said so of a whole batch */
	struct metric *m_delivered, *m_failed, *m_restarts;
};

static const char *const conf_table[][2] = {
	{"enable.idempotence", "true"},
	{"enable.gapless.guarantee", "true"},
	{"acks", "all"},
	{"partitioner", "murmur2_random"},
	{"compression.codec", "lz4"},
	/* Long enough for the records of a batch to share requests. */
	{"linger.ms", "0.5"},
	/* A send has its own deadline. A message that times out by itself would
	 * be a gap, and fatal. */
	{"message.timeout.ms", "0"},
	{"queue.buffering.max.kbytes", "16384"},
	{NULL, NULL},
};

/* Delivery report; `_private` is the record. */
static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
	struct events_producer *producer = arg;
	struct events_record *record = m->_private;

	(void)rk;
	producer->in_flight--;
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		record->delivered = true;
		return;
	}
	if (m->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		producer->too_large = true;
	if (producer->trouble == RD_KAFKA_RESP_ERR_NO_ERROR)
		producer->trouble = m->err;
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *arg)
{
	(void)arg;
	if (error == RD_KAFKA_RESP_ERR__FATAL)
		log_warn("kafka producer failed", LOG_STR("client", rd_kafka_name(rk)),
			 LOG_STR("why", reason));
}

static bool client_new(struct events_producer *producer, struct err *err)
{
	rd_kafka_conf_t *conf = events_conf(&producer->cfg, producer->client_id, err);

	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_error_cb(conf, on_error);
	/* Without a delivery callback librdkafka waits in steps of 10 ms. */
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivered);
	if (!events_set_all(conf, conf_table, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	producer->rk = events_client_new(RD_KAFKA_PRODUCER, conf, err);
	return producer->rk != NULL;
}

/* No report of the old client comes after this. */
static void client_drop(struct events_producer *producer)
{
	if (producer->rk) {
		if (producer->topic)
			rd_kafka_topic_destroy(producer->topic);
		rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE |
						     RD_KAFKA_PURGE_F_INFLIGHT |
						     RD_KAFKA_PURGE_F_NON_BLOCKING);
		rd_kafka_destroy(producer->rk);
	}
	producer->rk = NULL;
	producer->topic = NULL;
	producer->in_flight = 0;
}

struct events_producer *events_producer_new(const struct events_settings *cfg,
					    const char *client_id,
					    struct metrics *metrics, struct err *err)
{
	struct events_producer *producer = xcalloc(1, sizeof(*producer));

	producer->cfg = *cfg;
	producer->client_id = xstrdup(client_id);
	producer->m_delivered =
		metrics_counter(metrics, "shop_kafka_delivered_messages_total",
				"messages a broker has confirmed", NULL);
	producer->m_failed =
		metrics_counter(metrics, "shop_kafka_delivery_failures_total",
				"messages not confirmed in time", NULL);
	producer->m_restarts =
		metrics_counter(metrics, "shop_kafka_producer_restarts_total",
				"producers replaced by a new one", NULL);
	if (client_new(producer, err))
		return producer;
	events_producer_free(producer);
	return NULL;
}

void events_producer_free(struct events_producer *producer)
{
	if (!producer)
		return;
	client_drop(producer);
	free(producer->client_id);
	free(producer);
}

static int left_ms(int64_t deadline)
{
	int64_t left = deadline - time_mono_ms();

	return left < MIN_WAIT_MS ? MIN_WAIT_MS : (int)left;
}

/* The first record of an unknown topic waits up to a second for metadata unless
 * they are asked for. */
static bool know_topic(struct events_producer *producer, const char *topic,
		       int64_t deadline, struct err *err)
{
	const struct rd_kafka_metadata *answer = NULL;
	rd_kafka_topic_t *handle;
	rd_kafka_resp_err_t error;

	if (producer->topic && strcmp(rd_kafka_topic_name(producer->topic), topic) == 0)
		return true;
	handle = rd_kafka_topic_new(producer->rk, topic, NULL);
	if (!handle)
		return err_set(err, ERR_INTERNAL, "kafka topic '%s': %s", topic,
			       rd_kafka_err2str(rd_kafka_last_error()));
	error = rd_kafka_metadata(producer->rk, 0, handle, &answer, left_ms(deadline));
	if (!error && answer->topic_cnt == 1)
		error = answer->topics[0].err;
	if (answer)
		rd_kafka_metadata_destroy(answer);
	if (error) {
		rd_kafka_topic_destroy(handle);
		return err_set(err, ERR_BUSY, "kafka topic '%s': %s", topic,
			       events_hint(error));
	}
	if (producer->topic)
		rd_kafka_topic_destroy(producer->topic);
	producer->topic = handle;
	return true;
}

static rd_kafka_headers_t *make_headers(const struct events_record *record)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);

	if (record->event_id)
		rd_kafka_header_add(headers, "event_id", -1, record->event_id, -1);
	if (record->traceparent.at)
		rd_kafka_header_add(headers, "traceparent", -1, record->traceparent.at,
				    (ssize_t)record->traceparent.len);
	return headers;
}

/* Hands one record to librdkafka, which copies it. */
static rd_kafka_resp_err_t enqueue(struct events_producer *producer,
				   struct events_record *record)
{
	rd_kafka_headers_t *headers = make_headers(record);
	rd_kafka_resp_err_t error = rd_kafka_producev(
		producer->rk, RD_KAFKA_V_RKT(producer->topic),
		RD_KAFKA_V_KEY(record->key.at, record->key.len),
		RD_KAFKA_V_VALUE((void *)record->value.at, record->value.len),
		RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(record),
		RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

	if (error)
		rd_kafka_headers_destroy(headers);
	else
		producer->in_flight++;
	return error;
}

/* Is there an undeliverable record of the same key before this one? Then it has
 * to wait, or it would overtake. */
static bool is_blocked(const struct events_producer *producer,
		       const struct events_record *records, size_t i)
{
	for (size_t k = 0; producer->any_never && k < i; k++)
		if (records[k].never && str_eq(records[k].key, records[i].key))
			return true;
	return false;
}

/* false: stop handing over. */
static bool enqueue_or_wait(struct events_producer *producer,
			    struct events_record *record, int64_t deadline)
{
	rd_kafka_resp_err_t error = enqueue(producer, record);

	while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL && time_mono_ms() < deadline) {
		rd_kafka_poll(producer->rk, POLL_MS);
		error = enqueue(producer, record);
	}
	record->never = error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
	producer->any_never |= record->never;
	if (error && !record->never)
		producer->trouble = error;
	return error == RD_KAFKA_RESP_ERR_NO_ERROR || record->never;
}

static bool is_fatal(struct events_producer *producer)
{
	char text[128];

	return rd_kafka_fatal_error(producer->rk, text, sizeof(text)) !=
	       RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Sends and waits; afterwards nothing is in flight. */
static bool send_all(struct events_producer *producer, const char *topic,
		     struct events_record *records, size_t n, int64_t deadline,
		     struct err *err)
{
	producer->trouble = RD_KAFKA_RESP_ERR_NO_ERROR;
	producer->too_large = false;
	if (!producer->rk && !client_new(producer, err))
		return false;
	if (!know_topic(producer, topic, deadline, err))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!records[i].delivered && !is_blocked(producer, records, i) &&
		    !enqueue_or_wait(producer, &records[i], deadline))
			break;
	/* Named after the only one who sends; its error: no report comes in time. */
	if (FAILPOINT("relay_produced"))
		deadline = 0;
	while (producer->in_flight > 0 && time_mono_ms() < deadline) {
		int wait = left_ms(deadline);
		rd_kafka_poll(producer->rk, wait < POLL_MS ? wait : POLL_MS);
	}
	if (producer->in_flight > 0 && producer->trouble == RD_KAFKA_RESP_ERR_NO_ERROR)
		producer->trouble = RD_KAFKA_RESP_ERR__TIMED_OUT;
	if (producer->in_flight > 0 || is_fatal(producer)) {
		client_drop(producer);
		metric_add(producer->m_restarts, 1);
	}
	return true;
}

/* A broker refuses a request as a whole: find the record that is too large. */
static void send_singly(struct events_producer *producer, const char *topic,
			struct events_record *records, size_t n, int64_t deadline,
			struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (records[i].delivered || is_blocked(producer, records, i))
			continue;
		if (!send_all(producer, topic, &records[i], 1, deadline, err))
			return;
		if (producer->too_large)
			records[i].never = producer->any_never = true;
		else if (!records[i].delivered)
			return;
	}
}

static bool report(struct events_producer *producer, const struct events_record *records,
		   size_t n, struct err *err)
{
	size_t delivered = 0, never = 0;

	for (size_t i = 0; i < n; i++) {
		delivered += records[i].delivered;
		never += records[i].never;
	}
	metric_add(producer->m_delivered, (int64_t)delivered);
	metric_add(producer->m_failed, (int64_t)(n - delivered));
	if (delivered == n)
		return true;
	if (never > 0)
		return err_set(err, ERR_INPUT,
			       "%zu of %zu records are too large for kafka", never, n);
	return err_set(err, ERR_BUSY, "%zu of %zu records not delivered: %s",
		       n - delivered, n, events_hint(producer->trouble));
}

bool events_producer_send(struct events_producer *producer, const char *topic,
			  struct events_record *records, size_t n, int timeout_ms,
			  struct err *err)
{
	int64_t deadline = time_mono_ms() + timeout_ms;

	for (size_t i = 0; i < n; i++)
		records[i].delivered = records[i].never = false;
	producer->any_never = false;
	if (!send_all(producer, topic, records, n, deadline, err))
		return false;
	if (producer->too_large)
		send_singly(producer, topic, records, n, deadline, err);
	return report(producer, records, n, err);
}
