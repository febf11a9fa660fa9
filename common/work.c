/*
 * work.c - the thread pool, and the project's only mutex.
 *
 * A job waits in `queue`, runs on a worker, and then waits in `finished` for the
 * loop to call its `done`.  Refused and expired jobs go to `finished` as well,
 * so there is one way out.  The pool outlives work_pool_free() by one turn when
 * a wake-up of the loop is still on its way (`posted`).
 */
#include "work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "str.h"
#include "timeutil.h"

#define DEFAULT_STACK (256 * 1024)
/* Sanitizers put large red zones around everything on the stack. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_FACTOR 4
#else
#define STACK_FACTOR 1
#endif
#define IDLE_MS        1000
#define NAME_MAX_BYTES 16 /* limit of the kernel, with the zero */

struct job {
	work_fn fn;
	work_done done;
	void *arg;
	int64_t expires_ms; /* monotonic; 0: never */
	enum work_end end;
	struct job *next;
};

struct list {
	struct job *first, **end;
};

struct worker {
	struct work_pool *pool;
	unsigned index;
	pthread_t thread;
	struct list taken; /* by the running job, ended together with it */
};

struct work_pool {
	struct loop *loop;
	struct work_config cfg;
	struct worker *workers;
	unsigned started; /* threads that exist */

	pthread_mutex_t lock;  /* guards what follows, and every `taken` */
	pthread_cond_t wanted; /* a job came, or the end */
	struct list queue, finished;
	unsigned queued, running;
	unsigned idle; /* workers that wait for a job */
	bool stopping;
	bool posted; /* on_finished() is on its way to the loop */

	/* the loop's own */
	struct loop_timer *expiry;
	int64_t expiry_at;       /* 0: not armed */
	struct loop_timer *wake; /* of cfg.gather */
	bool wake_due;
	bool freed;
};

