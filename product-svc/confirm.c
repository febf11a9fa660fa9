/*
 * confirm.c - order.created confirms a reservation, order.cancelled brings its
 * stock back.
 *
 *   on_batch -> read all events -> one transaction -> events_consumer_done
 *
 * The offsets are committed after the transaction, so a crash repeats events;
 * the changes are conditional, so repeated ones do nothing.  What cannot be
 * understood is skipped and counted: the processor keeps it in its DLQ.
 */
#include "confirm.h"

#include <stdlib.h>

#include "failpoint.h"
#include "log.h"
#include "order_event.h"
#include "reservation_repo.h"

/* In one transaction: big, for there is one at a time. */
#define EVENTS_MAX (4 * DB_MANY_MAX)

struct confirm {
	struct db_pool *db;
	struct events_consumer *consumer;
	struct order_moves moves;
	struct order_move room[EVENTS_MAX]; /* moves.moves */
	bool stopping;
	struct metric *confirmed, *returned, *unknown, *lost, *ignored, *poison;
};

static void moves_stored(const struct err *err, void *arg);

static void add_move(struct order_moves *moves, const struct order_event *event,
		     enum move_kind kind)
{
	struct order_move *move = &moves->moves[moves->n++];

	*move = (struct order_move){.order_id = event->order_id, .kind = kind};
	str_copy(move->reservation_id, sizeof(move->reservation_id),
		 str_from(event->reservation_id));
}

static void read_message(struct confirm *confirm, const struct events_message *msg)
{
	struct order_event event;
	struct err err;

	switch (order_event_read(msg->value, &event, &err)) {
	case ORDER_EVENT_CREATED: add_move(&confirm->moves, &event, MOVE_CONFIRM); break;
	case ORDER_EVENT_CANCELLED: add_move(&confirm->moves, &event, MOVE_RETURN); break;
	case ORDER_EVENT_IGNORED: metric_add(confirm->ignored, 1); break;
	case ORDER_EVENT_POISON:
		metric_add(confirm->poison, 1);
		log_warn("event skipped", LOG_STR("why", err.text),
			 LOG_INT("partition", msg->partition),
			 LOG_INT("offset", msg->offset));
	}
}

static void on_batch(struct events_consumer *consumer, const struct events_message *msgs,
		     size_t n, void *arg)
{
	struct confirm *confirm = arg;

	if (confirm->stopping) {
		events_consumer_done(consumer, false);
		return;
	}
	confirm->moves.n = 0;
	for (size_t i = 0; i < n; i++)
		read_message(confirm, &msgs[i]);
	if (confirm->moves.n)
		reservation_repo_move(confirm->db, &confirm->moves, moves_stored);
	else
		events_consumer_done(consumer, true);
}

static void moves_stored(const struct err *err, void *arg)
{
	struct order_moves *moves = arg;
	struct confirm *confirm = moves->owner;

	if (err) {
		log_warn("events are repeated later", LOG_STR("why", err->text));
		events_consumer_done(confirm->consumer, false);
		return;
	}
	metric_add(confirm->confirmed, moves->changed[MOVE_CONFIRM]);
	metric_add(confirm->returned, moves->changed[MOVE_RETURN]);
	metric_add(confirm->unknown, moves->unknown);
	metric_add(confirm->lost, moves->lost);
	events_consumer_done(confirm->consumer, !FAILPOINT("product_confirm"));
}

static struct metric *counter(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_order_events_total",
			       "order events by what they did to a reservation", labels);
}

static void make_counters(struct confirm *confirm, struct metrics *metrics)
{
	confirm->confirmed = counter(metrics, "result=\"confirmed\"");
	confirm->returned = counter(metrics, "result=\"returned\"");
	confirm->unknown = counter(metrics, "result=\"unknown\"");
	confirm->lost = counter(metrics, "result=\"lost\"");
	confirm->ignored = counter(metrics, "result=\"ignored\"");
	confirm->poison = counter(metrics, "result=\"poison\"");
}

struct confirm *confirm_new(struct loop *loop, struct db_pool *db,
			    const struct events_settings *events, const char *topic,
			    const char *group, struct metrics *metrics, struct err *err)
{
	struct confirm *confirm = xcalloc(1, sizeof(*confirm));
	struct events_consumer_config cfg = {
		.topic = topic,
		.start = EVENTS_GROUP,
		.group = group,
		.max_batch = EVENTS_MAX,
		.on_batch = on_batch,
		.arg = confirm,
	};

	confirm->db = db;
	confirm->moves.moves = confirm->room;
	confirm->moves.owner = confirm;
	make_counters(confirm, metrics);
	confirm->consumer = events_consumer_new(loop, events, &cfg, metrics, err);
	if (!confirm->consumer) {
		free(confirm);
		return NULL;
	}
	return confirm;
}

void confirm_stop(struct confirm *confirm)
{
	if (confirm)
		confirm->stopping = true;
}

void confirm_free(struct confirm *confirm)
{
	if (!confirm)
		return;
	events_consumer_free(confirm->consumer);
	free(confirm);
}
