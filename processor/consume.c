/* consume.c - one record of orders-events: parse, judge, count. */
#include <inttypes.h>

#include "engine_internal.h"
#include "log.h"
#include "partitioner.h"

static void reject(struct engine *engine, const rd_kafka_message_t *msg,
		   const struct reject *why)
{
	engine->tally.rejected[why->reason]++;
	log_warn("event not counted", LOG_STR("reason", reject_name(why->reason)),
		 LOG_STR("detail", why->detail), LOG_INT("partition", msg->partition),
		 LOG_INT("offset", msg->offset));
	dlq_send(engine, msg, why, why->reason != REJECT_SEQ_LOST);
}

/* A hole in a user's numbering was given up. */
static void report_lost(struct engine *engine, const rd_kafka_message_t *msg,
			const struct order_event *event, const struct seq_lost *lost)
{
	char numbers[256];
	struct reject why;

	seq_lost_text(lost, numbers, sizeof(numbers));
	reject_set(&why, REJECT_SEQ_LOST,
		   "user %" PRId64 ": %" PRIu64 " events never came: %s", event->user_id,
		   lost->total, numbers);
	engine->tally.lost += (int64_t)lost->total;
	log_error("events are missing", LOG_INT("user_id", event->user_id),
		  LOG_INT("count", lost->total), LOG_STR("seq", numbers));
	reject(engine, msg, &why);
}

static void refuse_jump(struct engine *engine, const rd_kafka_message_t *msg,
			const struct order_event *event, const struct state *state)
{
	const struct user *user = state_user(state, event->user_id);
	struct reject why;

	reject_set(&why, REJECT_SEQ_JUMP,
		   "user %" PRId64 ": seq %" PRIu64 " is more than %d after %" PRIu64,
		   event->user_id, event->seq, SEQ_MAX_JUMP, user ? user->seq.seq : 0);
	log_error("seq jumps too far", LOG_STR("detail", why.detail));
	reject(engine, msg, &why);
}

static void refuse_user(struct engine *engine, const rd_kafka_message_t *msg)
{
	struct reject why;

	reject_set(&why, REJECT_USER_LIMIT,
		   "MAX_USERS_PER_PARTITION=%" PRId64 " is reached",
		   engine->cfg->max_users);
	log_error("too many users", LOG_STR("detail", why.detail));
	reject(engine, msg, &why);
}

static void count(struct engine *engine, struct state *state,
		  const rd_kafka_message_t *msg, const struct order_event *event)
{
	struct applied applied;

	state_apply(state, event, engine->wall_ms, &applied);
	if (applied.lost.n > 0)
		report_lost(engine, msg, event, &applied.lost);
	engine->tally.first_beyond += applied.first_beyond;
	engine->tally.late += applied.late;
	switch (applied.outcome) {
	case OUTCOME_COUNTED:
	case OUTCOME_IGNORED: engine->tally.events[event->type]++; break;
	case OUTCOME_DUPLICATE: engine->tally.duplicates++; break;
	case OUTCOME_JUMP: refuse_jump(engine, msg, event, state); break;
	case OUTCOME_FULL: refuse_user(engine, msg); break;
	}
}

/* Is the key where every producer with the right partitioner puts it? */
static bool at_home(const struct engine *engine, const rd_kafka_message_t *msg,
		    struct str key, const struct order_event *event, struct reject *why)
{
	int32_t home;

	if (event->user_id == 0)
		return true;
	home = partitioner_of(key, engine->partitions);
	if (home == msg->partition)
		return true;
	return reject_set(why, REJECT_WRONG_PARTITION,
			  "key belongs to partition %" PRId32
			  ": the producer's partitioner is not murmur2_random",
			  home);
}

static void process(struct engine *engine, struct state *state,
		    const rd_kafka_message_t *msg)
{
	struct str value = {msg->payload, msg->len}, key = {msg->key, msg->key_len};
	struct order_event event;
	struct reject why;

	if (order_event_parse(value, key, &event, &why) &&
	    at_home(engine, msg, key, &event, &why))
		count(engine, state, msg, &event);
	else
		reject(engine, msg, &why);
}

static void consumer_died(struct engine *engine)
{
	char text[256] = "";
	rd_kafka_resp_err_t code =
		rd_kafka_fatal_error(engine->consumer, text, sizeof(text));

	if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
		engine_fenced(engine, "consumer", text);
	else
		engine_again(engine, "consumer: %s", text);
}

/* Without a state nothing was counted, so nothing can be missing: there is only no
 * answer yet to where the beginning is. */
static void offset_refused(struct engine *engine, const rd_kafka_message_t *msg)
{
	const char *why = rd_kafka_message_errstr(msg);

	if (engine->part[msg->partition].next < 0)
		engine_again(engine, "%s [%" PRId32 "]: cannot find the beginning: %s",
			     engine->cfg->orders_topic, msg->partition, why);
	else
		engine_fail(engine,
			    "%s [%" PRId32 "]: the committed offset does not exist any "
			    "more, uncounted events were deleted by retention: %s",
			    engine->cfg->orders_topic, msg->partition, why);
}

static void consume_error(struct engine *engine, const rd_kafka_message_t *msg)
{
	switch (msg->err) {
	case RD_KAFKA_RESP_ERR__FATAL: consumer_died(engine); break;
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: offset_refused(engine, msg); break;
	default:
		log_warn("consumer", LOG_STR("why", rd_kafka_message_errstr(msg)),
			 LOG_STR("hint", events_hint(msg->err)));
	}
}

void consume(struct engine *engine, const rd_kafka_message_t *msg)
{
	struct partition *p;

	if (msg->err) {
		consume_error(engine, msg);
		return;
	}
	p = &engine->part[msg->partition];
	if (!p->state || msg->offset < p->next || !txn_begin(engine))
		return;
	process(engine, p->state, msg);
	p->next = msg->offset + 1;
	state_consumed(p->state, p->next);
	p->last_input_ms = engine->now_ms;
	engine->txn_events++;
}