static void list_init(struct list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_push(struct list *list, struct job *job)
{
	job->next = NULL;
	*list->end = job;
	list->end = &job->next;
}

/* Unlinks the job at `*at`; returns it. */
static struct job *list_cut(struct list *list, struct job **at)
{
	struct job *job = *at;

	*at = job->next;
	if (list->end == &job->next)
		list->end = at;
	job->next = NULL;
	return job;
}

static void pool_release(struct work_pool *pool)
{
	pthread_cond_destroy(&pool->wanted);
	pthread_mutex_destroy(&pool->lock);
	free(pool->workers);
	free(pool);
}

/* Calls the `done` of everything finished, also of what finishes meanwhile. */
static void run_finished(struct work_pool *pool)
{
	for (;;) {
		struct job *job, *next;

		pthread_mutex_lock(&pool->lock);
		job = pool->finished.first;
		list_init(&pool->finished);
		pthread_mutex_unlock(&pool->lock);
		if (!job)
			return;
		for (; job; job = next) {
			next = job->next;
			job->done(job->end, job->arg);
			free(job);
		}
	}
}

static void on_finished(void *arg)
{
	struct work_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	pool->posted = false;
	pthread_mutex_unlock(&pool->lock);
	if (pool->freed)
		pool_release(pool);
	else
		run_finished(pool);
}

/* Call with the lock. */
static void finish(struct work_pool *pool, struct job *job, enum work_end end)
{
	job->end = end;
	list_push(&pool->finished, job);
	if (pool->posted)
		return;
	pool->posted = true;
	loop_post(pool->loop, on_finished, pool);
}

static bool expired(const struct job *job, int64_t now)
{
	return job->expires_ms && job->expires_ms <= now;
}

/* The next job that may still run, or NULL. Call with the lock. */
static struct job *next_job(struct work_pool *pool)
{
	int64_t now = time_mono_ms();

	while (pool->queue.first) {
		struct job *job = list_cut(&pool->queue, &pool->queue.first);

		pool->queued--;
		if (!expired(job, now))
			return job;
		finish(pool, job, WORK_EXPIRED);
	}
	return NULL;
}

/* Call with the lock; it is free while the job runs. */
static void run_job(struct worker *worker, struct job *job, void *context)
{
	struct work_pool *pool = worker->pool;

	pool->running++;
	pthread_mutex_unlock(&pool->lock);
	job->fn(context, job->arg);
	pthread_mutex_lock(&pool->lock);
	pool->running--;
	finish(pool, job, WORK_DONE);
	while (worker->taken.first) {
		pool->running--;
		finish(pool, list_cut(&worker->taken, &worker->taken.first), WORK_DONE);
	}
}

/* Waits for a job or the end; after IDLE_MS without one, true. Call with the lock. */
static bool wait_idle(struct work_pool *pool)
{
	struct timespec until;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_MS / 1000;
	pool->idle++;
	rc = pthread_cond_timedwait(&pool->wanted, &pool->lock, &until);
	pool->idle--;
	return rc == ETIMEDOUT;
}

static void serve(struct worker *worker, void *context)
{
	struct work_pool *pool = worker->pool;

	pthread_mutex_lock(&pool->lock);
	while (!pool->stopping || pool->queue.first) {
		struct job *job = next_job(pool);

		if (job) {
			run_job(worker, job, context);
		} else if (!pool->stopping && wait_idle(pool) && pool->cfg.worker_idle) {
			pthread_mutex_unlock(&pool->lock);
			pool->cfg.worker_idle(context);
			pthread_mutex_lock(&pool->lock);
		}
	}
	pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const struct work_config *cfg = &worker->pool->cfg;
	char name[NAME_MAX_BYTES];
	void *context = NULL;

	snprintf(name, sizeof(name), "%.10s-%u", cfg->name, worker->index % 1000);
	pthread_setname_np(pthread_self(), name);
	if (cfg->worker_new)
		context = cfg->worker_new(cfg->owner, worker->index);
	serve(worker, context);
	if (cfg->worker_free)
		cfg->worker_free(context);
	return NULL;
}

/* Signals belong to the loop's thread: workers start with all of them blocked. */
static bool start_workers(struct work_pool *pool, struct err *err)
{
	size_t stack = pool->cfg.stack_bytes ? pool->cfg.stack_bytes : DEFAULT_STACK;
	pthread_attr_t attr;
	sigset_t all, old;
	int rc = 0;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack * STACK_FACTOR);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (rc == 0 && pool->started < pool->cfg.threads) {
		struct worker *worker = &pool->workers[pool->started];

		rc = pthread_create(&worker->thread, &attr, worker_main, worker);
		if (rc == 0)
			pool->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		err_set(err, ERR_INTERNAL, "cannot start thread %s-%u: %s",
			pool->cfg.name, pool->started, strerror(rc));
	return rc == 0;
}

static void init_lock(struct work_pool *pool)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->wanted, &attr);
	pthread_condattr_destroy(&attr);
}

/* Ends what waited too long even when no worker becomes free to look at it. */
static void on_expiry(void *arg)
{
	struct work_pool *pool = arg;
	int64_t now = time_mono_ms();
	int64_t soonest = 0;
	struct job **at;

	pthread_mutex_lock(&pool->lock);
	at = &pool->queue.first;
	while (*at) {
		struct job *job = *at;

		if (expired(job, now)) {
			pool->queued--;
			finish(pool, list_cut(&pool->queue, at), WORK_EXPIRED);
			continue;
		}
		if (job->expires_ms && (!soonest || job->expires_ms < soonest))
			soonest = job->expires_ms;
		at = &job->next;
	}
	pthread_mutex_unlock(&pool->lock);
	pool->expiry_at = soonest;
	if (soonest)
		loop_timer_start(pool->expiry, soonest - now);
}

static void arm_expiry(struct work_pool *pool, const struct job *job, int64_t wait_ms)
{
	if (pool->expiry_at && pool->expiry_at <= job->expires_ms)
		return;
	pool->expiry_at = job->expires_ms;
	loop_timer_start(pool->expiry, wait_ms);
}

static void on_turn_end(void *arg)
{
	struct work_pool *pool = arg;

	pool->wake_due = false;
	pthread_mutex_lock(&pool->lock);
	pthread_cond_broadcast(&pool->wanted);
	pthread_mutex_unlock(&pool->lock);
}

