/*
 * feed.h - the state of the service: reads all of `analytics-results` and keeps
 * users and windows up to date.
 */
#ifndef ANALYTICS_SVC_FEED_H
#define ANALYTICS_SVC_FEED_H

#include "events.h"
#include "users.h"
#include "windows.h"

struct feed;

enum feed_change { FEED_USERS = 1, FEED_WINDOWS = 2 };
/* Runs after a batch, once everything was read for the first time. `what` is a
 * set of enum feed_change. */
typedef void (*feed_changed)(unsigned what, void *arg);

struct feed_config {
	const struct events_settings *events;
	const char *topic;
	size_t max_users;
	feed_changed changed;
	void *arg;
};

struct feed *feed_new(struct loop *loop, const struct feed_config *cfg,
		      struct metrics *metrics, struct err *err);
void feed_free(struct feed *feed); /* accepts NULL */

/* Has everything been read once? After that it stays so without Kafka. `why` is
 * filled otherwise. */
bool feed_ready(struct feed *feed, const char **why);
/* When what we know was last known to be all there is. Wall ms. */
int64_t feed_as_of(struct feed *feed);

/* Owned by the feed. */
struct users *feed_users(struct feed *feed);
const struct windows *feed_windows(const struct feed *feed);

#endif
