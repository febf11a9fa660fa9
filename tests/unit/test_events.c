/*
 * test_events.c - our Kafka producer and consumer against librdkafka's mock
 * cluster.  It knows no transactions, so those are tested against real Kafka.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "events.h"
#include "timeutil.h"

#define TOPIC      "things"
#define PARTITIONS 4
#define PRODUCE    0 /* API key of the protocol */

struct fixture {
	rd_kafka_t *rk; /* carries the mock cluster */
	rd_kafka_mock_cluster_t *cluster;
	struct events_settings cfg;
	struct metrics *metrics;
	struct loop *loop;
	/* what a consumer got */
	int64_t next[PARTITIONS];
	size_t got, want, batches, refuse;
	bool caught_up, done_later, timed_out;
	struct events_consumer *consumer;
	struct loop_timer *timer; /* of the test's own */
	bool released;
	size_t in_turn, most_in_turn;
};

static struct events_settings settings(const char *bootstrap)
{
	return (struct events_settings){
		.bootstrap = (char *)bootstrap,
		.ssl_cafile = (char *)"",
		.api_version = (char *)"",
		.sasl_mechanism = (char *)"SCRAM-SHA-512",
		.sasl_username = (char *)"",
		.sasl_password = (char *)"",
	};
}

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err;

	f->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0);
	f->cluster = rd_kafka_mock_cluster_new(f->rk, 1);
	rd_kafka_mock_topic_create(f->cluster, TOPIC, PARTITIONS, 1);
	f->cfg = settings(rd_kafka_mock_cluster_bootstraps(f->cluster));
	f->metrics = metrics_new();
	f->loop = loop_new(&err);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	metrics_free(f->metrics);
	rd_kafka_mock_cluster_destroy(f->cluster);
	rd_kafka_destroy(f->rk);
	free(f);
	return 0;
}

/* ---- helpers ---- */

static void send_numbers(struct fixture *f, int first, int n)
{
	struct err err;
	struct events_record records[200];
	char keys[200][16], values[200][32];
	struct events_producer *producer =
		events_producer_new(&f->cfg, "test", f->metrics, &err);

	assert_non_null(producer);
	assert_true(n <= 200);
	for (int i = 0; i < n; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%d", (first + i) % 7);
		snprintf(values[i], sizeof(values[i]), "value %d", first + i);
		records[i] = (struct events_record){.key = str_from(keys[i]),
						    .value = str_from(values[i]),
						    .event_id = "some-id"};
	}
	if (!events_producer_send(producer, TOPIC, records, (size_t)n, 10000, &err))
		fail_msg("%s", err.text);
	for (int i = 0; i < n; i++)
		assert_true(records[i].delivered && !records[i].never);
	events_producer_free(producer);
}

static void done_now(void *arg)
{
	struct fixture *f = arg;
	bool ok = f->refuse == 0;

	f->refuse -= ok ? 0 : 1;
	events_consumer_done(f->consumer, ok);
	if (ok && f->got >= f->want)
		loop_stop(f->loop);
}

static void take_batch(struct events_consumer *consumer,
		       const struct events_message *msgs, size_t n, void *arg)
{
	struct fixture *f = arg;

	f->consumer = consumer;
	f->batches++;
	for (size_t i = 0; i < n && f->refuse == 0; i++) {
		assert_string_equal(msgs[i].topic, TOPIC);
		assert_true(msgs[i].offset >= f->next[msgs[i].partition]);
		f->next[msgs[i].partition] = msgs[i].offset + 1;
		f->got++;
	}
	if (f->done_later)
		loop_defer(f->loop, done_now, f);
	else
		done_now(f);
}

static void on_caught_up(void *arg)
{
	struct fixture *f = arg;

	f->caught_up = true;
	loop_stop(f->loop);
}

static void on_deadline(void *arg)
{
	struct fixture *f = arg;

	f->timed_out = true;
	loop_stop(f->loop);
}

static void run(struct fixture *f, int64_t ms)
{
	struct loop_timer *timer = loop_timer_new(f->loop, on_deadline, f);

	f->timed_out = false;
	loop_timer_start(timer, ms);
	loop_run(f->loop);
	loop_timer_free(timer);
}

typedef void (*batch_cb)(struct events_consumer *consumer,
			 const struct events_message *msgs, size_t n, void *arg);

static struct events_consumer *start_with(struct fixture *f, enum events_start how,
					  size_t batch, batch_cb on_batch)
{
	struct err err;
	struct events_consumer_config c = {.topic = TOPIC,
					   .start = how,
					   .group = "test-group",
					   .max_batch = batch,
					   .on_batch = on_batch,
					   .on_caught_up = on_caught_up,
					   .arg = f};
	struct events_consumer *consumer =
		events_consumer_new(f->loop, &f->cfg, &c, f->metrics, &err);

	if (!consumer)
		fail_msg("%s", err.text);
	return consumer;
}

