/*
 * db_pool.c - the worker threads with their connections, and the way of a job:
 *
 *   db_run (loop) -> run_job (worker) -> job_done (loop)
 */
#include <stdio.h>
#include <stdlib.h>

#include "db_internal.h"
#include "log.h"
#include "timeutil.h"

#define READY_MAX_AGE_MS 10000
#define PING_AFTER_MS    3000
#define LOST_GRACE_MS    1500

const struct config_entry db_config[] = {
	CFG_STR(struct db_settings, host, "DB_HOST", "127.0.0.1", "database server"),
	CFG_INT(struct db_settings, port, "DB_PORT", "3306", 1, 65535,
		"port of the database server"),
	CFG_STR(struct db_settings, socket, "DB_SOCKET", "",
		"Unix socket of the database, instead of host and port"),
	CFG_STR(struct db_settings, user, "DB_USER", NULL, "database user"),
	CFG_SECRET(struct db_settings, password, "DB_PASSWORD", "",
		   "password of the database user"),
	CFG_STR(struct db_settings, name, "DB_NAME", NULL, "schema of this service"),
	CFG_CERTIFICATE(
		struct db_settings, ssl_ca, "DB_SSL_CA",
		"file with the CA that signed the server's certificate; turns TLS on"),
	CFG_BOOL(struct db_settings, ssl_required, "DB_SSL_REQUIRED", "false",
		 "refuse a connection without TLS"),
	CFG_INT(struct db_settings, max_conns, "DB_MAX_CONNS", "8", 1, 256,
		"connections, each with a thread"),
	CFG_INT(struct db_settings, max_queue, "DB_MAX_QUEUE", "256", 1, 100000,
		"jobs that may wait for a connection; more get 503"),
	CFG_INT(struct db_settings, queue_ms, "DB_QUEUE_MS", "2000", 1, 60000,
		"ms a job may wait for a connection; then 503"),
	CFG_INT(struct db_settings, timeout_ms, "DB_TIMEOUT_MS", "10000", 1000, 600000,
		"ms a statement may take (whole seconds); then its connection is closed"),
	CFG_STR(struct db_settings, migrate_user, "DB_MIGRATE_USER", "",
		"database user of --migrate, which needs DDL rights; empty: DB_USER"),
	CFG_SECRET(struct db_settings, migrate_password, "DB_MIGRATE_PASSWORD", "",
		   "password of DB_MIGRATE_USER"),
	CFG_END,
};

struct db_pool {
	const struct db_settings *cfg;
	struct work_pool *work;
	struct db_health health;
	struct metric *seconds, *errors[DB_FAULTS], *refused, *queued, *running;
};

struct job {
	struct db_pool *pool;
	db_job fn;
	db_done done;
	void *arg;
	bool ok;
	struct err err;
};

/* ---- workers ---- */

static struct db_conn *conn_new(struct db_pool *pool, bool lane, bool implicit)
{
	struct db_conn *conn = db_conn_new(pool->cfg, &pool->health);

	conn->lane = lane;
	conn->implicit = implicit;
	mysql_thread_init();
	for (unsigned i = 0; i < DB_FAULTS; i++)
		conn->errors[i] = pool->errors[i];
	if (!db_conn_ensure(conn, NULL))
		log_debug("first connection failed, trying again");
	db_schema_look(conn);
	return conn;
}

struct db_conn *db_pool_conn_new_lane(struct db_pool *pool, bool implicit)
{
	return conn_new(pool, true, implicit);
}

void db_pool_conn_free(void *conn)
{
	db_conn_free(conn);
	mysql_thread_end();
}

void db_pool_conn_idle(void *arg)
{
	struct db_conn *conn = arg;

	db_conn_drop_stale(conn);
	if (!conn->my)
		db_conn_ensure(conn, NULL);
	else if (time_mono_ms() - conn->ping_ms >= PING_AFTER_MS)
		db_conn_ping(conn);
	db_schema_look(conn);
}

const struct db_settings *db_pool_settings(const struct db_pool *pool)
{
	return pool->cfg;
}

static void *worker_new(void *owner, unsigned index)
{
	(void)index;
	return conn_new(owner, false, false);
}

/* ---- jobs ---- */

static void run_job(void *worker, void *arg)
{
	struct db_conn *conn = worker;
	struct job *job = arg;
	uint64_t started = time_mono_us();

	db_conn_drop_stale(conn);
	if (!db_conn_ensure(conn, &job->err))
		return;
	job->ok = job->fn(conn, job->arg, &job->err);
	if (job->pool->seconds)
		metric_observe_us(job->pool->seconds, time_mono_us() - started);
}

