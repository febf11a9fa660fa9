/* engine_metrics.c - names and help texts. */
#include "engine_metrics.h"

#include <stdio.h>
#include <string.h>

#define P "shop_processor_"

static void init_events(struct engine_metrics *m, struct metrics *metrics)
{
	static const char *const types[] = {
		[ORDER_CREATED] = "type=\"created\"",
		[ORDER_CANCELLED] = "type=\"cancelled\"",
		[ORDER_OTHER] = "type=\"other\"",
	};
	char label[64];

	for (int i = 0; i <= ORDER_OTHER; i++)
		m->events[i] = metrics_counter(metrics, P "events_total",
					       "events taken in, by type", types[i]);
	for (int i = REJECT_NONE + 1; i < REJECT_COUNT; i++) {
		snprintf(label, sizeof(label), "reason=\"%s\"",
			 reject_name((enum reject_reason)i));
		m->rejected[i] =
			metrics_counter(metrics, P "dlq_total",
					"records sent to the dead letters", label);
	}
	m->duplicates = metrics_counter(metrics, P "duplicates_total",
					"events seen before and dropped", NULL);
	m->late = metrics_counter(metrics, P "late_total",
				  "events whose window was folded already", NULL);
	m->lost = metrics_counter(metrics, P "missing_events_total",
				  "numbers of events given up as missing (alarm)", NULL);
	m->first_beyond =
		metrics_counter(metrics, P "first_beyond_total",
				"users first seen with a number beyond the window", NULL);
}

static void init_transactions(struct engine_metrics *m, struct metrics *metrics)
{
	m->commits = metrics_counter(metrics, P "commits_total", "transactions committed",
				     NULL);
	m->aborts = metrics_counter(metrics, P "aborts_total",
				    "transactions aborted and done again", NULL);
	m->restarts = metrics_counter(
		metrics, P "restarts_total",
		"times everything was begun again from the last commit", NULL);
	m->commit_seconds =
		metrics_histogram(metrics, P "commit_seconds",
				  "time to write and commit a transaction", NULL);
	m->rebalances = metrics_counter(metrics, P "rebalances_total",
					"assignments of partitions received", NULL);
}

static void init_restore(struct engine_metrics *m, struct metrics *metrics)
{
	m->restores = metrics_counter(metrics, P "restores_total",
				      "partitions whose state was read back", NULL);
	m->restored_records = metrics_counter(metrics, P "restored_records_total",
					      "records read to restore state", NULL);
	m->restore_seconds = metrics_histogram(metrics, P "restore_seconds",
					       "time to restore an assignment", NULL);
	m->restoring = metrics_gauge(metrics, P "restoring",
				     "partitions whose state is not read back yet", NULL);
	m->restore_timeouts =
		metrics_counter(metrics, P "restore_timeouts_total",
				"restores that passed their deadline (alarm)", NULL);
}

static void init_gauges(struct engine_metrics *m, struct metrics *metrics)
{
	m->lag = metrics_gauge(metrics, P "lag", "order events not counted yet", NULL);
	m->partitions = metrics_gauge(metrics, P "partitions",
				      "partitions assigned to this instance", NULL);
	m->users = metrics_gauge(metrics, P "users", "users in memory", NULL);
	m->windows = metrics_gauge(metrics, P "windows", "windows in memory", NULL);
}

void engine_metrics_init(struct engine_metrics *m, struct metrics *metrics)
{
	init_events(m, metrics);
	init_transactions(m, metrics);
	init_restore(m, metrics);
	init_gauges(m, metrics);
}

static void move(struct metric *metric, int64_t n)
{
	if (n != 0)
		metric_add(metric, n);
}

void engine_metrics_publish(struct engine_metrics *m, struct tally *tally)
{
	for (int i = 0; i <= ORDER_OTHER; i++)
		move(m->events[i], tally->events[i]);
	for (int i = REJECT_NONE + 1; i < REJECT_COUNT; i++)
		move(m->rejected[i], tally->rejected[i]);
	move(m->duplicates, tally->duplicates);
	move(m->late, tally->late);
	move(m->lost, tally->lost);
	move(m->first_beyond, tally->first_beyond);
	memset(tally, 0, sizeof(*tally));
}
