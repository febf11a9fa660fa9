/*
 * restore.c - the state of newly assigned partitions:
 *
 *   committed offsets -> ends of the results -> read them -> check
 *
 * The order matters.  The offsets are asked for first, and with "require
 * stable": the broker answers only when the transaction of a previous owner is
 * decided.  The ends are then taken without regard to transactions, while the
 * records are read committed: so everything below the end has been decided when
 * it is reached, and nothing undecided is taken.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine_internal.h"
#include "failpoint.h"
#include "log.h"
#include "results_json.h"
#include "timeutil.h"

#define POLL_MS       100
#define ASK_MS        5000
#define ASK_PAUSE_US  20000
#define ENDS_PAUSE_US 200000
#define TELL_MS       10000

struct goal {
	int64_t low, end;
	bool reached;
};

struct restoring {
	struct engine *engine;
	rd_kafka_topic_partition_list_t *list;
	struct goal *goal; /* by position in `list` */
	int missing;       /* goals not reached yet */
	int64_t deadline_ms, tell_ms;
	rd_kafka_resp_err_t error; /* the last of a question */
	int64_t records;
};

static int32_t first_missing(const struct restoring *r)
{
	int i = 0;

	while (i < r->list->cnt - 1 && r->goal[i].reached)
		i++;
	return r->list->elems[i].partition;
}

static void tell(struct restoring *r, const char *step, int64_t now_ms)
{
	if (now_ms < r->tell_ms)
		return;
	r->tell_ms = now_ms + TELL_MS;
	log_warn("still restoring", LOG_STR("step", step), LOG_INT("missing", r->missing),
		 LOG_INT("first_partition", first_missing(r)),
		 LOG_STR("last_error", rd_kafka_err2name(r->error)),
		 LOG_INT("records", r->records));
}

/* false: stopped, failed, or out of time, which is an alarm: then all begins again,
 * and goes on by itself when what held it up has been put right. */
static bool go_on(struct restoring *r, const char *step)
{
	struct engine *engine = r->engine;
	int64_t now_ms = time_mono_ms();

	engine_turned(engine);
	if (!engine_running(engine))
		return false;
	tell(r, step, now_ms);
	if (now_ms < r->deadline_ms)
		return true;
	metric_add(engine->metrics.restore_timeouts, 1);
	return engine_again(
		engine,
		"restore: not finished in RESTORE_TIMEOUT_MS at \"%s\" of %d partitions, "
		"the first is %s [%" PRId32
		"]; if a transaction hangs there, end it with "
		"kafka-transactions abort",
		step, r->missing, engine->cfg->results_topic, first_missing(r));
}

/* ---- committed offsets ---- */

static rd_kafka_resp_err_t ask_committed(struct restoring *r)
{
	rd_kafka_resp_err_t error;

	for (int i = 0; i < r->list->cnt; i++)
		r->list->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
	error = rd_kafka_committed(r->engine->consumer, r->list, ASK_MS);
	for (int i = 0; i < r->list->cnt && !error; i++)
		error = r->list->elems[i].err;
	return error;
}

static bool get_committed(struct restoring *r)
{
	while ((r->error = ask_committed(r)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (!go_on(r, "committed offsets"))
			return false;
		usleep(ASK_PAUSE_US);
	}
	return true;
}

/* ---- ends of the results ---- */

static void goal_reached(struct restoring *r, struct goal *goal)
{
	goal->reached = true;
	r->missing--;
	metric_set(r->engine->metrics.restoring, r->missing);
}

/* An end that was left out must not be taken for that of an empty partition. */
static rd_kafka_resp_err_t answer_of(const rd_kafka_topic_partition_t *elem)
{
	if (!elem->err && elem->offset < 0)
		return RD_KAFKA_RESP_ERR__PARTIAL;
	return elem->err;
}

static rd_kafka_topic_partition_list_t *marks_list(const struct restoring *r,
						   int64_t which)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(r->list->cnt);

	for (int i = 0; i < r->list->cnt; i++)
		rd_kafka_topic_partition_list_add(list, r->engine->cfg->results_topic,
						  r->list->elems[i].partition)
			->offset = which;
	return list;
}

