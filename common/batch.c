/*
 * batch.c - lanes: work pools of one thread each, whose jobs take along what
 * waits behind them.
 *
 *   batch_add (loop) -> run_batch (lane) -> member_done (loop)
 */
#include "batch.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "db_internal.h"
#include "timeutil.h"

/* So long a lone member waits for a locked row, while nobody waits behind it. */
#define PATIENCE_MS 5000
/* So many members may each wait for a locked row before the rest are not tried. */
#define MAX_BLOCKED 3

struct lane {
	struct batch_stage *stage;
	struct work_pool *work;
};

struct batch_stage {
	struct batch_config cfg;
	struct db_pool *pool;
	int64_t queue_ms;
	struct metric *seconds, *members, *alone, *refused, *queued;
	struct lane lanes[];
};

struct waiting {
	struct lane *lane;
	uint64_t number; /* of the lane; what has the same is about the same rows */
	void *member;
	db_done done;
	void *arg;
	bool ok;
	bool blocked; /* by a row that somebody else holds */
	struct err err;
};

/* ---- on a lane's thread ---- */

static bool run_some(struct db_conn *conn, struct waiting **w, size_t n, struct err *err)
{
	struct batch_stage *stage = w[0]->lane->stage;
	uint64_t started = time_mono_us();
	void *members[BATCH_MAX];
	bool ok;

	for (size_t i = 0; i < n; i++)
		members[i] = w[i]->member;
	*err = (struct err){0};
	ok = db_conn_ensure(conn, err) && stage->cfg.run(conn, members, n, err);
	if (stage->seconds)
		metric_observe_us(stage->seconds, time_mono_us() - started);
	return ok;
}

static void end_all(struct waiting **w, size_t n, bool ok, const struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		w[i]->ok = ok;
		if (!ok)
			w[i]->err = *err;
	}
}

/* After run_some() that failed: by a deadlock, or a row that was locked for too long? */
static bool met_others(const struct db_conn *conn, const struct err *err)
{
	return err->code == ERR_BUSY && conn->failed && conn->fault == DB_FAULT_CONFLICT;
}

/* Who has the same number, came before and is blocked; NULL: nobody. */
static const struct waiting *blocked_before(struct waiting **w, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (w[k]->blocked && w[k]->number == w[i]->number)
			return w[k];
	}
	return NULL;
}

/* Each by itself: something is wrong with one of them, or one wants a row that is
 * locked, and which one, only trying can tell.  Not through one time-out after the
 * other: after the server's, or a few at locked rows, the rest are not tried. */
static void run_alone(struct db_conn *conn, struct waiting **w, size_t n)
{
	struct batch_stage *stage = w[0]->lane->stage;
	unsigned blocked = 0;
	bool hangs = false;
	struct err err;
	size_t i;

	for (i = 0; i < n && !hangs && blocked < MAX_BLOCKED; i++) {
		const struct waiting *other = blocked_before(w, i);
		bool ok;

		if (other) {
			end_all(&w[i], 1, false, &other->err);
			continue;
		}
		ok = run_some(conn, &w[i], 1, &err);
		end_all(&w[i], 1, ok, &err);
		hangs = !ok && err.code == ERR_TIMEOUT;
		w[i]->blocked = !ok && met_others(conn, &err);
		blocked += w[i]->blocked;
		if (stage->alone)
			metric_add(stage->alone, 1);
	}
	if (i == n)
		return;
	err_slug(&err, ERR_BUSY, "database_busy", "the database does not answer");
	err.retry_after_s = 1;
	end_all(w + i, n - i, false, &err);
}

/* Waits for a row as long as that keeps nobody else waiting. */
static void run_one(struct db_conn *conn, struct waiting *w)
{
	int64_t give_up_ms = time_mono_ms() + PATIENCE_MS;
	struct err err;
	bool ok;

	do
		ok = run_some(conn, &w, 1, &err);
	while (!ok && met_others(conn, &err) && work_queued(w->lane->work) == 0 &&
	       time_mono_ms() < give_up_ms);
	end_all(&w, 1, ok, &err);
}

static void run_many(struct db_conn *conn, struct waiting **w, size_t n)
{
	struct err err;
	bool ok = run_some(conn, w, n, &err);
	bool away = err.code == ERR_BUSY || err.code == ERR_TIMEOUT;

	if (ok || (away && !met_others(conn, &err)))
		end_all(w, n, ok, &err);
	else
		run_alone(conn, w, n);
}