static void job_done(enum work_end end, void *arg)
{
	struct job *job = arg;

	if (end != WORK_DONE) {
		err_slug(&job->err, ERR_BUSY, "database_busy", "%s",
			 end == WORK_STOPPED ? "the service is stopping"
			 : end == WORK_FULL  ? "too many requests wait for the database"
					     : "waited too long for the database");
		job->err.retry_after_s = 1;
		if (job->pool->refused)
			metric_add(job->pool->refused, 1);
	}
	job->done(job->ok ? NULL : &job->err, job->arg);
	free(job);
}

void db_run(struct db_pool *pool, db_job fn, db_done done, void *arg)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->pool = pool;
	job->fn = fn;
	job->done = done;
	job->arg = arg;
	work_submit(pool->work, pool->cfg->queue_ms, run_job, job_done, job);
}

/* ---- the pool ---- */

static void collect(void *arg)
{
	struct db_pool *pool = arg;

	metric_set(pool->queued, work_queued(pool->work));
	metric_set(pool->running, work_running(pool->work));
}

/* With a label for a pool beside the program's own, which has none. */
static struct metric *gauge(struct db_pool *pool, struct metrics *metrics,
			    const char *name, const char *help)
{
	char label[32];

	if (!pool->cfg->pool)
		return metrics_gauge(metrics, name, help, NULL);
	snprintf(label, sizeof(label), "pool=\"%s\"", pool->cfg->pool);
	return metrics_gauge(metrics, name, help, label);
}

static void add_metrics(struct db_pool *pool, struct metrics *metrics)
{
	static const char *const kinds[DB_FAULTS] = {
		[DB_FAULT_LOST] = "kind=\"lost\"",
		[DB_FAULT_TIMEOUT] = "kind=\"timeout\"",
		[DB_FAULT_CONFLICT] = "kind=\"conflict\"",
		[DB_FAULT_DUPLICATE] = "kind=\"duplicate\"",
		[DB_FAULT_FULL] = "kind=\"full\"",
		[DB_FAULT_OTHER] = "kind=\"other\"",
	};
	static const char name[] = "shop_db_errors_total";
	static const char help[] = "Failures of the database by kind";

	for (unsigned i = 0; i < DB_FAULTS; i++)
		pool->errors[i] = metrics_counter(metrics, name, help, kinds[i]);
	pool->refused = metrics_counter(metrics, name, help, "kind=\"pool_busy\"");
	pool->seconds = metrics_histogram(metrics, "shop_db_query_seconds",
					  "Time of database jobs", NULL);
	pool->queued = gauge(pool, metrics, "shop_db_pool_queued",
			     "Jobs that wait for a connection");
	pool->running = gauge(pool, metrics, "shop_db_pool_running",
			      "Jobs that run on a connection");
	metric_set(
		gauge(pool, metrics, "shop_db_pool_max", "Connections that there may be"),
		pool->cfg->max_conns);
	metric_set(gauge(pool, metrics, "shop_db_pool_queue_max",
			 "Jobs that may wait for a connection"),
		   pool->cfg->max_queue);
	metrics_on_collect(metrics, collect, pool);
}

struct db_pool *db_pool_new(struct loop *loop, const struct db_settings *cfg,
			    struct metrics *metrics, struct err *err)
{
	struct db_pool *pool = xcalloc(1, sizeof(*pool));
	struct work_config work = {
		.name = cfg->pool ? cfg->pool : "db",
		.threads = (unsigned)cfg->max_conns,
		.max_queue = (unsigned)cfg->max_queue,
		.worker_new = worker_new,
		.worker_free = db_pool_conn_free,
		.worker_idle = db_pool_conn_idle,
		.owner = pool,
	};

	/* Once, before there are threads: mysql_init() would do it unguarded. */
	mysql_library_init(0, NULL, NULL);
	pool->cfg = cfg;
	pool->health.why = "not connected yet";
	pool->health.schema_version = db_migrations_newest(cfg->migrations_dir);
	pool->health.schema_old = pool->health.schema_version > 0;
	if (metrics)
		add_metrics(pool, metrics);
	pool->work = work_pool_new(loop, &work, err);
	if (!pool->work) {
		free(pool);
		return NULL;
	}
	return pool;
}

void db_pool_finish(struct db_pool *pool)
{
	if (pool)
		work_pool_finish(pool->work);
}

void db_pool_free(struct db_pool *pool)
{
	if (!pool)
		return;
	work_pool_free(pool->work);
	free(pool);
}

bool db_ready(struct db_pool *pool, const char **why)
{
	int64_t now = time_mono_ms();
	int64_t ok = atomic_load(&pool->health.ok_ms);
	int64_t lost = atomic_load(&pool->health.lost_ms);

	/* One killed connection is no outage: another worker may speak up. */
	if (!ok || now - ok >= READY_MAX_AGE_MS ||
	    (lost > ok && now - lost >= LOST_GRACE_MS)) {
		*why = atomic_load(&pool->health.why);
		return false;
	}
	*why = "the schema is older than this program: run --migrate";
	return !atomic_load(&pool->health.schema_old);
}
