/*
 * engine.c - the engine thread and its face to the main loop.
 *
 *   connect -> (poll, count, commit)... -> last commit -> leave the group -> end
 */
#include "engine_internal.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "id.h"
#include "log.h"
#include "timeutil.h"

#define POLL_MS          100
#define BURST            64 /* events between two looks at the clock */
#define TICK_MS          250
#define PROBE_MS         5000
#define IDLE_MS          5000  /* without input: windows end by the clock */
#define BACKLOG          10000 /* events; fetching so many needs memory */
#define FENCED_MS        60000
#define CONTACT_MS       15000
#define WATCHDOG_MS      1000
#define WATCHDOG_MAX     30
#define RESTART_PAUSE_MS 500
#define CLOSE_MAX_S      3

/* ---- for the other files ---- */

bool engine_running(const struct engine *engine)
{
	return !engine->failed && !atomic_load(&engine->stopping);
}

static bool give_up(struct engine *engine, bool again, const char *fmt, va_list ap)
{
	if (engine->failed)
		return false;
	engine->failed = true;
	engine->again = again;
	vsnprintf(engine->failure.text, sizeof(engine->failure.text), fmt, ap);
	return false;
}

bool engine_fail(struct engine *engine, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_up(engine, false, fmt, ap);
	va_end(ap);
	return false;
}

bool engine_again(struct engine *engine, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give_up(engine, true, fmt, ap);
	va_end(ap);
	return false;
}

void engine_turned(struct engine *engine)
{
	atomic_fetch_add_explicit(&engine->turns, 1, memory_order_relaxed);
}

void engine_contact(struct engine *engine)
{
	atomic_store(&engine->contact_ms, time_mono_ms());
}

/* Kafka also fences without a second process: when a broker went away between a
 * request to join and its answer, or ended a transaction that took too long. Two
 * processes with one slot would go on fencing each other until one ends. */
bool engine_fenced(struct engine *engine, const char *call, const char *why)
{
	int64_t now = time_mono_ms();
	int64_t *oldest = &engine->fenced_ms[engine->n_fenced % ENGINE_FENCED_MAX];
	bool often = *oldest != 0 && now - *oldest < FENCED_MS;

	if (engine->failed)
		return false;
	*oldest = now;
	engine->n_fenced++;
	if (!often)
		return engine_again(engine, "%s: %s", call, why);
	return engine_fail(engine,
			   "%s: %s, again and again: is another processor running with "
			   "PROCESSOR_SLOT=%" PRId64 "?",
			   call, why, engine->cfg->slot);
}

void engine_fatal(struct engine *engine, const char *call, const rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);

	if (code == RD_KAFKA_RESP_ERR__FENCED ||
	    code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED)
		engine_fenced(engine, call, rd_kafka_error_string(error));
	else
		engine_again(engine, "%s: %s: %s", call, rd_kafka_error_name(error),
			     rd_kafka_error_string(error));
}

/* ---- turns ---- */

static int wait_ms(const struct engine *engine)
{
	int64_t left;

	if (!engine->in_txn)
		return POLL_MS;
	left = engine->txn_deadline_ms - time_mono_ms();
	if (left < 0)
		return 0;
	return left < POLL_MS ? (int)left : POLL_MS;
}

static bool in_contact(const struct engine *engine, int64_t now_ms)
{
	return now_ms - atomic_load(&engine->contact_ms) < CONTACT_MS;
}

/* Without input the clock ends windows, in a transaction opened only if there
 * is something to end. */
static void close_idle_windows(struct engine *engine, int64_t now_ms)
{
	int64_t wall_ms = time_now_ms();

	for (int32_t i = 0; i < engine->partitions; i++) {
		struct partition *p = &engine->part[i];

		if (!p->state || now_ms - p->last_input_ms < IDLE_MS ||
		    !state_close_due(p->state, wall_ms, true))
			continue;
		if (!txn_begin(engine))
			return;
		state_close(p->state, wall_ms, true);
	}
}

static int64_t lag_of(struct engine *engine, int32_t partition)
{
	const struct partition *p = &engine->part[partition];
	int64_t low = 0, high = -1;

	if (rd_kafka_get_watermark_offsets(engine->consumer, engine->cfg->orders_topic,
					   partition, &low, &high) ||
	    high < 0)
		return 0;
	if (p->next > low)
		low = p->next;
	return high > low ? high - low : 0;
}

