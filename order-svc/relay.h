/*
 * relay.h - from the outbox to Kafka, at least once, in order per user.
 *
 * Threads, each with a database connection and a producer of its own.  Those of
 * all instances divide the shards of the outbox among themselves; when one dies,
 * its locks die with its connection and the others take over.
 */
#ifndef ORDER_SVC_RELAY_H
#define ORDER_SVC_RELAY_H

#include "db.h"
#include "events.h"
#include "metrics.h"

struct relay;

struct relay_config {
	const struct db_settings *db;
	const struct events_settings *events;
	const char *topic;
	int64_t threads, batch, poll_ms;
};

/* Starts the threads. What `cfg` points to must outlive them. */
struct relay *relay_new(const struct relay_config *cfg, struct metrics *metrics,
			struct err *err);
/* Publishes what is there, at most about a batch and some seconds, then ends the
 * threads. */
void relay_free(struct relay *relay);

/* There is something new in the outbox. From any thread; NULL is accepted. */
void relay_wake(struct relay *relay);

#endif