static struct events_consumer *start(struct fixture *f, enum events_start how,
				     size_t batch)
{
	return start_with(f, how, batch, take_batch);
}

/* ---- settings ---- */

static void refused(const struct events_settings *cfg, const char *name)
{
	struct err err;

	assert_null(events_conf(cfg, "test", &err));
	if (!strstr(err.text, name))
		fail_msg("'%s' does not name %s", err.text, name);
}

static void wrong_settings_are_named(void **state)
{
	struct events_settings cfg = settings("127.0.0.1:1");
	struct err err;
	rd_kafka_conf_t *conf;
	char value[32];
	size_t size = sizeof(value);

	(void)state;
	cfg.api_version = (char *)"new";
	refused(&cfg, "KAFKA_API_VERSION");
	cfg.api_version = (char *)"3.5.";
	refused(&cfg, "KAFKA_API_VERSION");
	cfg.api_version = (char *)"3.5.1";
	conf = events_conf(&cfg, "test", &err);
	assert_non_null(conf);
	rd_kafka_conf_get(conf, "broker.version.fallback", value, &size);
	assert_string_equal(value, "3.5.1");
	size = sizeof(value);
	rd_kafka_conf_get(conf, "api.version.request", value, &size);
	assert_string_equal(value, "true");
	rd_kafka_conf_destroy(conf);
	cfg.security_protocol = 1;
	cfg.ssl_cafile = (char *)"/does/not/exist.pem";
	refused(&cfg, "KAFKA_SSL_CAFILE");
	cfg.ssl_cafile = (char *)"";
	cfg.security_protocol = 2;
	refused(&cfg, "KAFKA_SASL_USERNAME");
	cfg.sasl_mechanism = (char *)"GSSAPI";
	refused(&cfg, "KAFKA_SASL_MECHANISM");
	assert_non_null(strstr(events_hint(RD_KAFKA_RESP_ERR__SSL), "KAFKA_SSL_CAFILE"));
}

/* ---- producer ---- */

static void a_large_record_holds_back_its_key(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct events_producer *producer =
		events_producer_new(&f->cfg, "test", f->metrics, &err);
	size_t size = 2 << 20;
	char *large = xcalloc(size, 1);
	struct events_record r[] = {
		{.key = STR("a"), .value = STR("1")},
		{.key = STR("b"), .value = {large, size}},
		{.key = STR("b"), .value = STR("behind the large one")},
		{.key = STR("a"), .value = STR("2")},
	};

	assert_non_null(producer);
	assert_false(events_producer_send(producer, TOPIC, r, 4, 5000, &err));
	assert_true(r[0].delivered && r[3].delivered);
	assert_true(r[1].never && !r[1].delivered);
	assert_true(!r[2].never && !r[2].delivered);
	events_producer_free(producer);
	free(large);
}