/* A job was queued. */
static void wake_worker(struct work_pool *pool)
{
	if (!pool->cfg.gather) {
		pthread_cond_signal(&pool->wanted);
	} else if (!pool->wake_due) {
		pool->wake_due = true;
		loop_timer_start(pool->wake, 0);
	}
}

struct work_pool *work_pool_new(struct loop *loop, const struct work_config *cfg,
				struct err *err)
{
	struct work_pool *pool = xcalloc(1, sizeof(*pool));

	pool->loop = loop;
	pool->cfg = *cfg;
	pool->workers = xcalloc(cfg->threads, sizeof(*pool->workers));
	for (unsigned i = 0; i < cfg->threads; i++) {
		pool->workers[i].pool = pool;
		pool->workers[i].index = i;
		list_init(&pool->workers[i].taken);
	}
	list_init(&pool->queue);
	list_init(&pool->finished);
	init_lock(pool);
	pool->expiry = loop_timer_new(loop, on_expiry, pool);
	pool->wake = loop_timer_new(loop, on_turn_end, pool);
	if (!start_workers(pool, err)) {
		work_pool_free(pool);
		return NULL;
	}
	return pool;
}

/* Call with the lock, which is given up. */
static void end_workers(struct work_pool *pool)
{
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wanted);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->workers[i].thread, NULL);
	pool->started = 0;
	run_finished(pool);
}

void work_pool_finish(struct work_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	end_workers(pool);
}

void work_pool_free(struct work_pool *pool)
{
	bool posted;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	while (pool->queue.first) {
		pool->queued--;
		finish(pool, list_cut(&pool->queue, &pool->queue.first), WORK_STOPPED);
	}
	end_workers(pool);
	loop_timer_free(pool->expiry);
	loop_timer_free(pool->wake);
	pool->freed = true;
	pthread_mutex_lock(&pool->lock);
	posted = pool->posted;
	pthread_mutex_unlock(&pool->lock);
	if (!posted)
		pool_release(pool);
}

void work_submit(struct work_pool *pool, int64_t wait_ms, work_fn fn, work_done done,
		 void *arg)
{
	struct job *job = xcalloc(1, sizeof(*job));

	job->fn = fn;
	job->done = done;
	job->arg = arg;
	job->expires_ms = wait_ms > 0 ? time_mono_ms() + wait_ms : 0;
	pthread_mutex_lock(&pool->lock);
	if (pool->stopping) {
		finish(pool, job, WORK_STOPPED);
	} else if (pool->queued >= pool->cfg.max_queue + pool->idle) {
		finish(pool, job, WORK_FULL);
	} else {
		list_push(&pool->queue, job);
		pool->queued++;
		if (job->expires_ms)
			arm_expiry(pool, job, wait_ms);
		wake_worker(pool);
	}
	pthread_mutex_unlock(&pool->lock);
}

static struct worker *own_worker(struct work_pool *pool)
{
	for (unsigned i = 0; i < pool->cfg.threads; i++) {
		if (pthread_equal(pool->workers[i].thread, pthread_self()))
			return &pool->workers[i];
	}
	return NULL;
}

size_t work_take(struct work_pool *pool, work_fn fn, void **args, size_t max)
{
	struct worker *worker;
	int64_t now = time_mono_ms();
	struct job **at;
	size_t n = 0;

	pthread_mutex_lock(&pool->lock);
	worker = own_worker(pool);
	at = &pool->queue.first;
	while (worker && *at && n < max) {
		struct job *job = *at;

		if (job->fn != fn || expired(job, now)) {
			at = &job->next;
			continue;
		}
		args[n++] = job->arg;
		list_push(&worker->taken, list_cut(&pool->queue, at));
		pool->queued--;
		pool->running++;
	}
	pthread_mutex_unlock(&pool->lock);
	return n;
}

static unsigned locked_count(const struct work_pool *pool, const unsigned *count)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&pool->lock;
	unsigned n;

	pthread_mutex_lock(lock);
	n = *count;
	pthread_mutex_unlock(lock);
	return n;
}

unsigned work_queued(const struct work_pool *pool)
{
	return locked_count(pool, &pool->queued);
}

unsigned work_running(const struct work_pool *pool)
{
	return locked_count(pool, &pool->running);
}
