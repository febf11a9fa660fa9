/*
 * events.h - Kafka for the services: a consumer on the loop, a producer for
 * the outbox relay.  (The processor has its own engine on librdkafka.)
 *
 * Settings follow the names KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL,
 * KAFKA_SSL_CAFILE, KAFKA_API_VERSION, KAFKA_SASL_*.
 */
#ifndef COMMON_EVENTS_H
#define COMMON_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "err.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"

struct events_settings {
	char *bootstrap, *ssl_cafile, *api_version;
	char *sasl_mechanism, *sasl_username, *sasl_password;
	int security_protocol; /* PLAINTEXT, SSL, SASL_SSL */
};
extern const struct config_entry events_config[];

/* The librdkafka configuration that all our clients share: brokers, TLS, SASL,
 * `broker.version.fallback` from KAFKA_API_VERSION, no Nagle, short reconnects.
 * Declared here as void to keep rdkafka.h fenced; it is a rd_kafka_conf_t *,
 * owned by the caller. NULL: `err` names the setting. */
void *events_conf(const struct events_settings *cfg, const char *client_id,
		  struct err *err);

/* Plain words for a librdkafka error code, with what to do: for TLS failures it
 * names KAFKA_SSL_CAFILE, for unknown topics the command that makes them. */
const char *events_hint(int rdkafka_error);

struct events_message {
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms;
	struct str key, value; /* value.at == NULL: tombstone */
};

/* ---- consumer ---- */

struct events_consumer;

enum events_start {
	EVENTS_GROUP,     /* member of a consumer group, continues where it was */
	EVENTS_EVERYTHING /* all partitions from the beginning, no group */
};

struct events_consumer_config {
	const char *topic;
	enum events_start start;
	const char *group; /* EVENTS_GROUP: group id */
	size_t max_batch;  /* messages handed over at once; default 200 */
	/* Messages of possibly several partitions, in offset order within each.
	 * Valid until the callback returns. No more are delivered until
	 * events_consumer_done() is called (also from inside). */
	void (*on_batch)(struct events_consumer *consumer,
			 const struct events_message *msgs, size_t n, void *arg);
	/* EVENTS_EVERYTHING: once, when every partition passed the end offset
	 * that was seen at the start. May be NULL. */
	void (*on_caught_up)(void *arg);
	void *arg;
};

struct events_consumer *events_consumer_new(struct loop *loop,
					    const struct events_settings *cfg,
					    const struct events_consumer_config *c,
					    struct metrics *metrics, struct err *err);
/* The batch is dealt with durably: its offsets may be committed (ok), or it
 * must be delivered again, after a pause (not ok). */
void events_consumer_done(struct events_consumer *consumer, bool ok);
bool events_consumer_caught_up(const struct events_consumer *consumer);
/* Was a broker reachable lately? `why` as in db_ready(). */
bool events_consumer_ready(const struct events_consumer *consumer, const char **why);
/* Messages between the last delivered one and the end of the log, all partitions. */
int64_t events_consumer_lag(const struct events_consumer *consumer);
/* Commits what is done and leaves the group (bounded by 3 s). */
void events_consumer_free(struct events_consumer *consumer);

/* ---- producer: blocking, for one thread of its own (the relay) ---- */

struct events_producer;

struct events_record {
	struct str key, value;
	const char *event_id;   /* header "event_id"; may be NULL */
	struct str traceparent; /* header; .at == NULL: none */
	bool delivered;         /* filled by events_producer_send() */
	bool never;             /* filled: it can never be delivered (too large) */
};

struct events_producer *events_producer_new(const struct events_settings *cfg,
					    const char *client_id,
					    struct metrics *metrics, struct err *err);
void events_producer_free(struct events_producer *producer);
/* Sends all records and waits for every delivery report, at most `timeout_ms`.
 * true: all delivered. false: see each record; the idempotent producer keeps
 * order per partition, and after a fatal error a new one is made inside. */
bool events_producer_send(struct events_producer *producer, const char *topic,
			  struct events_record *records, size_t n, int timeout_ms,
			  struct err *err);

#endif