/* The allocator keeps what a restore or a backlog took, and it will not be wanted again
 * soon.  Not while there is work: a large heap takes some milliseconds. */
static void give_back_memory(struct engine *engine, int64_t lag)
{
	engine->heap_is_loose = engine->heap_is_loose || lag > BACKLOG;
	if (!engine->heap_is_loose || lag > 0)
		return;
	malloc_trim(0);
	engine->heap_is_loose = false;
}

int64_t engine_show(struct engine *engine)
{
	int64_t lag = 0, partitions = 0, users = 0, windows = 0;

	for (int32_t i = 0; i < engine->partitions; i++) {
		const struct state *state = engine->part[i].state;

		if (!state)
			continue;
		partitions++;
		users += (int64_t)state_users(state);
		windows += (int64_t)state_windows(state);
		lag += lag_of(engine, i);
	}
	metric_set(engine->metrics.lag, lag);
	metric_set(engine->metrics.partitions, partitions);
	metric_set(engine->metrics.users, users);
	metric_set(engine->metrics.windows, windows);
	return lag;
}

static void tick(struct engine *engine, int64_t now_ms)
{
	engine->next_tick_ms = now_ms + TICK_MS;
	rd_kafka_poll(engine->producer, 0);
	give_back_memory(engine, engine_show(engine));
	if (in_contact(engine, now_ms))
		close_idle_windows(engine, now_ms);
}

/* Waits for a broker, so not while a transaction is open. */
static void probe(struct engine *engine, int64_t now_ms)
{
	if (engine->failed || engine->in_txn || now_ms < engine->next_probe_ms)
		return;
	engine->next_probe_ms = now_ms + PROBE_MS;
	clients_check_topics(engine);
}

/* This message, and those that wait behind it. */
static void take(struct engine *engine, rd_kafka_message_t *msg)
{
	engine->now_ms = time_mono_ms();
	engine->wall_ms = time_now_ms();
	for (unsigned n = 0; msg && n < BURST; n++) {
		consume(engine, msg);
		prefetch_taken(&engine->prefetch, engine->consumer, msg);
		rd_kafka_message_destroy(msg);
		if (engine->failed || n + 1 == BURST)
			return;
		msg = rd_kafka_consumer_poll(engine->consumer, 0);
	}
	prefetch_empty(&engine->prefetch);
}

static void turn(struct engine *engine)
{
	rd_kafka_message_t *msg =
		rd_kafka_consumer_poll(engine->consumer, wait_ms(engine));
	int64_t now_ms;

	engine_turned(engine);
	take(engine, msg);
	if (engine->failed)
		return;
	now_ms = time_mono_ms();
	if (txn_due(engine, now_ms))
		txn_commit(engine, true);
	else if (now_ms >= engine->next_tick_ms)
		tick(engine, now_ms);
	probe(engine, now_ms);
}

/* ---- the thread ---- */

static void engine_free(struct engine *engine);

/* On the main loop. */
static void on_ended(void *arg)
{
	struct engine *engine = arg;

	atomic_store(&engine->ended, true);
	if (engine->orphaned) {
		engine_free(engine);
		return;
	}
	/* Told to stop, it need not have succeeded in beginning again. */
	if (engine->failed && !engine->again)
		service_fail(engine->service, engine->failure.text);
	else
		service_drained(engine->service);
}

static void leave(struct engine *engine)
{
	bool done;

	if (!engine->failed)
		txn_commit(engine, true);
	/* Still open: the broker is away, so there is nobody to take leave of. */
	done = !engine->failed && !engine->in_txn;
	atomic_store(&engine->closing, done);
	if (done)
		rd_kafka_consumer_close(engine->consumer);
	drop_partitions(engine);
	clients_free(engine);
	free(engine->part);
	engine->part = NULL;
	engine->partitions = 0;
	engine->in_txn = false;
	engine->tally = (struct tally){0};
}

static void serve(struct engine *engine)
{
	if (clients_connect(engine))
		log_info("consuming", LOG_STR("id", engine->id),
			 LOG_INT("partitions_of_topic", engine->partitions));
	while (engine_running(engine))
		turn(engine);
	leave(engine);
}

