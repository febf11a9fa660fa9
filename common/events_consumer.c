/*
 * events_consumer.c - a Kafka consumer that lives on a libevent loop.
 *
 * librdkafka's threads fetch; an eventfd wakes the loop; events_pump.c hands out.
 * A batch that is not done stops that: a group member that does not poll is
 * thrown out, so meanwhile its partitions are paused and polled empty.
 *
 * A rebalance takes all partitions away (eager).  The batch that is out then may
 * still be finished by its owner, but its offsets are not ours to commit: the
 * next owner gets it again, as at-least-once allows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "events_consumer_internal.h"
#include "log.h"
#include "timeutil.h"

#define TICK_MS       250
#define COMMIT_MS     500
#define PROBE_SOON_MS 500
#define PROBE_MS      5000
#define HELD_LONG_MS  1000 /* then a batch counts as stuck */
#define CLOSE_MS      3000

static const char *const common_conf[][2] = {
	{"enable.auto.commit", "false"},
	{"enable.auto.offset.store", "false"},
	{"auto.offset.reset", "earliest"},
	{"isolation.level", "read_committed"},
	{"enable.partition.eof", "true"},
	{"allow.auto.create.topics", "false"},
	{"check.crcs", "true"},
	/* A full queue stops fetching for a whole second: let bytes be the limit. */
	{"queued.min.messages", "1000000"},
	{NULL, NULL},
};
/* What groups do here is not urgent to a quarter of a second, so brokers may gather
 * for that long: fewer, larger answers, and fewer transactions with what is in them. */
static const char *const group_conf[][2] = {
	{"fetch.min.bytes", "262144"},
	{"fetch.wait.max.ms", "250"},
	{"partition.assignment.strategy", "range"},
	{"session.timeout.ms", "10000"},
	{"heartbeat.interval.ms", "1000"},
	{"max.poll.interval.ms", "60000"},
	{"queued.max.messages.kbytes", "8192"},
	{NULL, NULL},
};
static const char *const everything_conf[][2] = {
	{"fetch.min.bytes", "1"},
	{"fetch.wait.max.ms", "100"},
	{"queued.max.messages.kbytes", "32768"},
	{NULL, NULL},
};

/* ---- is the broker there? ---- */

void events_set_reachable(struct events_consumer *consumer, bool yes)
{
	if (yes)
		consumer->trouble = RD_KAFKA_RESP_ERR_NO_ERROR;
	if (consumer->reachable == yes)
		return;
	consumer->reachable = yes;
	metric_set(consumer->m_reachable, yes);
	if (yes)
		log_info("kafka reached", LOG_STR("topic", consumer->topic_name));
	else
		log_warn("kafka not reachable", LOG_STR("topic", consumer->topic_name),
			 LOG_STR("why", events_hint(consumer->trouble)));
}

/* A refused certificate or login is followed by "all brokers down", which says
 * less. */
void events_note_trouble(struct events_consumer *consumer, rd_kafka_resp_err_t error)
{
	bool vague = error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
		     error == RD_KAFKA_RESP_ERR__TRANSPORT ||
		     error == RD_KAFKA_RESP_ERR__TIMED_OUT;

	if (!vague || consumer->trouble == RD_KAFKA_RESP_ERR_NO_ERROR)
		consumer->trouble = error;
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *arg)
{
	struct events_consumer *consumer = arg;
	char text[256];

	events_note_trouble(consumer, error);
	if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		events_set_reachable(consumer, false);
	if (error != RD_KAFKA_RESP_ERR__FATAL)
		return;
	rd_kafka_fatal_error(rk, text, sizeof(text));
	log_error("kafka consumer failed", LOG_STR("topic", consumer->topic_name),
		  LOG_STR("why", text), LOG_STR("reason", reason));
}

