/*
 * engine_metrics.h - what the engine counts.
 *
 * What happens to events is tallied in the transaction and published when it
 * commits: an aborted one is computed again and must not be seen twice.
 */
#ifndef PROCESSOR_ENGINE_METRICS_H
#define PROCESSOR_ENGINE_METRICS_H

#include "metrics.h"
#include "order_event.h"

struct tally {
	int64_t events[ORDER_OTHER + 1]; /* by type, without duplicates */
	int64_t duplicates, late, lost, first_beyond;
	int64_t rejected[REJECT_COUNT];
};

struct engine_metrics {
	struct metric *events[ORDER_OTHER + 1];
	struct metric *duplicates, *late, *lost, *first_beyond;
	struct metric *rejected[REJECT_COUNT];
	struct metric *commits, *aborts, *restarts, *commit_seconds;
	struct metric *rebalances, *restores, *restore_seconds, *restored_records;
	struct metric *restoring, *restore_timeouts;
	struct metric *lag, *partitions, *users, *windows;
};

void engine_metrics_init(struct engine_metrics *m, struct metrics *metrics);
/* Adds the tally to the counters and clears it. */
void engine_metrics_publish(struct engine_metrics *m, struct tally *tally);

#endif