static void run_batch(void *worker, void *arg)
{
	struct db_conn *conn = worker;
	struct waiting *w[BATCH_MAX] = {arg};
	struct batch_stage *stage = w[0]->lane->stage;
	size_t n;

	/* On busy cores others are about to bring more; on idle ones this is nothing. */
	sched_yield();
	n = 1 + work_take(w[0]->lane->work, run_batch, (void **)&w[1],
			  stage->cfg.max_batch - 1);
	db_conn_drop_stale(conn);
	if (stage->members)
		metric_add(stage->members, (int64_t)n);
	if (n == 1)
		run_one(conn, w[0]);
	else
		run_many(conn, w, n);
}

static void *lane_conn_new(void *owner, unsigned index)
{
	struct lane *lane = owner;

	(void)index;
	return db_pool_conn_new_lane(lane->stage->pool, lane->stage->cfg.transactions);
}

/* ---- on the loop ---- */

static void refuse(struct waiting *w, enum work_end end)
{
	struct batch_stage *stage = w->lane->stage;

	err_slug(&w->err, ERR_BUSY, "database_busy", "%s",
		 end == WORK_STOPPED ? "the service is stopping"
		 : end == WORK_FULL  ? "too many requests wait for the database"
				     : "waited too long for the database");
	w->err.retry_after_s = 1;
	if (stage->refused)
		metric_add(stage->refused, 1);
}

static void member_done(enum work_end end, void *arg)
{
	struct waiting *w = arg;

	if (end != WORK_DONE)
		refuse(w, end);
	w->done(w->ok ? NULL : &w->err, w->arg);
	free(w);
}

void batch_add(struct batch_stage *stage, uint64_t lane, void *member, db_done done,
	       void *arg)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->lane = &stage->lanes[lane % stage->cfg.lanes];
	w->number = lane;
	w->member = member;
	w->done = done;
	w->arg = arg;
	work_submit(w->lane->work, stage->queue_ms, run_batch, member_done, w);
}

/* ---- the stage ---- */

static void collect(void *arg)
{
	struct batch_stage *stage = arg;
	unsigned queued = 0;

	for (unsigned i = 0; i < stage->cfg.lanes; i++)
		queued += work_queued(stage->lanes[i].work);
	metric_set(stage->queued, queued);
}

static void add_metrics(struct batch_stage *stage, struct metrics *metrics)
{
	char label[32];

	snprintf(label, sizeof(label), "stage=\"%s\"", stage->cfg.name);
	stage->seconds =
		metrics_histogram(metrics, "shop_batch_seconds",
				  "Time of batches; its count is their number", label);
	stage->members = metrics_counter(metrics, "shop_batch_members_total",
					 "What was decided in batches", label);
	stage->alone = metrics_counter(
		metrics, "shop_batch_alone_total",
		"Members tried one at a time because their batch failed", label);
	stage->refused = metrics_counter(metrics, "shop_batch_refused_total",
					 "Members that met a full lane or waited too "
					 "long; nothing was done for them",
					 label);
	stage->queued = metrics_gauge(metrics, "shop_batch_queued",
				      "Members that wait for a lane", label);
	metrics_on_collect(metrics, collect, stage);
}

static bool start_lane(struct batch_stage *stage, struct loop *loop, unsigned i,
		       struct err *err)
{
	struct work_config work = {
		.name = stage->cfg.name,
		.threads = 1,
		.gather = true,
		.max_queue = stage->cfg.max_queue,
		.worker_new = lane_conn_new,
		.worker_free = db_pool_conn_free,
		.worker_idle = db_pool_conn_idle,
		.owner = &stage->lanes[i],
	};

	stage->lanes[i].stage = stage;
	stage->lanes[i].work = work_pool_new(loop, &work, err);
	return stage->lanes[i].work != NULL;
}

struct batch_stage *batch_new(struct loop *loop, struct db_pool *pool,
			      const struct batch_config *cfg, struct metrics *metrics,
			      struct err *err)
{
	struct batch_stage *stage =
		xcalloc(1, sizeof(*stage) + cfg->lanes * sizeof(stage->lanes[0]));

	stage->cfg = *cfg;
	if (stage->cfg.max_batch > BATCH_MAX)
		stage->cfg.max_batch = BATCH_MAX;
	stage->pool = pool;
	stage->queue_ms = db_pool_settings(pool)->queue_ms;
	for (unsigned i = 0; i < cfg->lanes; i++) {
		if (!start_lane(stage, loop, i, err)) {
			batch_free(stage);
			return NULL;
		}
	}
	if (metrics)
		add_metrics(stage, metrics);
	return stage;
}

void batch_free(struct batch_stage *stage)
{
	if (!stage)
		return;
	for (unsigned i = 0; i < stage->cfg.lanes; i++)
		work_pool_free(stage->lanes[i].work);
	free(stage);
}