/* Reads partitions that are not read yet: all at first, later added ones. */
static void start_partitions(struct events_consumer *consumer, int partitions)
{
	while (consumer->started < partitions) {
		int32_t p = consumer->started;
		if (rd_kafka_consume_start_queue(consumer->topic, p,
						 RD_KAFKA_OFFSET_BEGINNING,
						 consumer->queue) != 0) {
			log_error(
				"cannot read partition",
				LOG_STR("topic", consumer->topic_name),
				LOG_INT("partition", p),
				LOG_STR("why", rd_kafka_err2str(rd_kafka_last_error())));
			return;
		}
		events_offsets_add(consumer->offsets, p);
		consumer->started++;
	}
}

static void on_probed(rd_kafka_resp_err_t error, int partitions, const int64_t *ends,
		      void *arg)
{
	struct events_consumer *consumer = arg;

	consumer->probe_at_ms = time_mono_ms() + (error ? PROBE_SOON_MS : PROBE_MS);
	if (error)
		events_note_trouble(consumer, error);
	events_set_reachable(consumer, error == RD_KAFKA_RESP_ERR_NO_ERROR);
	if (consumer->cfg.start == EVENTS_EVERYTHING)
		start_partitions(consumer, partitions);
	for (int p = 0; p < partitions; p++)
		if (ends[p] >= 0)
			events_offsets_seen_end(consumer->offsets, p, ends[p]);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct events_consumer *consumer = arg;
	uint64_t count;

	(void)what;
	/* Empty when the tick calls. */
	if (read(fd, &count, sizeof(count)) < 0)
		count = 0;
	if (consumer->main)
		rd_kafka_poll(consumer->rk, 0);
	events_pump(consumer);
}

static void on_tick(void *arg)
{
	struct events_consumer *consumer = arg;
	int64_t now = time_mono_ms();

	loop_timer_start(consumer->tick, TICK_MS);
	if (now >= consumer->probe_at_ms)
		events_probe_start(consumer->probe);
	if (consumer->cfg.start == EVENTS_GROUP && now >= consumer->commit_at_ms) {
		consumer->commit_at_ms = now + COMMIT_MS;
		events_offsets_commit(consumer->offsets, now);
	}
	metric_set(consumer->m_lag, events_offsets_lag(consumer->offsets));
	if (consumer->state == BATCH_NONE)
		on_wake(consumer->wake_fd, EV_READ, consumer);
	else if (consumer->cfg.start == EVENTS_GROUP &&
		 now - consumer->out_since_ms > HELD_LONG_MS)
		events_pump_idle(consumer);
}

/* ---- the group ---- */

/* Runs inside a poll. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
			 rd_kafka_topic_partition_list_t *list, void *arg)
{
	struct events_consumer *consumer = arg;
	bool assign = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
	rd_kafka_resp_err_t error;

	log_info(assign ? "partitions assigned" : "partitions revoked",
		 LOG_STR("topic", consumer->topic_name),
		 LOG_INT("partitions", list->cnt));
	events_pump_drop(consumer);
	if (!assign && !rd_kafka_assignment_lost(rk))
		events_offsets_commit(consumer->offsets, time_mono_ms());
	events_offsets_drop(consumer->offsets);
	if (assign)
		events_offsets_assign(consumer->offsets, list);
	error = rd_kafka_assign(rk, assign ? list : NULL);
	if (error)
		log_error("cannot assign partitions",
			  LOG_STR("topic", consumer->topic_name),
			  LOG_STR("why", rd_kafka_err2str(error)));
}

static void on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t error,
			 rd_kafka_topic_partition_list_t *list, void *arg)
{
	struct events_consumer *consumer = arg;

	(void)rk;
	if (error == RD_KAFKA_RESP_ERR__NO_OFFSET ||
	    events_offsets_committed(consumer->offsets, list, error))
		return;
	metric_add(consumer->m_commit_failures, 1);
	log_warn("offsets not committed", LOG_STR("topic", consumer->topic_name),
		 LOG_STR("why", error ? rd_kafka_err2str(error)
				      : "refused for some partitions"));
}

/* ---- life ---- */

