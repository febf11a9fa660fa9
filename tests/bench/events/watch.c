/* watch.c - the reader, and who waits for what. */
#include "watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../load/hist.h"

#define RING    64 /* events of a user that may wait at once */
#define BATCH   512
#define WAIT_MS 10000

struct waiting {
	bool known;
	uint64_t done;    /* seq up to which results were seen */
	double due[RING]; /* by seq; 0: does not count */
};

struct watch {
	rd_kafka_t *reader;
	uint64_t users, sent, seen, overrun;
	struct waiting *user;
	struct hist hist;
};

double watch_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "orderevents: %s: %s\n", what, why);
	exit(1);
}

void watch_conf(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		die(name, why);
}

/* From the end that each partition has now: what comes after this call is seen. */
static void assign(struct watch *watch, const char *topic)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	rd_kafka_topic_t *handle = rd_kafka_topic_new(watch->reader, topic, NULL);
	const struct rd_kafka_metadata *meta = NULL;
	int64_t low, high;

	if (rd_kafka_metadata(watch->reader, 0, handle, &meta, WAIT_MS) ||
	    meta->topics[0].partition_cnt == 0)
		die("no metadata", topic);
	for (int i = 0; i < meta->topics[0].partition_cnt; i++) {
		if (rd_kafka_query_watermark_offsets(watch->reader, topic, i, &low, &high,
						     WAIT_MS))
			die("no end", topic);
		rd_kafka_topic_partition_list_add(list, topic, i)->offset = high;
	}
	if (rd_kafka_assign(watch->reader, list))
		die("assign", topic);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_metadata_destroy(meta);
	rd_kafka_topic_destroy(handle);
}

struct watch *watch_new(const char *bootstrap, const char *topic, uint64_t users)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];

	if (!watch)
		abort();
	watch->users = users;
	watch->user = calloc(users + 1, sizeof(*watch->user));
	if (!watch->user)
		abort();
	watch_conf(conf, "bootstrap.servers", bootstrap);
	watch_conf(conf, "group.id", "orderevents");
	watch_conf(conf, "isolation.level", "read_committed");
	watch_conf(conf, "enable.auto.commit", "false");
	watch_conf(conf, "queued.min.messages", "1000000");
	watch_conf(conf, "queued.max.messages.kbytes", "65536");
	watch->reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!watch->reader)
		die("reader", why);
	rd_kafka_poll_set_consumer(watch->reader);
	assign(watch, topic);
	return watch;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	rd_kafka_consumer_close(watch->reader);
	rd_kafka_destroy(watch->reader);
	free(watch->user);
	free(watch);
}

void watch_sent(struct watch *watch, const struct event *event, double due, bool counts)
{
	struct waiting *w = &watch->user[event->user];

	if (!w->known)
		w->done = event->seq - 1;
	w->known = true;
	if (event->seq - w->done > RING)
		watch->overrun++;
	w->due[event->seq % RING] = counts ? due : 0;
	watch->sent += counts;
}

static void seen(struct watch *watch, uint64_t user, uint64_t seq)
{
	struct waiting *w = &watch->user[user];
	double now = watch_now();

	if (!w->known || seq <= w->done)
		return;
	if (seq - w->done > RING)
		w->done = seq - RING;
	while (w->done < seq) {
		double *due = &w->due[++w->done % RING];

		if (*due > 0) {
			hist_add(&watch->hist, (uint64_t)((now - *due) * 1e6));
			watch->seen++;
		}
		*due = 0;
	}
}

static void take(struct watch *watch, const rd_kafka_message_t *msg)
{
	static const char mark[] = "\"seq\":";
	const char *at;
	char text[24] = "";
	uint64_t user;

	if (msg->err || msg->key_len < 3 || memcmp(msg->key, "u:", 2) != 0 ||
	    !msg->payload)
		return;
	at = memmem(msg->payload, msg->len, mark, sizeof(mark) - 1);
	if (!at || msg->key_len - 2 >= sizeof(text))
		return;
	memcpy(text, (const char *)msg->key + 2, msg->key_len - 2);
	user = strtoull(text, NULL, 10);
	/* The value ends with '}', so the number ends within it. */
	if (user <= watch->users)
		seen(watch, user, strtoull(at + sizeof(mark) - 1, NULL, 10));
}

void watch_poll(struct watch *watch, int ms)
{
	rd_kafka_message_t *msg = rd_kafka_consumer_poll(watch->reader, ms);

	for (int n = 0; msg; n++) {
		take(watch, msg);
		rd_kafka_message_destroy(msg);
		msg = n < BATCH ? rd_kafka_consumer_poll(watch->reader, 0) : NULL;
	}
}

uint64_t watch_open(const struct watch *watch)
{
	return watch->sent - watch->seen;
}

void watch_report(const struct watch *watch)
{
	printf(",\"seen\":%" PRIu64 ",\"unseen\":%" PRIu64 ",\"p50_ms\":%.2f"
	       ",\"p99_ms\":%.2f,\"max_ms\":%.2f",
	       watch->seen, watch_open(watch), hist_ms(&watch->hist, 0.5),
	       hist_ms(&watch->hist, 0.99), (double)watch->hist.max / 1000);
}