static void a_refused_batch_is_sent_singly(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct events_producer *producer =
		events_producer_new(&f->cfg, "test", f->metrics, &err);
	struct events_record r[] = {
		{.key = STR("a"), .value = STR("1")},
		{.key = STR("a"), .value = STR("2")},
		{.key = STR("a"), .value = STR("3")},
	};

	assert_non_null(producer);
	rd_kafka_mock_push_request_errors(f->cluster, PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	if (!events_producer_send(producer, TOPIC, r, 3, 10000, &err))
		fail_msg("%s", err.text);
	assert_true(r[0].delivered && r[1].delivered && r[2].delivered);
	events_producer_free(producer);
}

static void a_lost_broker_is_a_deadline(void **state)
{
	struct fixture *f = *state;
	struct err err;
	struct events_producer *producer =
		events_producer_new(&f->cfg, "test", f->metrics, &err);
	struct events_record r = {.key = STR("a"), .value = STR("1")};
	int64_t before = time_mono_ms();

	assert_true(events_producer_send(producer, TOPIC, &r, 1, 10000, &err));
	rd_kafka_mock_broker_set_down(f->cluster, 1);
	assert_false(events_producer_send(producer, TOPIC, &r, 1, 700, &err));
	assert_false(r.delivered || r.never);
	assert_int_equal(err.code, ERR_BUSY);
	assert_true(time_mono_ms() - before < 5000);
	rd_kafka_mock_broker_set_up(f->cluster, 1);
	assert_true(events_producer_send(producer, TOPIC, &r, 1, 10000, &err));
	assert_true(r.delivered);
	events_producer_free(producer);
}

/* ---- consumer ---- */

static void everything_is_read_and_then_caught_up(void **state)
{
	struct fixture *f = *state;
	struct events_consumer *consumer;
	const char *why;

	send_numbers(f, 0, 150);
	f->want = SIZE_MAX;
	consumer = start(f, EVENTS_EVERYTHING, 7);
	assert_false(events_consumer_caught_up(consumer));
	run(f, 10000);
	assert_false(f->timed_out);
	assert_true(f->caught_up && events_consumer_caught_up(consumer));
	assert_int_equal(f->got, 150);
	assert_true(events_consumer_ready(consumer, &why));
	assert_int_equal(events_consumer_lag(consumer), 0);
	f->want = 160;
	f->done_later = true;
	send_numbers(f, 150, 10);
	run(f, 10000);
	assert_int_equal(f->got, 160);
	events_consumer_free(consumer);
}

/* The first batch is held until all others wait. */
static void on_turn(void *arg)
{
	struct fixture *f = arg;

	if (!f->released)
		events_consumer_done(f->consumer, true);
	f->released = true;
	f->in_turn = 0;
	loop_timer_start(f->timer, 0);
}

static void count_batch(struct events_consumer *consumer,
			const struct events_message *msgs, size_t n, void *arg)
{
	struct fixture *f = arg;

	(void)msgs;
	f->in_turn += n;
	if (f->in_turn > f->most_in_turn)
		f->most_in_turn = f->in_turn;
	if (f->consumer)
		events_consumer_done(consumer, true);
	else
		loop_timer_start(f->timer, 700);
	f->consumer = consumer;
	f->got += n;
}

static void a_backlog_leaves_room_for_timers(void **state)
{
	struct fixture *f = *state;
	struct events_consumer *consumer;

	for (int sent = 0; sent < 8000; sent += 200)
		send_numbers(f, sent, 200);
	f->timer = loop_timer_new(f->loop, on_turn, f);
	consumer = start_with(f, EVENTS_EVERYTHING, 0, count_batch);
	run(f, 20000);
	/* First: the loop would not end with a timer that starts itself. */
	loop_timer_free(f->timer);
	events_consumer_free(consumer);
	assert_int_equal(f->got, 8000);
	/* Three events of a turn may each use up its budget: 500 and a batch. */
	assert_in_range(f->most_in_turn, 1, 2100);
}

static void a_refused_batch_comes_again(void **state)
{
	struct fixture *f = *state;
	struct events_consumer *consumer;

	send_numbers(f, 0, 20);
	f->want = 20;
	f->refuse = 2;
	consumer = start(f, EVENTS_EVERYTHING, 100);
	run(f, 10000);
	assert_int_equal(f->got, 20);
	assert_true(f->batches >= 3);
	events_consumer_free(consumer);
}

static void on_lag(void *arg)
{
	struct fixture *f = arg;

	if (events_consumer_lag(f->consumer) >= (int64_t)f->want)
		loop_stop(f->loop);
	else
		loop_timer_start(f->timer, 50);
}

/* Nothing is fetched then, so no answer to that tells where the log ends. */
static void lag_grows_while_batches_are_refused(void **state)
{
	struct fixture *f = *state;

	send_numbers(f, 0, 20);
	f->want = 20;
	f->consumer = start(f, EVENTS_GROUP, 0);
	run(f, 20000);
	assert_int_equal(f->got, 20);
	f->refuse = SIZE_MAX;
	send_numbers(f, 20, 20);
	run(f, 3000); /* long enough to be paused */
	send_numbers(f, 40, 200);
	send_numbers(f, 240, 200);
	send_numbers(f, 440, 100);
	f->timer = loop_timer_new(f->loop, on_lag, f);
	loop_timer_start(f->timer, 0);
	f->want = 500;
	run(f, 20000);
	assert_false(f->timed_out);
	loop_timer_free(f->timer);
	events_consumer_free(f->consumer);
}

static void a_group_continues_where_it_was(void **state)
{
	struct fixture *f = *state;
	struct events_consumer *consumer;

	send_numbers(f, 0, 60);
	f->want = 60;
	f->done_later = true;
	consumer = start(f, EVENTS_GROUP, 0);
	run(f, 20000);
	assert_int_equal(f->got, 60);
	events_consumer_free(consumer);
	send_numbers(f, 60, 5);
	f->want = 65;
	consumer = start(f, EVENTS_GROUP, 0);
	run(f, 20000);
	assert_int_equal(f->got, 65);
	events_consumer_free(consumer);
}

static void a_missing_broker_is_said(void **state)
{
	struct fixture *f = *state;
	struct events_consumer *consumer;
	const char *why = NULL;

	f->cfg = settings("127.0.0.1:1");
	consumer = start(f, EVENTS_GROUP, 0);
	run(f, 1500);
	assert_false(events_consumer_ready(consumer, &why));
	assert_non_null(strstr(why, "KAFKA_BOOTSTRAP_SERVERS"));
	events_consumer_free(consumer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_settings_are_named),
		cmocka_unit_test_setup_teardown(a_large_record_holds_back_its_key, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_refused_batch_is_sent_singly, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_lost_broker_is_a_deadline, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(everything_is_read_and_then_caught_up,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_backlog_leaves_room_for_timers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_refused_batch_comes_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(lag_grows_while_batches_are_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_continues_where_it_was, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_missing_broker_is_said, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
