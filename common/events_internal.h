/* events_internal.h - what the files of events*.c share. */
#ifndef COMMON_EVENTS_INTERNAL_H
#define COMMON_EVENTS_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "err.h"
#include "loop.h"

/* ---- events_conf.c ---- */

/* Sets one property; on failure the conf stays with the caller. */
bool events_set(rd_kafka_conf_t *conf, const char *name, const char *value,
		struct err *err) __attribute__((warn_unused_result));

/* {name, value} pairs up to {NULL}. */
bool events_set_all(rd_kafka_conf_t *conf, const char *const (*pairs)[2], struct err *err)
	__attribute__((warn_unused_result));

/* rd_kafka_new() that takes `conf` in any case and explains a failure. */
rd_kafka_t *events_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			      struct err *err) __attribute__((warn_unused_result));

/* ---- events_probe.c: is a broker there, and how many partitions are there? ---- */

struct events_probe;

/* On the loop. `ends` are those of the logs of all `partitions`, -1: not known; valid
 * until the callback returns. */
typedef void (*events_probe_cb)(rd_kafka_resp_err_t error, int partitions,
				const int64_t *ends, void *arg);

/* `rk` and `topic` must outlive the probe. `all_leaders`: one that does not answer is an
 * error too. */
struct events_probe *events_probe_new(struct loop *loop, rd_kafka_t *rk,
				      rd_kafka_topic_t *topic, bool all_leaders,
				      events_probe_cb cb, void *arg, struct err *err);
/* Asks once; nothing happens while an answer is awaited (at most 2 s). */
void events_probe_start(struct events_probe *probe);
void events_probe_free(struct events_probe *probe); /* accepts NULL */

/* ---- events_offsets.c: what is known about each partition of a topic ---- */

struct events_offsets;

struct events_offsets *events_offsets_new(rd_kafka_t *rk, const char *topic);
void events_offsets_free(struct events_offsets *offsets);

/* Forgets everything about all partitions; then those given are ours. */
void events_offsets_assign(struct events_offsets *offsets,
			   const rd_kafka_topic_partition_list_t *list);
void events_offsets_drop(struct events_offsets *offsets);
/* One more partition is ours (no group). */
void events_offsets_add(struct events_offsets *offsets, int32_t partition);

/* A message, or the end of the log, was taken from the client at `next` - 1. */
void events_offsets_taken(struct events_offsets *offsets, int32_t partition,
			  int64_t next);
void events_offsets_ended(struct events_offsets *offsets, int32_t partition,
			  int64_t next);
/* A broker has said where the log ends. */
void events_offsets_seen_end(struct events_offsets *offsets, int32_t partition,
			     int64_t end);
/* Everything before `next` is dealt with. */
void events_offsets_done(struct events_offsets *offsets, int32_t partition, int64_t next);

/* Did every partition pass the end of its log that was seen first? */
bool events_offsets_all_ended(const struct events_offsets *offsets);
int64_t events_offsets_lag(const struct events_offsets *offsets);
/* Asynchronous commit of what is done and was not asked for, or not answered for long;
 * `now_ms` is monotonic. */
void events_offsets_commit(struct events_offsets *offsets, int64_t now_ms);
/* The answer. Those that failed, all for `error` or some for an error of their own, are
 * due again; false: there were such. */
bool events_offsets_committed(struct events_offsets *offsets,
			      const rd_kafka_topic_partition_list_t *list,
			      rd_kafka_resp_err_t error);
/* All of our partitions; owned by the caller. */
rd_kafka_topic_partition_list_t *
events_offsets_list(const struct events_offsets *offsets);

#endif
