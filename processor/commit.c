/*
 * commit.c - the transaction: begin -> write -> send offsets -> commit, or abort.
 *
 * Results, dead letters and consumed offsets become visible together or not at
 * all. librdkafka sorts its errors into: try the same call again, abort (and we
 * go back to the last commit), and fatal (only a new process helps).
 */
#include <unistd.h>

#include "engine_internal.h"
#include "failpoint.h"
#include "log.h"
#include "results_json.h"
#include "timeutil.h"

/* After a quiet time, how long further events are gathered. */
#define GATHER_MS 3
/* Each transaction costs a broker some sixty requests and appends, whatever is in it.
 * With less than the first, events a second, there is room for many: the pause need
 * only let the brokers finish the one before, or the next has to wait for that. With
 * more than the second, twice the interval. */
#define QUIET_RATE 1200
#define BUSY_RATE  2500
/* What a transaction may write, and what an abort may have to do again. */
#define MAX_TXN_RECORDS 20000
#define MAX_TXN_EVENTS  100000
/* So that a fault that stays does not become a busy loop. */
#define ABORT_PAUSE_US 200000
#define RETRY_PAUSE_US 50000
/* Shorter than the transaction lives: an outage may end before that. */
#define OFFSETS_MS 45000
/* When told to stop, one try of each step has to do. */
#define STOP_CALL_MS 2000

enum verdict { DONE, AGAIN, ABORT, FATAL };

/* Takes `error`, which may be NULL. */
static enum verdict judge(struct engine *engine, const char *call,
			  rd_kafka_error_t *error)
{
	enum verdict verdict = FATAL;

	engine_turned(engine);
	if (!error) {
		engine_contact(engine);
		return DONE;
	}
	if (rd_kafka_error_is_fatal(error))
		engine_fatal(engine, call, error);
	else if (rd_kafka_error_txn_requires_abort(error))
		verdict = ABORT;
	else if (rd_kafka_error_is_retriable(error))
		verdict = AGAIN;
	else
		engine_again(engine, "%s: %s: %s", call, rd_kafka_error_name(error),
			     rd_kafka_error_string(error));
	if (verdict == AGAIN) {
		log_debug("transaction", LOG_STR("call", call),
			  LOG_STR("why", rd_kafka_error_string(error)));
	} else {
		log_warn("transaction", LOG_STR("call", call),
			 LOG_STR("why", rd_kafka_error_string(error)),
			 LOG_BOOL("abort", verdict == ABORT));
	}
	rd_kafka_error_destroy(error);
	return verdict;
}

static int call_ms(const struct engine *engine)
{
	return atomic_load(&engine->stopping) ? STOP_CALL_MS : ENGINE_CALL_MS;
}

/* After a short pause. */
static bool once_more(const struct engine *engine, enum verdict verdict)
{
	if (verdict != AGAIN || atomic_load(&engine->stopping))
		return false;
	usleep(RETRY_PAUSE_US);
	return true;
}

/* Events a second over the last few transactions: one alone also holds what piled up
 * while a slow commit went on. */
static int64_t rate(struct engine *engine, int64_t now_ms)
{
	int64_t took = now_ms - engine->txn_begun_ms;
	int64_t last = engine->txn_events * INT64_C(1000) / (took > 0 ? took : 1);

	engine->rate = (3 * engine->rate + last) / 4;
	return engine->rate;
}

/* From the end of one transaction to the next. */
static int64_t interval_ms(const struct settings *cfg, int64_t rate)
{
	if (rate < QUIET_RATE)
		return cfg->commit_quiet_ms;
	return rate > BUSY_RATE ? 2 * cfg->commit_interval_ms : cfg->commit_interval_ms;
}

bool txn_begin(struct engine *engine)
{
	int64_t now = time_mono_ms(), earliest;

	if (engine->in_txn)
		return true;
	if (judge(engine, "begin", rd_kafka_begin_transaction(engine->producer)) != DONE)
		return engine_again(engine, "cannot begin a transaction");
	/* The first event after a pause does not wait a whole interval. */
	earliest = engine->last_commit_ms + interval_ms(engine->cfg, rate(engine, now));
	engine->txn_deadline_ms = earliest > now + GATHER_MS ? earliest : now + GATHER_MS;
	engine->txn_begun_ms = now;
	engine->txn_events = 0;
	engine->txn_broken = engine->txn_left_open = false;
	engine->in_txn = true;
	return true;
}

