/*
 * loop.h - what every event loop of ours needs: deferred calls, one-shot
 * timers and wake-ups from other threads.
 *
 * A `struct loop` wraps an event_base and belongs to the thread that runs it;
 * only loop_post() may be called from elsewhere.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct loop;
typedef void (*loop_fn)(void *arg);

/* From the first one on, what libevent has to say goes to our log. */
struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop); /* deferred calls still queued are run */
struct event_base *loop_base(struct loop *loop);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop); /* own thread */

/* `fn` runs on a later turn of this loop, in order, never inside this call. */
void loop_defer(struct loop *loop, loop_fn fn, void *arg);
/* The same from any thread (a lock-free list and an eventfd). */
void loop_post(struct loop *loop, loop_fn fn, void *arg);

/* One-shot timer. Owned by the caller; freeing it cancels it. It may be
 * started again, also from its own callback. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *arg);
void loop_timer_start(struct loop_timer *timer, int64_t after_ms);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Monotonic ms when the loop last turned a heartbeat (every 100 ms); safe from
 * any thread. The base of /healthz. */
int64_t loop_last_turn_ms(const struct loop *loop);

#endif