/* By chance, so that two processes with one slot do not fence each other in step. */
static void pause_before_restart(void)
{
	uint32_t random;

	id_random(&random, sizeof(random));
	usleep((RESTART_PAUSE_MS + random % (2 * RESTART_PAUSE_MS)) * 1000);
}

/* true: there are new clients. */
static bool begin_again(struct engine *engine)
{
	struct err err;

	if (!engine->failed || !engine->again || atomic_load(&engine->stopping))
		return false;
	log_error("beginning again from the last commit",
		  LOG_STR("why", engine->failure.text));
	metric_add(engine->metrics.restarts, 1);
	atomic_store(&engine->waits, "beginning again after an error");
	engine->failed = engine->again = false;
	pause_before_restart();
	if (!clients_new(engine, &err)) {
		clients_free(engine);
		return engine_fail(engine, "%s", err.text);
	}
	return true;
}

static void *run(void *arg)
{
	struct engine *engine = arg;

	do {
		serve(engine);
	} while (begin_again(engine));
	loop_post(engine->loop, on_ended, engine);
	return NULL;
}

/* ---- the main loop's side ---- */

/* Counts its own beats, not time: a process that was stopped and goes on must
 * not be taken for a stuck one. */
static void on_watchdog(void *arg)
{
	struct engine *engine = arg;
	unsigned turns = atomic_load(&engine->turns);

	if (turns == engine->dog_turns)
		engine->dog_still++;
	else
		engine->dog_still = 0;
	engine->dog_turns = turns;
	if (atomic_load(&engine->closing) && engine->dog_still >= CLOSE_MAX_S) {
		log_warn("all is committed, but Kafka does not let go: ending");
		_exit(EXIT_SUCCESS);
	}
	if (engine->dog_still >= WATCHDOG_MAX) {
		log_error("the engine is stuck", LOG_INT("seconds", WATCHDOG_MAX));
		abort();
	}
	loop_timer_start(engine->watchdog, WATCHDOG_MS);
}

static void engine_free(struct engine *engine)
{
	loop_timer_free(engine->watchdog);
	free(engine);
}

struct engine *engine_start(struct service *service, const struct settings *cfg,
			    struct err *err)
{
	struct engine *engine = xcalloc(1, sizeof(*engine));

	engine->cfg = cfg;
	engine->service = service;
	engine->loop = service_loop(service);
	engine_metrics_init(&engine->metrics, service_metrics(service));
	atomic_store(&engine->waits, "starting");
	if (snprintf(engine->id, sizeof(engine->id), "%s-%" PRId64, cfg->group,
		     cfg->slot) >= (int)sizeof(engine->id)) {
		err_set(err, ERR_INPUT, "PROCESSOR_GROUP is too long");
		goto fail;
	}
	if (!clients_new(engine, err))
		goto fail;
	if (pthread_create(&engine->thread, NULL, run, engine) != 0) {
		err_set(err, ERR_INTERNAL, "cannot start the engine's thread");
		goto fail;
	}
	engine->watchdog = loop_timer_new(engine->loop, on_watchdog, engine);
	loop_timer_start(engine->watchdog, WATCHDOG_MS);
	return engine;
fail:
	clients_free(engine);
	engine_free(engine);
	return NULL;
}

void engine_drain(struct engine *engine)
{
	atomic_store(&engine->stopping, true);
}

void engine_stop(struct engine *engine)
{
	struct timespec until;

	if (!engine)
		return;
	atomic_store(&engine->stopping, true);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_MAX_S;
	if (pthread_timedjoin_np(engine->thread, NULL, &until) != 0) {
		log_warn("the engine does not end: leaving it");
		_exit(atomic_load(&engine->closing) ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	if (atomic_load(&engine->ended))
		engine_free(engine);
	else /* its last message is still on its way to the loop */
		engine->orphaned = true;
}

bool engine_ready(void *arg, const char **why)
{
	struct engine *engine = arg;
	const char *waits = atomic_load(&engine->waits);

	if (waits) {
		*why = waits;
		return false;
	}
	*why = "no broker answered lately";
	return in_contact(engine, time_mono_ms());
}
