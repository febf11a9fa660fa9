/* test_loop.c - order of deferred calls, posting from threads, timers, heartbeat. */
#include "loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "timeutil.h"

#define THREADS 4
#define POSTS   5000

struct fixture {
	struct loop *loop;
	char trace[32];
	size_t n;
	int turns;
	struct loop_timer *timer;
	int posted;
	int next[THREADS]; /* expected number of each thread's next post */
	bool in_order;
};

struct note {
	struct fixture *fix;
	char name;
};

static int setup(void **state)
{
	static struct fixture fix;

	fix = (struct fixture){.in_order = true};
	fix.loop = loop_new(NULL);
	*state = &fix;
	return fix.loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	if (fix->loop)
		loop_free(fix->loop);
	return 0;
}

static void write_note(void *arg)
{
	struct note *note = arg;

	note->fix->trace[note->fix->n++] = note->name;
}

static void stop(void *arg)
{
	struct fixture *fix = arg;

	loop_stop(fix->loop);
}

static void deferred_calls_run_later_in_order(void **state)
{
	struct fixture *fix = *state;
	struct note a = {fix, 'a'}, b = {fix, 'b'}, c = {fix, 'c'};

	loop_defer(fix->loop, write_note, &a);
	loop_defer(fix->loop, write_note, &b);
	loop_defer(fix->loop, write_note, &c);
	loop_defer(fix->loop, stop, fix);
	assert_int_equal(fix->n, 0);
	loop_run(fix->loop);
	assert_string_equal(fix->trace, "abc");
}

static void defer_again(void *arg)
{
	struct fixture *fix = arg;

	fix->turns++;
	if (!fix->posted)
		loop_defer(fix->loop, defer_again, fix);
}

static void stop_deferring(void *arg)
{
	struct fixture *fix = arg;

	fix->posted = 1;
	loop_stop(fix->loop);
}

static void endless_deferring_starves_nobody(void **state)
{
	struct fixture *fix = *state;

	fix->timer = loop_timer_new(fix->loop, stop_deferring, fix);
	loop_timer_start(fix->timer, 20);
	loop_defer(fix->loop, defer_again, fix);
	loop_run(fix->loop);
	assert_true(fix->turns > 1);
	loop_timer_free(fix->timer);
}

struct post {
	struct fixture *fix;
	int thread, number;
};

static void on_post(void *arg)
{
	struct post *post = arg;
	struct fixture *fix = post->fix;

	if (fix->next[post->thread]++ != post->number)
		fix->in_order = false;
	if (++fix->posted == THREADS * POSTS)
		loop_stop(fix->loop);
}

static void *poster(void *arg)
{
	struct post *posts = arg;

	for (int i = 0; i < POSTS; i++)
		loop_post(posts->fix->loop, on_post, &posts[i]);
	return NULL;
}

static void posts_of_each_thread_keep_their_order(void **state)
{
	static struct post posts[THREADS][POSTS];
	struct fixture *fix = *state;
	pthread_t threads[THREADS];

	for (int t = 0; t < THREADS; t++) {
		for (int i = 0; i < POSTS; i++)
			posts[t][i] = (struct post){fix, t, i};
		pthread_create(&threads[t], NULL, poster, posts[t]);
	}
	loop_run(fix->loop);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	assert_true(fix->in_order);
	assert_int_equal(fix->posted, THREADS * POSTS);
}

static void on_tick(void *arg)
{
	struct fixture *fix = arg;

	if (++fix->turns == 3)
		loop_stop(fix->loop);
	else
		loop_timer_start(fix->timer, 1);
}

static void a_timer_may_start_itself_again(void **state)
{
	struct fixture *fix = *state;

	fix->timer = loop_timer_new(fix->loop, on_tick, fix);
	loop_timer_start(fix->timer, 1);
	loop_run(fix->loop);
	assert_int_equal(fix->turns, 3);
	loop_timer_free(fix->timer);
}

static void a_stopped_timer_is_silent(void **state)
{
	struct fixture *fix = *state;
	struct loop_timer *end = loop_timer_new(fix->loop, stop, fix);

	fix->timer = loop_timer_new(fix->loop, on_tick, fix);
	loop_timer_start(fix->timer, 5);
	loop_timer_stop(fix->timer);
	loop_timer_start(end, 20);
	loop_run(fix->loop);
	assert_int_equal(fix->turns, 0);
	loop_timer_free(fix->timer);
	loop_timer_free(end);
}

static void the_heart_beats(void **state)
{
	struct fixture *fix = *state;
	int64_t before = loop_last_turn_ms(fix->loop);

	fix->timer = loop_timer_new(fix->loop, stop, fix);
	loop_timer_start(fix->timer, 250);
	loop_run(fix->loop);
	assert_true(loop_last_turn_ms(fix->loop) > before);
	assert_true(loop_last_turn_ms(fix->loop) <= time_mono_ms());
	loop_timer_free(fix->timer);
}

static void stopping_before_running_ends_at_once(void **state)
{
	struct fixture *fix = *state;

	loop_stop(fix->loop);
	loop_run(fix->loop);
}

static void freeing_runs_what_is_queued(void **state)
{
	struct fixture *fix = *state;
	struct note a = {fix, 'a'}, b = {fix, 'b'};

	loop_defer(fix->loop, write_note, &a);
	loop_post(fix->loop, write_note, &b);
	loop_free(fix->loop);
	fix->loop = NULL;
	assert_int_equal(fix->n, 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(deferred_calls_run_later_in_order),
		TEST(posts_of_each_thread_keep_their_order),
		TEST(a_timer_may_start_itself_again),
		TEST(a_stopped_timer_is_silent),
		TEST(the_heart_beats),
		TEST(stopping_before_running_ends_at_once),
		TEST(freeing_runs_what_is_queued),
		TEST(endless_deferring_starves_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
