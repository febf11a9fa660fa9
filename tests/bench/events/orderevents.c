/*
 * orderevents.c - order events straight into Kafka, and how long their results take.
 *
 *   as fast as it can:   --bootstrap B --topic T --users U --events N
 *   at a rate:           ... --rate R --seconds S --warm W [--results TOPIC]
 *
 * Prints one JSON object.  Which user event i belongs to, its number and its amount
 * follow from i alone, so `--skip K` goes on where an earlier run of K events ended.
 * With a topic of results, their reader waits for each event's user to have its `seq`;
 * the latency counts from the time at which the event was due.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "watch.h"

#define FLUSH_MS   60000
#define LAST_MS    10000 /* for the last results */
#define SERVE_EACH 256   /* events between two looks at the delivery reports */

struct options {
	const char *bootstrap, *topic, *results;
	uint64_t users, events, skip;
	double rate, seconds, warm, span;
};

struct feed {
	struct options opt;
	struct event_source source;
	struct watch *watch; /* NULL: without a topic of results */
	rd_kafka_t *producer;
	rd_kafka_topic_t *topic;
	double late_max;
	uint64_t failed;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "orderevents: %s: %s\n", what, why);
	exit(1);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
	struct feed *feed = opaque;

	(void)rk;
	feed->failed += msg->err != 0;
}

static void producer_start(struct feed *feed)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	const struct rd_kafka_metadata *meta = NULL;
	char why[256];

	watch_conf(conf, "bootstrap.servers", feed->opt.bootstrap);
	watch_conf(conf, "partitioner", "murmur2_random");
	watch_conf(conf, "enable.idempotence", "true");
	watch_conf(conf, "compression.codec", "lz4");
	watch_conf(conf, "linger.ms", feed->opt.rate > 0 ? "1" : "20");
	watch_conf(conf, "queue.buffering.max.kbytes", "131072");
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, feed);
	feed->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!feed->producer)
		die("producer", why);
	feed->topic = rd_kafka_topic_new(feed->producer, feed->opt.topic, NULL);
	/* Or the first event would wait for it. */
	if (rd_kafka_metadata(feed->producer, 0, feed->topic, &meta, FLUSH_MS))
		die("topic", feed->opt.topic);
	rd_kafka_metadata_destroy(meta);
}

static void send_event(struct feed *feed, const struct event *event)
{
	char key[24], value[EVENT_MAX];
	size_t key_len = (size_t)snprintf(key, sizeof(key), "%" PRIu64, event->user);
	size_t len = event_write(value, sizeof(value), event);

	while (rd_kafka_produce(feed->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
				value, len, key, key_len, NULL) != 0) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(feed->producer, 10);
	}
}

/* Event times end now and spread over `span` seconds before. */
static void send_all(struct feed *feed)
{
	int64_t now = event_wall_ms();
	double step = feed->opt.span * 1000 / (double)feed->opt.events;
	struct event event;

	for (uint64_t i = 0; i < feed->opt.events; i++) {
		event_next(&feed->source, &event);
		event.time_ms = now - (int64_t)(step * (double)(feed->opt.events - i));
		send_event(feed, &event);
		if (i % SERVE_EACH == 0)
			rd_kafka_poll(feed->producer, 0);
	}
}

static double send_due(struct feed *feed, double begin, double end, uint64_t *made)
{
	double due = begin + (double)*made / feed->opt.rate, now = watch_now();
	struct event event;

	while (due <= now && due < end) {
		bool counts = due >= begin + feed->opt.warm;

		event_next(&feed->source, &event);
		event.time_ms = event_wall_ms();
		if (feed->watch)
			watch_sent(feed->watch, &event, due, counts);
		send_event(feed, &event);
		if (counts && now - due > feed->late_max)
			feed->late_max = now - due;
		due = begin + (double)++*made / feed->opt.rate;
	}
	return due;
}

static void send_at_rate(struct feed *feed)
{
	double begin = watch_now(), end = begin + feed->opt.warm + feed->opt.seconds;
	uint64_t made = 0;

	while (send_due(feed, begin, end, &made) < end) {
		rd_kafka_poll(feed->producer, 0);
		if (feed->watch)
			watch_poll(feed->watch, 1);
		else
			usleep(1000);
	}
	for (double last = watch_now() + LAST_MS / 1000.0;
	     feed->watch && watch_open(feed->watch) > 0 && watch_now() < last;) {
		rd_kafka_poll(feed->producer, 0);
		watch_poll(feed->watch, 10);
	}
}

static void report(const struct feed *feed, double seconds)
{
	printf("{\"events\":%" PRIu64 ",\"seconds\":%.3f,\"failed\":%" PRIu64
	       ",\"orders\":%" PRId64 ",\"cents\":%" PRId64 ",\"late_ms\":%.2f",
	       feed->source.made - feed->opt.skip, seconds, feed->failed,
	       feed->source.orders, feed->source.cents, feed->late_max * 1000);
	if (feed->watch)
		watch_report(feed->watch);
	printf("}\n");
}

static void number(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end || *out < 0)
		die("no number", text);
}

static void parse(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
		{"bootstrap", 1, NULL, 'b'}, {"topic", 1, NULL, 't'},
		{"results", 1, NULL, 'o'},   {"users", 1, NULL, 'u'},
		{"events", 1, NULL, 'n'},    {"skip", 1, NULL, 'k'},
		{"rate", 1, NULL, 'r'},      {"seconds", 1, NULL, 's'},
		{"warm", 1, NULL, 'w'},      {"span", 1, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	double value = 0;

	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		if (c == '?')
			exit(2);
		if (!strchr("bto", c))
			number(optarg, &value);
		switch (c) {
		case 'b': opt->bootstrap = optarg; break;
		case 't': opt->topic = optarg; break;
		case 'o': opt->results = optarg; break;
		case 'u': opt->users = (uint64_t)value; break;
		case 'n': opt->events = (uint64_t)value; break;
		case 'k': opt->skip = (uint64_t)value; break;
		case 'r': opt->rate = value; break;
		case 's': opt->seconds = value; break;
		case 'w': opt->warm = value; break;
		case 'p': opt->span = value; break;
		default: exit(2);
		}
	}
	if (!opt->bootstrap || !opt->topic || opt->users == 0 ||
	    (opt->rate > 0 ? opt->seconds <= 0 : opt->events == 0))
		die("usage", "--bootstrap --topic --users, and --events, or --rate "
			     "--seconds");
}

int main(int argc, char **argv)
{
	struct feed feed = {0};
	struct event skipped;
	double began;

	parse(&feed.opt, argc, argv);
	event_source_init(&feed.source, feed.opt.users);
	while (feed.source.made < feed.opt.skip)
		event_next(&feed.source, &skipped);
	producer_start(&feed);
	if (feed.opt.results)
		feed.watch =
			watch_new(feed.opt.bootstrap, feed.opt.results, feed.opt.users);
	began = watch_now();
	if (feed.opt.rate > 0)
		send_at_rate(&feed);
	else
		send_all(&feed);
	if (rd_kafka_flush(feed.producer, FLUSH_MS) || feed.failed > 0)
		die("produce", "not everything was delivered");
	report(&feed, watch_now() - began);
	watch_free(feed.watch);
	rd_kafka_topic_destroy(feed.topic);
	rd_kafka_destroy(feed.producer);
	event_source_fini(&feed.source);
	return 0;
}
