/*
 * feed.c - from Kafka's records to users and windows.
 *
 * Nothing is stored, so a batch is done when it is in memory.  A record that
 * cannot be decoded is counted and skipped: the rest is still right.
 */
#include "feed.h"

#include <stdlib.h>

#include "log.h"
#include "timeutil.h"

#define KEEP_USERS 100000
#define TICK_MS    250

struct feed {
	struct events_consumer *consumer;
	struct users *users;
	struct windows *windows;
	feed_changed changed;
	void *arg;
	struct loop_timer *tick;
	int64_t as_of_ms, started_ms;
	struct metric *m_bad, *m_back, *m_unknown, *m_users, *m_age, *m_last, *m_dropped;
};

static void note_current(struct feed *feed)
{
	const char *why;

	if (events_consumer_caught_up(feed->consumer) &&
	    events_consumer_ready(feed->consumer, &why) &&
	    events_consumer_lag(feed->consumer) == 0)
		feed->as_of_ms = time_now_ms();
}

static bool put(struct feed *feed, const struct result *r)
{
	const struct user user = {.id = r->user_id,
				  .version = r->version,
				  .orders = r->orders,
				  .spent = r->spent,
				  .last_order_ms = r->last_order_ms};

	if (r->type == RESULT_USER)
		return users_put(feed->users, &user) || r->gone;
	return windows_put(feed->windows, r);
}

/* Returns which of enum feed_change it is. */
static unsigned take(struct feed *feed, const struct events_message *msg)
{
	struct result result;
	struct err err;

	if (!result_decode(msg->key, msg->value, &result, &err)) {
		metric_add(feed->m_bad, 1);
		log_warn("result skipped", LOG_STR("why", err.text),
			 LOG_SLICE("key", msg->key), LOG_INT("partition", msg->partition),
			 LOG_INT("offset", msg->offset));
		return 0;
	}
	if (result.type == RESULT_UNKNOWN) {
		metric_add(feed->m_unknown, 1);
		return 0;
	}
	if (!put(feed, &result))
		metric_add(feed->m_back, 1);
	return result.type == RESULT_USER ? FEED_USERS : FEED_WINDOWS;
}

static void on_batch(struct events_consumer *consumer, const struct events_message *msgs,
		     size_t n, void *arg)
{
	struct feed *feed = arg;
	unsigned what = 0;

	for (size_t i = 0; i < n; i++)
		what |= take(feed, &msgs[i]);
	metric_set(feed->m_last, time_now_ms());
	events_consumer_done(consumer, true);
	if (what && events_consumer_caught_up(consumer))
		feed->changed(what, feed->arg);
}

static void on_caught_up(void *arg)
{
	struct feed *feed = arg;

	feed->as_of_ms = time_now_ms();
	log_info("all results read", LOG_INT("users", users_count(feed->users)));
}

static void on_tick(void *arg)
{
	struct feed *feed = arg;

	note_current(feed);
	metric_set(feed->m_users, (int64_t)users_count(feed->users));
	metric_set(feed->m_dropped, windows_dropped(feed->windows));
	metric_set(feed->m_age,
		   time_now_ms() - (feed->as_of_ms ? feed->as_of_ms : feed->started_ms));
	loop_timer_start(feed->tick, TICK_MS);
}

static void add_metrics(struct feed *feed, struct metrics *metrics)
{
	feed->m_bad = metrics_counter(metrics, "shop_analytics_bad_results_total",
				      "records that could not be decoded", NULL);
	feed->m_back =
		metrics_counter(metrics, "shop_analytics_version_regressions_total",
				"records whose version did not go up", NULL);
	feed->m_unknown = metrics_counter(metrics, "shop_analytics_unknown_results_total",
					  "records of an unknown kind", NULL);
	feed->m_users = metrics_gauge(metrics, "shop_analytics_users",
				      "users kept in memory", NULL);
	feed->m_dropped = metrics_gauge(
		metrics, "shop_analytics_windows_dropped",
		"windows beyond the 14 days that are kept: not in by_window", NULL);
	feed->m_age = metrics_gauge(metrics, "shop_analytics_age_seconds",
				    "time since the data was known to be current, or "
				    "since the start",
				    NULL);
	metric_scale(feed->m_age, 1000);
	feed->m_last = metrics_gauge(
		metrics, "shop_analytics_last_result_timestamp_seconds",
		"when results of the processor last came; 0: none yet", NULL);
	metric_scale(feed->m_last, 1000);
}

struct feed *feed_new(struct loop *loop, const struct feed_config *cfg,
		      struct metrics *metrics, struct err *err)
{
	struct feed *feed = xcalloc(1, sizeof(*feed));
	const struct events_consumer_config consumer = {.topic = cfg->topic,
							.start = EVENTS_EVERYTHING,
							.on_batch = on_batch,
							.on_caught_up = on_caught_up,
							.arg = feed};

	feed->changed = cfg->changed;
	feed->arg = cfg->arg;
	feed->started_ms = time_now_ms();
	feed->users = users_new(cfg->max_users, KEEP_USERS);
	feed->windows = windows_new();
	feed->tick = loop_timer_new(loop, on_tick, feed);
	add_metrics(feed, metrics);
	feed->consumer = events_consumer_new(loop, cfg->events, &consumer, metrics, err);
	if (!feed->consumer) {
		feed_free(feed);
		return NULL;
	}
	loop_timer_start(feed->tick, TICK_MS);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	events_consumer_free(feed->consumer);
	loop_timer_free(feed->tick);
	users_free(feed->users);
	windows_free(feed->windows);
	free(feed);
}

bool feed_ready(struct feed *feed, const char **why)
{
	if (events_consumer_caught_up(feed->consumer))
		return true;
	if (events_consumer_ready(feed->consumer, why))
		*why = "still reading the results";
	return false;
}

int64_t feed_as_of(struct feed *feed)
{
	note_current(feed);
	return feed->as_of_ms;
}

struct users *feed_users(struct feed *feed)
{
	return feed->users;
}

const struct windows *feed_windows(const struct feed *feed)
{
	return feed->windows;
}