/* For all partitions at once, the offset that `which` stands for. Not by
 * rd_kafka_query_watermark_offsets(): while a leader hangs it does not come back in its
 * time, or ever (librdkafka 2.0.2). */
static rd_kafka_resp_err_t ask_marks(struct restoring *r, rd_kafka_t *marks,
				     int64_t which)
{
	rd_kafka_topic_partition_list_t *list = marks_list(r, which);
	rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(marks, list, ASK_MS);

	engine_turned(r->engine);
	for (int i = 0; i < list->cnt && !error; i++) {
		struct goal *goal = &r->goal[i];

		error = answer_of(&list->elems[i]);
		if (which == RD_KAFKA_OFFSET_END)
			goal->end = list->elems[i].offset;
		else
			goal->low = list->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return error;
}

static rd_kafka_resp_err_t ask_ends(struct restoring *r)
{
	rd_kafka_t *marks = clients_reader(r->engine, "read_uncommitted");
	rd_kafka_resp_err_t error;

	if (!marks)
		return RD_KAFKA_RESP_ERR__FAIL;
	error = ask_marks(r, marks, RD_KAFKA_OFFSET_END);
	if (!error)
		error = ask_marks(r, marks, RD_KAFKA_OFFSET_BEGINNING);
	rd_kafka_destroy(marks);
	return error;
}

/* Each try with a client of its own: one that asks too soon after its start may hold
 * partitions for unknown and not ask the brokers for them again (librdkafka 2.0.2). */
static bool get_ends(struct restoring *r)
{
	while ((r->error = ask_ends(r)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (!go_on(r, "ends of the results"))
			return false;
		usleep(ENDS_PAUSE_US);
	}
	for (int i = 0; i < r->list->cnt; i++)
		if (r->goal[i].end <= r->goal[i].low)
			goal_reached(r, &r->goal[i]);
	return go_on(r, "ends of the results");
}

/* ---- read ---- */

static rd_kafka_topic_partition_list_t *unread(const struct restoring *r)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);

	for (int i = 0; i < r->list->cnt; i++) {
		if (!r->goal[i].reached)
			rd_kafka_topic_partition_list_add(list,
							  r->engine->cfg->results_topic,
							  r->list->elems[i].partition)
				->offset = r->goal[i].low;
	}
	return list;
}

/* Everything of this partition below `offset` has been read. */
static void reached(struct restoring *r, int32_t partition, int64_t offset)
{
	for (int i = 0; i < r->list->cnt; i++) {
		struct goal *goal = &r->goal[i];

		if (r->list->elems[i].partition == partition && offset >= goal->end &&
		    !goal->reached)
			goal_reached(r, goal);
	}
}

static bool take(struct restoring *r, const rd_kafka_message_t *msg)
{
	struct str key = {msg->key, msg->key_len};
	struct str value = {msg->payload, msg->len};
	struct engine *engine = r->engine;
	struct err err;

	if (msg->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		/* Below the end it means: an undecided transaction. It will end. */
		reached(r, msg->partition, msg->offset);
		return true;
	}
	if (msg->err) {
		log_warn("restore", LOG_STR("why", rd_kafka_message_errstr(msg)));
		return true;
	}
	r->records++;
	if (!results_load(engine->part[msg->partition].state, engine->partitions, key,
			  value, &err))
		return engine_fail(engine,
				   "restore: %s [%" PRId32 "] offset %" PRId64 ": %s",
				   engine->cfg->results_topic, msg->partition,
				   msg->offset, err.text);
	reached(r, msg->partition, msg->offset + 1);
	return true;
}

