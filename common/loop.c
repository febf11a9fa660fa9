/*
 * loop.c - one event_base with a list of deferred calls, a mailbox for other
 * threads, and a heartbeat.
 *
 * Deferred calls hang on one event that is made active when the list gets its
 * first entry.  The mailbox is a lock-free stack: posting threads push, the loop
 * takes everything at once and turns it round.  Only the push that finds the
 * stack empty writes to the eventfd, so a burst costs one wake-up.
 */
#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"
#include "str.h"
#include "timeutil.h"

#define HEARTBEAT_MS 100

struct call {
	loop_fn fn;
	void *arg;
	struct call *next;
};

struct loop {
	struct event_base *base;
	struct call *deferred, **deferred_end; /* in order */
	struct event *drain;                   /* runs `deferred` */
	bool draining;
	bool stopped;                  /* loop_stop() came, perhaps before loop_run() */
	_Atomic(struct call *) posted; /* newest first */
	int wake_fd;                   /* eventfd */
	struct event *wake;
	struct event *heartbeat;
	_Atomic int64_t last_turn_ms;
};

struct loop_timer {
	struct event *event;
	loop_fn fn;
	void *arg;
};

static struct call *call_new(loop_fn fn, void *arg)
{
	struct call *call = xcalloc(1, sizeof(*call));

	call->fn = fn;
	call->arg = arg;
	return call;
}

static void run_calls(struct call *call)
{
	while (call) {
		struct call *next = call->next;

		call->fn(call->arg);
		free(call);
		call = next;
	}
}

static void run_deferred(struct loop *loop)
{
	struct call *calls = loop->deferred;

	loop->deferred = NULL;
	loop->deferred_end = &loop->deferred;
	loop->draining = true;
	run_calls(calls);
	loop->draining = false;
}

static void on_drain(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval now = {0, 0};
	struct loop *loop = arg;

	(void)fd;
	(void)what;
	run_deferred(loop);
	/* event_active() would run it again in this same turn, before any
	 * socket is looked at: a call that defers itself could starve them. */
	if (loop->deferred)
		event_add(loop->drain, &now);
}

static void run_posted(struct loop *loop)
{
	struct call *newest = atomic_exchange(&loop->posted, NULL);
	struct call *oldest = NULL;

	while (newest) {
		struct call *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	run_calls(oldest);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;

	(void)what;
	/* Read before taking the list: a push after the exchange writes again. */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		abort();
	run_posted(arg);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	(void)fd;
	(void)what;
	atomic_store_explicit(&loop->last_turn_ms, time_mono_ms(), memory_order_relaxed);
}

static bool add_events(struct loop *loop)
{
	const struct timeval beat = {0, HEARTBEAT_MS * 1000};

	loop->drain = event_new(loop->base, -1, 0, on_drain, loop);
	loop->wake =
		event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
	loop->heartbeat = event_new(loop->base, -1, EV_PERSIST, on_heartbeat, loop);
	return loop->drain && loop->wake && loop->heartbeat &&
	       event_add(loop->wake, NULL) == 0 && event_add(loop->heartbeat, &beat) == 0;
}

/* Its own way is bare text on stderr. What it notes in passing (a name server did not
 * answer, and does again) is told by whoever asked, if it matters. */
static void on_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_ERR)
		log_error("libevent", LOG_STR("why", text));
	else if (severity == EVENT_LOG_WARN)
		log_warn("libevent", LOG_STR("why", text));
	else
		log_debug("libevent", LOG_STR("why", text));
}

static void speak_json(void)
{
	event_set_log_callback(on_libevent);
}

struct loop *loop_new(struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct loop *loop = xcalloc(1, sizeof(*loop));

	pthread_once(&once, speak_json);
	loop->deferred_end = &loop->deferred;
	loop->last_turn_ms = time_mono_ms();
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->base = event_base_new();
	if (loop->wake_fd < 0 || !loop->base || !add_events(loop)) {
		err_set(err, ERR_INTERNAL, "cannot make an event loop: %s",
			strerror(errno));
		loop_free(loop);
		return NULL;
	}
	return loop;
}

static void event_free_maybe(struct event *event)
{
	if (event)
		event_free(event);
}

static void run_left_over(struct loop *loop)
{
	while (loop->deferred || atomic_load(&loop->posted)) {
		run_posted(loop);
		run_deferred(loop);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	run_left_over(loop);
	/* A closed bufferevent with a callback under way is only let go by it. */
	if (loop->base)
		event_base_loop(loop->base, EVLOOP_NONBLOCK);
	run_left_over(loop);
	event_free_maybe(loop->drain);
	event_free_maybe(loop->wake);
	event_free_maybe(loop->heartbeat);
	if (loop->base)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	free(loop);
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

void loop_run(struct loop *loop)
{
	while (!loop->stopped)
		event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
	event_base_loopbreak(loop->base);
}

void loop_defer(struct loop *loop, loop_fn fn, void *arg)
{
	struct call *call = call_new(fn, arg);

	if (!loop->deferred && !loop->draining)
		event_active(loop->drain, EV_TIMEOUT, 0);
	*loop->deferred_end = call;
	loop->deferred_end = &call->next;
}

void loop_post(struct loop *loop, loop_fn fn, void *arg)
{
	static const uint64_t one = 1;
	struct call *call = call_new(fn, arg);
	struct call *below = atomic_load_explicit(&loop->posted, memory_order_relaxed);

	do {
		call->next = below;
	} while (!atomic_compare_exchange_weak(&loop->posted, &below, call));
	/* From here on `call` may have run and be gone. */
	if (!below && write(loop->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		abort();
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;

	(void)fd;
	(void)what;
	timer->fn(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *arg)
{
	struct loop_timer *timer = xcalloc(1, sizeof(*timer));

	timer->fn = fn;
	timer->arg = arg;
	timer->event = event_new(loop->base, -1, 0, on_timer, timer);
	if (!timer->event)
		abort();
	return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t after_ms)
{
	int64_t ms = after_ms > 0 ? after_ms : 0;
	struct timeval after = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(timer->event, &after);
}

void loop_timer_stop(struct loop_timer *timer)
{
	event_del(timer->event);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	event_free(timer->event);
	free(timer);
}

int64_t loop_last_turn_ms(const struct loop *loop)
{
	return atomic_load_explicit(&loop->last_turn_ms, memory_order_relaxed);
}
