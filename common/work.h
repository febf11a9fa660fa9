/*
 * work.h - a pool of threads for what would block the loop: database
 * transactions, password hashing.  The only module with a mutex.
 *
 * A job runs on one worker thread and its `done` runs later on the submitting
 * loop; both get the same `arg`.  `done` runs exactly once for every submitted
 * job, never before work_submit() returns.
 *
 * Each worker owns a context made by `worker_new` on its own thread (a database
 * connection, say) and passes it to every job.
 */
#ifndef COMMON_WORK_H
#define COMMON_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"

struct work_pool;

/* Why `done` runs. */
enum work_end {
	WORK_DONE,    /* the job ran */
	WORK_FULL,    /* the queue was full: it did not run */
	WORK_EXPIRED, /* it waited longer than its deadline: it did not run */
	WORK_STOPPED  /* the pool is stopping: it did not run */
};

typedef void (*work_fn)(void *worker, void *arg);
typedef void (*work_done)(enum work_end end, void *arg);

struct work_config {
	const char *name; /* for thread names and metrics; at most 10 bytes */
	unsigned threads;
	unsigned max_queue; /* jobs waiting, not counting running ones */
	size_t stack_bytes; /* 0: 256 KB */
	/* Wake workers at the end of the loop's turn: what comes in one turn is there
	 * together when a job looks for others to take along. */
	bool gather;
	void *(*worker_new)(void *owner, unsigned index); /* may be NULL */
	void (*worker_free)(void *worker);
	/* Called on an idle worker about once a second (keep-alive, reconnect). */
	void (*worker_idle)(void *worker);
	void *owner;
};

struct work_pool *work_pool_new(struct loop *loop, const struct work_config *cfg,
				struct err *err);
/* Takes no more jobs (WORK_STOPPED) and waits until those it has have run or expired;
 * their `done`s run before this returns. Then it may only be freed. */
void work_pool_finish(struct work_pool *pool);
/* Waits for running jobs; queued ones end with WORK_STOPPED. Their `done`s run
 * before this returns. */
void work_pool_free(struct work_pool *pool);

/* Waiting at most `wait_ms` in the queue (0: no limit). */
void work_submit(struct work_pool *pool, int64_t wait_ms, work_fn fn, work_done done,
		 void *arg);

/* From inside a job: takes up to `max` further queued jobs with the same `fn`,
 * so that they can share one transaction. Returns how many; their `done`s run
 * like that of the job that took them. */
size_t work_take(struct work_pool *pool, work_fn fn, void **args, size_t max);

unsigned work_queued(const struct work_pool *pool);
unsigned work_running(const struct work_pool *pool);

#endif