static bool read_all(struct restoring *r, rd_kafka_t *reader)
{
	struct prefetch prefetch = {0};
	bool ok = true;

	while (ok && r->missing > 0) {
		rd_kafka_message_t *msg = rd_kafka_consumer_poll(reader, POLL_MS);

		ok = go_on(r, "results");
		if (!msg)
			continue;
		ok = ok && take(r, msg);
		prefetch_taken(&prefetch, reader, msg);
		rd_kafka_message_destroy(msg);
		if (FAILPOINT("processor_restoring"))
			ok = engine_fail(r->engine, "failpoint processor_restoring");
	}
	return ok;
}

static bool read_results(struct restoring *r)
{
	rd_kafka_topic_partition_list_t *list = unread(r);
	rd_kafka_t *reader = NULL;
	rd_kafka_resp_err_t error;
	bool ok = true;

	if (list->cnt > 0) {
		reader = clients_reader(r->engine, "read_committed");
		ok = reader != NULL;
	}
	if (reader) {
		error = rd_kafka_assign(reader, list);
		ok = error ? engine_fail(r->engine, "restore: assign: %s",
					 rd_kafka_err2str(error))
			   : read_all(r, reader);
		rd_kafka_assign(reader, NULL);
		rd_kafka_destroy_flags(reader, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	}
	rd_kafka_topic_partition_list_destroy(list);
	return ok;
}

/* ---- check ---- */

/* Where to go on: at the offset that the state names. The group's is the same,
 * because both were written by one transaction, unless it has expired or was set
 * by hand; going on there would count events twice, or leave some out. */
static bool settle(struct engine *engine, rd_kafka_topic_partition_t *elem)
{
	struct partition *p = &engine->part[elem->partition];
	const struct totals *totals = state_totals(p->state);
	int64_t committed = elem->offset;

	if (committed > 0 && totals->version == 0)
		return engine_fail(engine,
				   "%s [%" PRId32
				   "] has no state although offset %" PRId64
				   " of %s is committed: totals would be wrong",
				   engine->cfg->results_topic, elem->partition, committed,
				   engine->cfg->orders_topic);
	if (committed >= 0 && totals->version > 0 && totals->next != committed)
		log_warn("committed offset is not that of the state: ignored",
			 LOG_INT("partition", elem->partition),
			 LOG_INT("committed", committed), LOG_INT("state", totals->next));
	p->next = totals->version > 0 || committed < 0 ? totals->next : committed;
	p->committed = p->next;
	p->last_input_ms = time_mono_ms();
	elem->offset = p->next < 0 ? RD_KAFKA_OFFSET_BEGINNING : p->next;
	return true;
}

static bool settle_all(struct restoring *r)
{
	for (int i = 0; i < r->list->cnt; i++) {
		if (!settle(r->engine, &r->list->elems[i]))
			return false;
	}
	return true;
}

bool restore(struct engine *engine, rd_kafka_topic_partition_list_t *list)
{
	uint64_t started_us = time_mono_us();
	struct restoring r = {
		.engine = engine,
		.list = list,
		.goal = xcalloc((size_t)list->cnt, sizeof(struct goal)),
		.missing = list->cnt,
		.deadline_ms = time_mono_ms() + engine->cfg->restore_timeout_ms,
		.tell_ms = time_mono_ms() + TELL_MS,
	};
	bool ok;

	for (int i = 0; i < list->cnt; i++) {
		int32_t partition = list->elems[i].partition;

		engine->part[partition].state =
			state_new(partition, (size_t)engine->cfg->max_users);
	}
	metric_set(engine->metrics.restoring, r.missing);
	ok = get_committed(&r) && get_ends(&r) && read_results(&r) && settle_all(&r);
	free(r.goal);
	/* The alarm stays between two tries; rebalance.c ends it when others try. */
	if (!ok)
		return false;
	metric_set(engine->metrics.restoring, 0);
	engine_contact(engine);
	metric_add(engine->metrics.restores, list->cnt);
	metric_add(engine->metrics.restored_records, r.records);
	metric_observe_us(engine->metrics.restore_seconds, time_mono_us() - started_us);
	log_info("restored", LOG_INT("partitions", list->cnt),
		 LOG_INT("records", r.records),
		 LOG_INT("ms", (time_mono_us() - started_us) / 1000));
	return true;
}