static bool is_large(const struct engine *engine)
{
	size_t records = 0;

	if (engine->txn_events < MAX_TXN_RECORDS)
		return false;
	for (int32_t i = 0; i < engine->partitions; i++) {
		if (engine->part[i].state)
			records += state_touched(engine->part[i].state);
	}
	return records >= MAX_TXN_RECORDS || engine->txn_events >= MAX_TXN_EVENTS;
}

bool txn_due(const struct engine *engine, int64_t now_ms)
{
	return engine->in_txn && (now_ms >= engine->txn_deadline_ms || is_large(engine));
}

/* ---- write ---- */

static rd_kafka_resp_err_t try_produce(rd_kafka_topic_t *topic, int32_t partition,
				       struct str key, struct str value)
{
	if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)value.at,
			     value.len, key.at, key.len, NULL) == 0)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	return rd_kafka_last_error();
}

void txn_produce(struct engine *engine, rd_kafka_topic_t *topic, int32_t partition,
		 struct str key, struct str value)
{
	int64_t deadline = time_mono_ms() + ENGINE_CALL_MS;
	rd_kafka_resp_err_t error;

	if (engine->txn_broken)
		return;
	error = try_produce(topic, partition, key, value);
	while (error == RD_KAFKA_RESP_ERR__QUEUE_FULL && time_mono_ms() < deadline) {
		rd_kafka_poll(engine->producer, 10);
		error = try_produce(topic, partition, key, value);
	}
	if (!error)
		return;
	log_warn("cannot produce", LOG_STR("topic", rd_kafka_topic_name(topic)),
		 LOG_STR("why", rd_kafka_err2str(error)),
		 LOG_STR("hint", events_hint(error)));
	engine->txn_broken = true;
}

struct writer {
	struct engine *engine;
	int32_t partition;
};

static void put(const struct writer *writer, struct str key, struct jw *w)
{
	txn_produce(writer->engine, writer->engine->topic_results, writer->partition, key,
		    w ? jw_text(w) : STR_NONE);
}

static void write_user(const struct user *user, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	jw_init_fixed(&w, text, sizeof(text));
	results_user(&w, user);
	put(arg, results_user_key(key, user->user_id), &w);
}

static void write_window(const struct window *win, int32_t partition, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	jw_init_fixed(&w, text, sizeof(text));
	results_window(&w, win, partition);
	put(arg, results_window_key(key, win->start_s, partition),
	    win->folded ? NULL : &w);
}

static void write_totals(const struct totals *totals, int32_t partition, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	jw_init_fixed(&w, text, sizeof(text));
	results_totals(&w, totals, partition);
	put(arg, results_totals_key(key, partition), &w);
}

/* Of every partition, what `what` has functions for. */
static void write_touched(struct engine *engine, struct state_visitor what)
{
	for (int32_t i = 0; i < engine->partitions; i++) {
		struct writer writer = {engine, i};

		if (!engine->part[i].state)
			continue;
		what.arg = &writer;
		state_each_touched(engine->part[i].state, &what);
		rd_kafka_poll(engine->producer, 0);
	}
}

/* First one record for each partition: the library has to announce a partition to
 * the transaction when its first record comes, and can announce all in one request
 * if they come together. */
static void write_results(struct engine *engine)
{
	int64_t now = time_now_ms();

	for (int32_t i = 0; i < engine->partitions; i++) {
		struct state *state = engine->part[i].state;

		if (state && state_touched(state) > 0)
			state_close(state, now, false);
	}
	write_touched(engine, (struct state_visitor){.totals = write_totals});
	write_touched(engine,
		      (struct state_visitor){.user = write_user, .window = write_window});
}

/* ---- send offsets, commit ---- */

static rd_kafka_topic_partition_list_t *touched_offsets(const struct engine *engine)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);

	for (int32_t i = 0; i < engine->partitions; i++) {
		const struct partition *p = &engine->part[i];

		if (p->state && p->next >= 0 && state_touched(p->state) > 0)
			rd_kafka_topic_partition_list_add(list, engine->cfg->orders_topic,
							  i)
				->offset = p->next;
	}
	return list;
}

/* Also those that did not move: the group's generation that goes with them is what
 * keeps a process out that lost its partitions without noticing. Without any the
 * library would ask nobody, so then there is no transaction. */
static enum verdict send_offsets(struct engine *engine)
{
	rd_kafka_topic_partition_list_t *list = touched_offsets(engine);
	rd_kafka_consumer_group_metadata_t *member =
		rd_kafka_consumer_group_metadata(engine->consumer);
	int64_t deadline = time_mono_ms() + OFFSETS_MS;
	enum verdict verdict = ABORT;

