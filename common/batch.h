/*
 * batch.h - what waits while a transaction commits shares the next one.
 *
 *   batch_add (loop) -> the stage's function (a lane's thread) -> done (loop)
 *
 * A stage is a few lanes, each a thread with a connection of its own and a queue
 * of bounded length.  A lane takes what has queued up, at most `max_batch`
 * members in their order of arrival, and runs the stage's function on all of
 * them.  There is no timer: what comes in one turn of the loop runs at its end, and
 * batches grow only while a commit keeps the lane busy (group commit; DeWitt et al.,
 * SIGMOD 1984).
 *
 * Members with the same `lane` number never run at the same time, and run in
 * their order of arrival.
 */
#ifndef COMMON_BATCH_H
#define COMMON_BATCH_H

#include "db.h"

#define BATCH_MAX 64

struct batch_stage;

/* Decides every member; each keeps its own answer in its own struct.  Runs on a
 * lane's thread and may use nothing of the loop.
 *
 * false: nothing was changed for any of them, `err` says why.  Then, unless the
 * database is away (ERR_BUSY, ERR_TIMEOUT), several members are tried again one
 * at a time, so that what is wrong with one, or the locked row that it meets, cannot
 * fail its neighbours.  Who has the lane number of one that met a locked row gets its
 * end untried; after a time-out, or three at locked rows, the rest get ERR_BUSY.
 *
 * A lane waits a second for a row, a lone member up to five while nobody else waits. */
typedef bool (*batch_fn)(struct db_conn *conn, void **members, size_t n, struct err *err);

struct batch_config {
	const char *name; /* of threads and metrics; at most 8 bytes, a literal */
	batch_fn run;
	/* `run` does little outside of db_tx(): saves BEGINs, but a statement outside
	 * costs a COMMIT, and fails when that does. */
	bool transactions;
	unsigned lanes;     /* connections */
	unsigned max_batch; /* 1 … BATCH_MAX */
	unsigned max_queue; /* members that may wait in one lane; more get ERR_BUSY */
};

/* Lanes connect like the workers of `pool`, whose settings and health they
 * share, and which must outlive the stage. */
struct batch_stage *batch_new(struct loop *loop, struct db_pool *pool,
			      const struct batch_config *cfg, struct metrics *metrics,
			      struct err *err);
/* Waits for running batches; what is queued ends with ERR_BUSY before this
 * returns. Accepts NULL. */
void batch_free(struct batch_stage *stage);

/* `done` runs on the loop exactly once, never before batch_add() returns, like
 * that of db_run(): its `err` is NULL when the stage's function decided the
 * member, ERR_BUSY with retry_after_s when the lane was full or the wait passed
 * DB_QUEUE_MS (nothing ran then).  `member` is the caller's and stays until. */
void batch_add(struct batch_stage *stage, uint64_t lane, void *member, db_done done,
	       void *arg);

#endif
