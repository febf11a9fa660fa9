/*
 * events_consumer_internal.h - a consumer's state, shared by its two files:
 * events_consumer.c (life, group, brokers) and events_pump.c (messages).
 */
#ifndef COMMON_EVENTS_CONSUMER_INTERNAL_H
#define COMMON_EVENTS_CONSUMER_INTERNAL_H

#include "events.h"
#include "events_internal.h"

struct batch {
	rd_kafka_message_t **msgs; /* max_batch of them */
	size_t n;
};

enum batch_state {
	BATCH_NONE,
	BATCH_OUT,    /* its owner works on it */
	BATCH_WAITING /* refused; delivered again when `retry` fires */
};

struct events_consumer {
	struct loop *loop;
	struct events_consumer_config cfg;
	char *topic_name;
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue; /* where messages arrive */
	rd_kafka_queue_t *main;  /* EVERYTHING: where errors arrive */
	int wake_fd;
	struct event *wake;
	struct loop_timer *tick, *retry;
	struct loop_timer *more; /* there may be more to take: in the next turn */
	struct events_probe *probe;
	struct events_offsets *offsets;

	struct batch out, next; /* delivered; being collected */
	struct events_message *views;
	enum batch_state state;
	bool stale;       /* a rebalance happened while the batch was out */
	bool in_callback; /* inside on_batch */
	bool done_inside, done_ok;
	bool paused;
	int64_t out_since_ms, retry_ms;

	int started; /* EVERYTHING: partitions that are being read */
	bool caught_up;
	bool reachable;
	rd_kafka_resp_err_t trouble; /* the last reason why not */
	int64_t probe_at_ms, commit_at_ms;
	struct metric *m_messages, *m_lag, *m_commit_failures, *m_again, *m_reachable;
};

/* ---- events_consumer.c ---- */

void events_set_reachable(struct events_consumer *consumer, bool yes);
void events_note_trouble(struct events_consumer *consumer, rd_kafka_resp_err_t error);

/* ---- events_pump.c ---- */

void events_pump_init(struct events_consumer *consumer);
void events_pump_fini(struct events_consumer *consumer);
/* Timer callback: takes and hands out what is there, within the budget of a turn. */
void events_pump(void *consumer);
/* Timer callback: hands the refused batch out again. */
void events_pump_again(void *consumer);
/* The batch has been out for long: stay a member of the group all the same. */
void events_pump_idle(struct events_consumer *consumer);
/* A rebalance: nothing that was taken is ours any more. */
void events_pump_drop(struct events_consumer *consumer);

#endif
