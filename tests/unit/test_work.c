/* test_work.c - jobs, the bounded queue, deadlines, sharing a batch, the end. */
#include "work.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "str.h"

static struct {
	struct loop *loop;
	struct work_pool *pool;
	atomic_int ran, contexts, idled;
	atomic_bool gate; /* blocked jobs wait for it */
	int ends[4];      /* by enum work_end */
	int expected;     /* stop the loop after so many ends */
	size_t taken;
} fix;

static void *context_new(void *owner, unsigned index)
{
	int *context = xcalloc(1, sizeof(*context));

	assert_ptr_equal(owner, &fix);
	*context = (int)index;
	atomic_fetch_add(&fix.contexts, 1);
	return context;
}

static void context_free(void *context)
{
	free(context);
	atomic_fetch_sub(&fix.contexts, 1);
}

static void context_idle(void *context)
{
	(void)context;
	atomic_fetch_add(&fix.idled, 1);
}

static void start(unsigned threads, unsigned max_queue)
{
	struct work_config cfg = {
		.name = "test",
		.threads = threads,
		.max_queue = max_queue,
		.worker_new = context_new,
		.worker_free = context_free,
		.worker_idle = context_idle,
		.owner = &fix,
	};

	memset(&fix, 0, sizeof(fix));
	fix.loop = loop_new(NULL);
	fix.pool = work_pool_new(fix.loop, &cfg, NULL);
	assert_non_null(fix.pool);
}

static void finish(void)
{
	work_pool_free(fix.pool);
	assert_int_equal(fix.contexts, 0);
	loop_free(fix.loop);
}

static void count(void *worker, void *arg)
{
	(void)arg;
	assert_non_null(worker);
	atomic_fetch_add(&fix.ran, 1);
}

static void wait_for_gate(void *worker, void *arg)
{
	(void)worker;
	(void)arg;
	atomic_fetch_add(&fix.ran, 1);
	while (!atomic_load(&fix.gate))
		usleep(1000);
}

static void ended(enum work_end end, void *arg)
{
	int sum = 0;

	(void)arg;
	fix.ends[end]++;
	for (int i = 0; i < 4; i++)
		sum += fix.ends[i];
	if (sum == fix.expected)
		loop_stop(fix.loop);
}

static void run_until(int expected)
{
	fix.expected = expected;
	loop_run(fix.loop);
}

static void block_worker(void)
{
	work_submit(fix.pool, 0, wait_for_gate, ended, NULL);
	while (atomic_load(&fix.ran) == 0)
		usleep(1000);
}

static void every_job_runs_and_ends_once(void **state)
{
	(void)state;
	start(4, 1000);
	for (int i = 0; i < 1000; i++)
		work_submit(fix.pool, 0, count, ended, NULL);
	assert_int_equal(fix.ends[WORK_DONE], 0);
	run_until(1000);
	assert_int_equal(fix.ran, 1000);
	assert_int_equal(fix.ends[WORK_DONE], 1000);
	finish();
}

static void a_full_queue_refuses_later(void **state)
{
	(void)state;
	start(1, 2);
	block_worker();
	for (int i = 0; i < 5; i++)
		work_submit(fix.pool, 0, count, ended, NULL);
	assert_int_equal(fix.ends[WORK_FULL], 0); /* never inside the call */
	assert_int_equal(work_queued(fix.pool), 2);
	assert_int_equal(work_running(fix.pool), 1);
	run_until(3);
	assert_int_equal(fix.ends[WORK_FULL], 3);
	fix.gate = true;
	run_until(6);
	assert_int_equal(fix.ends[WORK_DONE], 3);
	finish();
}

static void waiting_has_a_deadline_though_all_workers_are_busy(void **state)
{
	(void)state;
	start(1, 10);
	block_worker();
	work_submit(fix.pool, 500, count, ended, NULL);
	work_submit(fix.pool, 10, count, ended, NULL);
	work_submit(fix.pool, 0, count, ended, NULL);
	run_until(1);
	assert_int_equal(fix.ends[WORK_EXPIRED], 1);
	run_until(2);
	assert_int_equal(fix.ends[WORK_EXPIRED], 2);
	fix.gate = true;
	run_until(4);
	assert_int_equal(fix.ran, 2);
	finish();
}

static void take_others(void *worker, void *arg)
{
	void *args[8];

	(void)worker;
	(void)arg;
	fix.taken = work_take(fix.pool, take_others, args, 3);
	for (size_t i = 0; i < fix.taken; i++)
		assert_int_equal(*(int *)args[i], (int)i + 1);
	atomic_fetch_add(&fix.ran, 1 + (int)fix.taken);
}

static void a_job_takes_its_like_in_order(void **state)
{
	static int numbers[] = {0, 1, 2, 3};

	(void)state;
	start(1, 10);
	block_worker();
	work_submit(fix.pool, 0, take_others, ended, &numbers[0]);
	work_submit(fix.pool, 0, take_others, ended, &numbers[1]);
	work_submit(fix.pool, 0, count, ended, NULL);
	work_submit(fix.pool, 0, take_others, ended, &numbers[2]);
	work_submit(fix.pool, 0, take_others, ended, &numbers[3]);
	fix.gate = true;
	run_until(6);
	assert_int_equal(fix.taken, 3);
	assert_int_equal(fix.ran, 6);
	assert_int_equal(work_running(fix.pool), 0);
	finish();
}

static void stopping_ends_what_still_waits(void **state)
{
	(void)state;
	start(1, 10);
	block_worker();
	work_submit(fix.pool, 0, count, ended, NULL);
	work_submit(fix.pool, 0, count, ended, NULL);
	fix.gate = true;
	work_pool_free(fix.pool);
	assert_int_equal(fix.ends[WORK_DONE] + fix.ends[WORK_STOPPED], 3);
	assert_int_equal(fix.contexts, 0);
	loop_free(fix.loop);
}

static void block_all_signals_check(void *worker, void *arg)
{
	sigset_t mask;

	(void)worker;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	*(int *)arg = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1;
}

static void workers_get_no_signals(void **state)
{
	int blocked = 0;

	(void)state;
	start(1, 10);
	work_submit(fix.pool, 0, block_all_signals_check, ended, &blocked);
	run_until(1);
	assert_true(blocked);
	finish();
}

static void idle_workers_are_told(void **state)
{
	(void)state;
	start(2, 10);
	for (int i = 0; i < 40 && atomic_load(&fix.idled) < 2; i++)
		usleep(100 * 1000);
	assert_true(fix.idled >= 2);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_runs_and_ends_once),
		cmocka_unit_test(a_full_queue_refuses_later),
		cmocka_unit_test(waiting_has_a_deadline_though_all_workers_are_busy),
		cmocka_unit_test(a_job_takes_its_like_in_order),
		cmocka_unit_test(stopping_ends_what_still_waits),
		cmocka_unit_test(workers_get_no_signals),
		cmocka_unit_test(idle_workers_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