static void add_metrics(struct events_consumer *consumer, struct metrics *metrics)
{
	char labels[128];

	snprintf(labels, sizeof(labels), "topic=\"%s\"", consumer->topic_name);
	consumer->m_messages =
		metrics_counter(metrics, "shop_kafka_consumed_messages_total",
				"messages handed over", labels);
	consumer->m_again = metrics_counter(
		metrics, "shop_kafka_redelivered_batches_total",
		"batches that were refused and handed over again", labels);
	consumer->m_commit_failures =
		metrics_counter(metrics, "shop_kafka_commit_failures_total",
				"offset commits that failed", labels);
	consumer->m_lag = metrics_gauge(metrics, "shop_kafka_consumer_lag_messages",
					"messages not yet handed over", labels);
	consumer->m_reachable = metrics_gauge(metrics, "shop_kafka_reachable",
					      "1 while a broker answers", labels);
}

static bool configure(struct events_consumer *consumer, rd_kafka_conf_t *conf,
		      struct err *err)
{
	bool group = consumer->cfg.start == EVENTS_GROUP;

	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_error_cb(conf, on_error);
	if (group) {
		rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
		rd_kafka_conf_set_offset_commit_cb(conf, on_committed);
		if (!events_set(conf, "group.id", consumer->cfg.group, err))
			return false;
	}
	return events_set_all(conf, common_conf, err) &&
	       events_set_all(conf, group ? group_conf : everything_conf, err);
}

