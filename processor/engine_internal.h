/*
 * engine_internal.h - the engine, seen from the files that make it up.
 *
 *   engine.c         the thread: start, turns, idle windows, end
 *   kafka_clients.c  settings of the clients, checks of the topics
 *   rebalance.c      partitions come and go
 *   restore.c        the state of partitions that come
 *   consume.c        one record
 *   dlq.c            a record that cannot be counted
 *   commit.c         begin, write, commit, abort
 *
 * Everything here runs on the engine thread unless it says otherwise.
 */
#ifndef PROCESSOR_ENGINE_INTERNAL_H
#define PROCESSOR_ENGINE_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "engine.h"
#include "engine_metrics.h"
#include "prefetch.h"
#include "state.h"

/* Longest wait inside one blocking call, far below the watchdog's patience. */
#define ENGINE_CALL_MS 10000
/* So often, within a minute, being fenced is answered by beginning again. */
#define ENGINE_FENCED_MAX 3

struct partition {
	struct state *state;   /* NULL: not ours */
	int64_t next;          /* offset to count next; -1: the beginning */
	int64_t committed;     /* `next` as of the last commit */
	int64_t last_input_ms; /* monotonic; also set when assigned */
};

struct engine {
	/* set once */
	const struct settings *cfg;
	struct service *service;
	struct loop *loop;
	char id[300]; /* <group>-<slot> */
	struct engine_metrics metrics;
	pthread_t thread;

	/* the main loop's own */
	struct loop_timer *watchdog;
	unsigned dog_turns, dog_still; /* turns seen last; beats without a turn */
	bool orphaned;                 /* to be freed when its end arrives */

	/* read by the main loop */
	atomic_bool stopping;        /* set by it */
	atomic_bool closing;         /* all is committed, only leaving Kafka */
	atomic_bool ended;           /* the thread posted its end */
	atomic_uint turns;           /* moves while the thread is alive */
	atomic_llong contact_ms;     /* monotonic: when a broker last answered */
	_Atomic(const char *) waits; /* why it did not get going; NULL: it did */

	/* the engine thread's own */
	rd_kafka_t *producer, *consumer;
	rd_kafka_topic_t *topic_orders, *topic_results, *topic_dlq; /* of producer */
	int32_t partitions, dlq_partitions;                         /* 0: not known yet */
	struct partition *part; /* one per partition of the topic */
	bool failed;
	bool again; /* with `failed`: new clients and a new restore will do */
	struct err failure;
	int64_t now_ms, wall_ms; /* monotonic and wall clock, read once a burst */
	struct prefetch prefetch;
	int64_t next_tick_ms, next_probe_ms;
	bool heap_is_loose; /* a restore, a backlog or lost partitions left free memory */
	int64_t fenced_ms[ENGINE_FENCED_MAX]; /* monotonic: the last times, a ring */
	unsigned n_fenced;

	/* the open transaction */
	bool in_txn;
	bool txn_broken;    /* it has to be aborted */
	bool txn_left_open; /* told to stop: nothing more is done about it */
	int64_t txn_begun_ms, txn_deadline_ms, last_commit_ms;
	int64_t rate; /* events a second, of late */
	unsigned txn_events;
	struct tally tally;
};

/* ---- engine.c ---- */

bool engine_running(const struct engine *engine);
/* The process has to end. The first reason stands. Returns false. */
bool engine_fail(struct engine *engine, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, but everything is given up and begun again from what is committed,
 * as a new process would. */
bool engine_again(struct engine *engine, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The thread is alive: called at least once between two blocking calls. */
void engine_turned(struct engine *engine);
/* Kafka holds another process for the owner of our slot. Begins again, unless
 * that did not help several times: then the process has to end. */
bool engine_fenced(struct engine *engine, const char *call, const char *why);
/* All of it is cured by new clients, but for a second process with our slot. */
void engine_fatal(struct engine *engine, const char *call, const rd_kafka_error_t *error);
/* A broker answered. */
void engine_contact(struct engine *engine);
/* Sets the gauges to what is held now. Returns the lag. */
int64_t engine_show(struct engine *engine);

/* ---- kafka_clients.c ---- */

bool clients_new(struct engine *engine, struct err *err);
void clients_free(struct engine *engine);
/* Waits for broker and topics, then for the end of what a predecessor left
 * open. false: stopped or failed. */
bool clients_connect(struct engine *engine);
/* Asks for the topics' partitions; a wrong number is a failure. */
bool clients_check_topics(struct engine *engine);
/* A consumer without a group for restoring. Owned by the caller. */
rd_kafka_t *clients_reader(struct engine *engine, const char *isolation);

/* ---- rebalance.c, restore.c ---- */

void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
		  rd_kafka_topic_partition_list_t *list, void *opaque);
/* Fills part[] and the offsets of `list`. false: failed or stopped. */
bool restore(struct engine *engine, rd_kafka_topic_partition_list_t *list);
void drop_partitions(struct engine *engine);

/* ---- consume.c, dlq.c ---- */

void consume(struct engine *engine, const rd_kafka_message_t *msg);
/* `with_value` false: it is not the record itself that is wrong. */
void dlq_send(struct engine *engine, const rd_kafka_message_t *msg,
	      const struct reject *why, bool with_value);

/* ---- commit.c ---- */

/* Opens a transaction if none is open. false: failed. */
bool txn_begin(struct engine *engine);
bool txn_due(const struct engine *engine, int64_t now_ms);
/* Into the open transaction; a failure breaks it. value.at NULL: tombstone. */
void txn_produce(struct engine *engine, rd_kafka_topic_t *topic, int32_t partition,
		 struct str key, struct str value);
/* Writes, commits; or aborts and goes back to the last commit. `rewind`: also
 * lets the consumer go back (not when the partitions are being given away). */
void txn_commit(struct engine *engine, bool rewind);
void txn_abort(struct engine *engine, bool rewind);

#endif
