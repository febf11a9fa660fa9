/*
 * relay.h - from the outbox to Kafka, at least once, in order per user.
 *
 * A thread of its own with a database connection of its own.  Of all instances
 * one is the leader: the one whose connection holds the named lock.
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
	int64_t batch, poll_ms;
};

/* Starts the thread. `cfg` and what it points to must outlive the relay. */
struct relay *relay_new(const struct relay_config *cfg, struct metrics *metrics,
			struct err *err);
/* Publishes what is there, at most about a batch and some seconds, then ends the
 * thread. */
void relay_free(struct relay *relay);

/* There is something new in the outbox. From any thread; NULL is accepted. */
void relay_wake(struct relay *relay);

#endif