static bool make_client(struct events_consumer *consumer,
			const struct events_settings *cfg, struct err *err)
{
	bool group = consumer->cfg.start == EVENTS_GROUP;
	rd_kafka_conf_t *conf =
		events_conf(cfg, group ? consumer->cfg.group : "reader", err);

	if (!conf)
		return false;
	if (!configure(consumer, conf, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	consumer->rk = events_client_new(RD_KAFKA_CONSUMER, conf, err);
	if (!consumer->rk)
		return false;
	consumer->topic = rd_kafka_topic_new(consumer->rk, consumer->topic_name, NULL);
	if (!consumer->topic)
		return err_set(err, ERR_INPUT, "kafka topic '%s': %s",
			       consumer->topic_name,
			       rd_kafka_err2str(rd_kafka_last_error()));
	consumer->offsets = events_offsets_new(consumer->rk, consumer->topic_name);
	return true;
}

static bool make_wake(struct events_consumer *consumer, struct err *err)
{
	/* Non-blocking for both: a full pipe would hang a thread of librdkafka. */
	consumer->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (consumer->wake_fd < 0)
		return err_set(err, ERR_INTERNAL, "eventfd failed");
	consumer->wake = event_new(loop_base(consumer->loop), consumer->wake_fd,
				   EV_READ | EV_PERSIST, on_wake, consumer);
	if (!consumer->wake || event_add(consumer->wake, NULL) != 0)
		return err_set(err, ERR_INTERNAL, "event_new failed");
	return true;
}

static bool subscribe(struct events_consumer *consumer, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t error;

	rd_kafka_topic_partition_list_add(list, consumer->topic_name,
					  RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (error)
		return err_set(err, ERR_INTERNAL, "kafka subscribe: %s",
			       rd_kafka_err2str(error));
	return true;
}

static bool make_queues(struct events_consumer *consumer, struct err *err)
{
	static const uint64_t one = 1;

	if (consumer->cfg.start == EVENTS_GROUP) {
		rd_kafka_poll_set_consumer(consumer->rk);
		consumer->queue = rd_kafka_queue_get_consumer(consumer->rk);
	} else {
		consumer->queue = rd_kafka_queue_new(consumer->rk);
		consumer->main = rd_kafka_queue_get_main(consumer->rk);
		rd_kafka_queue_io_event_enable(consumer->main, consumer->wake_fd, &one,
					       sizeof(one));
	}
	rd_kafka_queue_io_event_enable(consumer->queue, consumer->wake_fd, &one,
				       sizeof(one));
	return consumer->cfg.start != EVENTS_GROUP || subscribe(consumer, err);
}

struct events_consumer *events_consumer_new(struct loop *loop,
					    const struct events_settings *cfg,
					    const struct events_consumer_config *c,
					    struct metrics *metrics, struct err *err)
{
	struct events_consumer *consumer = xcalloc(1, sizeof(*consumer));

	consumer->loop = loop;
	consumer->cfg = *c;
	consumer->topic_name = xstrdup(c->topic);
	consumer->wake_fd = -1;
	events_pump_init(consumer);
	consumer->tick = loop_timer_new(loop, on_tick, consumer);
	consumer->retry = loop_timer_new(loop, events_pump_again, consumer);
	consumer->more = loop_timer_new(loop, events_pump, consumer);
	add_metrics(consumer, metrics);
	if (make_client(consumer, cfg, err) && make_wake(consumer, err) &&
	    make_queues(consumer, err)) {
		bool all_leaders = c->start == EVENTS_EVERYTHING;

		consumer->probe = events_probe_new(loop, consumer->rk, consumer->topic,
						   all_leaders, on_probed, consumer, err);
		if (consumer->probe) {
			loop_timer_start(consumer->tick, 0);
			return consumer;
		}
	}
	events_consumer_free(consumer);
	return NULL;
}

bool events_consumer_caught_up(const struct events_consumer *consumer)
{
	return consumer->caught_up;
}

bool events_consumer_ready(const struct events_consumer *consumer, const char **why)
{
	if (consumer->reachable)
		return true;
	*why = consumer->trouble ? events_hint(consumer->trouble)
				 : "no answer from kafka yet";
	return false;
}

int64_t events_consumer_lag(const struct events_consumer *consumer)
{
	return events_offsets_lag(consumer->offsets);
}

/* rd_kafka_consumer_close() has no deadline: this is the same with one. */
static void leave_group(struct events_consumer *consumer)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->rk);
	int64_t deadline = time_mono_ms() + CLOSE_MS;
	rd_kafka_error_t *error;

	events_offsets_commit(consumer->offsets, time_mono_ms());
	error = rd_kafka_consumer_close_queue(consumer->rk, queue);
	while (!error && !rd_kafka_consumer_closed(consumer->rk) &&
	       time_mono_ms() < deadline) {
		rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, 50);
		if (ev && rd_kafka_event_type(ev) == RD_KAFKA_EVENT_REBALANCE)
			rd_kafka_assign(consumer->rk, NULL);
		rd_kafka_event_destroy(ev);
	}
	rd_kafka_error_destroy(error);
	rd_kafka_queue_destroy(queue);
}

static void free_client(struct events_consumer *consumer)
{
	if (consumer->cfg.start == EVENTS_GROUP && consumer->queue)
		leave_group(consumer);
	for (int32_t p = 0; p < consumer->started; p++)
		rd_kafka_consume_stop(consumer->topic, p);
	if (consumer->queue)
		rd_kafka_queue_destroy(consumer->queue);
	if (consumer->main)
		rd_kafka_queue_destroy(consumer->main);
	if (consumer->topic)
		rd_kafka_topic_destroy(consumer->topic);
	rd_kafka_destroy_flags(consumer->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void events_consumer_free(struct events_consumer *consumer)
{
	if (!consumer)
		return;
	events_probe_free(consumer->probe);
	loop_timer_free(consumer->tick);
	loop_timer_free(consumer->retry);
	loop_timer_free(consumer->more);
	events_pump_fini(consumer);
	if (consumer->rk)
		free_client(consumer);
	if (consumer->wake)
		event_free(consumer->wake);
	if (consumer->wake_fd >= 0)
		close(consumer->wake_fd);
	events_offsets_free(consumer->offsets);
	free(consumer->topic_name);
	free(consumer);
}