	while (list->cnt > 0) {
		verdict = judge(engine, "send_offsets",
				rd_kafka_send_offsets_to_transaction(
					engine->producer, list, member, call_ms(engine)));
		if (verdict == AGAIN && time_mono_ms() > deadline)
			verdict = ABORT;
		if (!once_more(engine, verdict))
			break;
	}
	rd_kafka_consumer_group_metadata_destroy(member);
	rd_kafka_topic_partition_list_destroy(list);
	return verdict;
}

static enum verdict finish(struct engine *engine)
{
	enum verdict verdict;

	do {
		verdict = judge(
			engine, "commit",
			rd_kafka_commit_transaction(engine->producer, call_ms(engine)));
	} while (once_more(engine, verdict));
	return verdict;
}

static void committed(struct engine *engine, uint64_t started_us)
{
	for (int32_t i = 0; i < engine->partitions; i++) {
		struct partition *p = &engine->part[i];

		if (!p->state)
			continue;
		state_commit(p->state);
		p->committed = p->next;
	}
	engine->in_txn = false;
	engine->last_commit_ms = time_mono_ms();
	engine_metrics_publish(&engine->metrics, &engine->tally);
	metric_add(engine->metrics.commits, 1);
	metric_observe_us(engine->metrics.commit_seconds, time_mono_us() - started_us);
}

static enum verdict commit(struct engine *engine)
{
	enum verdict verdict;

	if (FAILPOINT("processor_before_produce"))
		return ABORT;
	write_results(engine);
	if (FAILPOINT("processor_produced") || engine->txn_broken)
		return ABORT;
	verdict = send_offsets(engine);
	if (verdict == DONE && FAILPOINT("processor_offsets_sent"))
		return ABORT;
	return verdict == DONE ? finish(engine) : verdict;
}

/* Told to stop, and a step did not get through in one try. It is not begun again:
 * what was written would be written twice, and by then perhaps for partitions of
 * somebody else. The next process with this id aborts it at once. */
static void leave_open(struct engine *engine)
{
	engine->txn_left_open = true;
	log_warn("a transaction is left open: the brokers did not end it in time");
}

void txn_commit(struct engine *engine, bool rewind)
{
	uint64_t started_us = time_mono_us();
	enum verdict verdict;

	if (!engine->in_txn || engine->txn_left_open)
		return;
	verdict = commit(engine);
	if (verdict == DONE) {
		committed(engine, started_us);
		if (FAILPOINT("processor_committed"))
			engine_fail(engine, "failpoint processor_committed");
	} else if (verdict == ABORT) {
		txn_abort(engine, rewind);
	} else if (verdict == AGAIN) {
		leave_open(engine);
	}
}

/* ---- abort ---- */

static void rewind_consumer(struct engine *engine)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
	rd_kafka_error_t *error;

	for (int32_t i = 0; i < engine->partitions; i++) {
		const struct partition *p = &engine->part[i];

		if (!p->state)
			continue;
		rd_kafka_topic_partition_list_add(list, engine->cfg->orders_topic, i)
			->offset = p->next < 0 ? RD_KAFKA_OFFSET_BEGINNING : p->next;
	}
	error = rd_kafka_seek_partitions(engine->consumer, list, ENGINE_CALL_MS);
	for (int i = 0; i < list->cnt && !error; i++) {
		if (list->elems[i].err)
			engine_again(engine, "cannot go back to the last commit: %s",
				     rd_kafka_err2str(list->elems[i].err));
	}
	if (error) {
		engine_again(engine, "cannot go back to the last commit: %s",
			     rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

static void roll_back(struct engine *engine)
{
	for (int32_t i = 0; i < engine->partitions; i++) {
		struct partition *p = &engine->part[i];

		if (!p->state)
			continue;
		state_rollback(p->state);
		p->next = p->committed;
	}
	engine->tally = (struct tally){0};
}

void txn_abort(struct engine *engine, bool rewind)
{
	enum verdict verdict;

	if (!engine->in_txn || engine->txn_left_open)
		return;
	do {
		verdict = judge(
			engine, "abort",
			rd_kafka_abort_transaction(engine->producer, call_ms(engine)));
	} while (once_more(engine, verdict));
	if (verdict == AGAIN)
		leave_open(engine);
	else if (verdict != DONE)
		engine_again(engine, "cannot abort a transaction");
	if (verdict != DONE)
		return;
	engine->in_txn = false;
	metric_add(engine->metrics.aborts, 1);
	log_warn("transaction aborted, doing it again");
	roll_back(engine);
	if (rewind)
		rewind_consumer(engine);
	usleep(ABORT_PAUSE_US);
}
