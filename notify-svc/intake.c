/*
 * intake.c - one row for each event, at least once and so exactly once.
 *
 * The row is unique on the event and stored before the offset is committed, so
 * an event that comes again changes nothing.  What cannot be understood is
 * counted, logged and passed over: only the processor keeps such records.
 */
#include "intake.h"

#include <stdlib.h>

#include "failpoint.h"
#include "log.h"
#include "notify_repo.h"

#define MAX_BATCH 256

struct intake {
	struct events_consumer *consumer;
	struct db_pool *db;
	intake_room room;
	loop_fn stored;
	void *arg;
	bool full;                        /* told in the log, once */
	struct notice notices[MAX_BATCH]; /* of the batch that is out */
	struct notice_store store;
	struct metric *m_stored, *m_repeated, *m_ignored, *m_poison, *m_full;
};

/* on_batch -> store -> on_stored -> done */
static void on_stored(const struct err *err, void *arg);

static void note_poison(struct intake *intake, const struct events_message *msg,
			const struct err *err)
{
	metric_add(intake->m_poison, 1);
	log_warn("event skipped", LOG_STR("why", err->text), LOG_STR("topic", msg->topic),
		 LOG_INT("partition", msg->partition), LOG_INT("offset", msg->offset));
}

/* When too many mails wait, events wait in Kafka: the consumer hands the same batch
 * out again after a pause that grows to some seconds. */
static bool has_room(struct intake *intake)
{
	bool full = !intake->room(intake->arg);

	if (full && !intake->full)
		log_warn("too many mails wait, events are left in kafka");
	if (!full && intake->full)
		log_info("events are taken in again");
	intake->full = full;
	metric_set(intake->m_full, full);
	return !full;
}

static void on_batch(struct events_consumer *consumer, const struct events_message *msgs,
		     size_t n, void *arg)
{
	struct intake *intake = arg;
	struct err err;

	if (!has_room(intake)) {
		events_consumer_done(consumer, false);
		return;
	}
	intake->store.n = 0;
	for (size_t i = 0; i < n; i++) {
		struct notice *notice = &intake->notices[intake->store.n];
		switch (notice_from_event(msgs[i].value, notice, &err)) {
		case NOTICE_MADE: intake->store.n++; break;
		case NOTICE_IGNORED: metric_add(intake->m_ignored, 1); break;
		case NOTICE_POISON: note_poison(intake, &msgs[i], &err); break;
		}
	}
	if (intake->store.n == 0) {
		events_consumer_done(consumer, true);
		return;
	}
	notify_repo_store(intake->db, &intake->store, on_stored, intake);
}

static void on_stored(const struct err *err, void *arg)
{
	struct intake *intake = arg;
	bool ok = !err && !FAILPOINT("notify_stored");

	for (size_t i = 0; i < intake->store.n; i++)
		notice_fini(&intake->notices[i]);
	if (err)
		log_warn("notifications not stored", LOG_STR("why", err->text));
	else {
		metric_add(intake->m_stored, (int64_t)intake->store.stored);
		metric_add(intake->m_repeated,
			   (int64_t)(intake->store.n - intake->store.stored));
	}
	events_consumer_done(intake->consumer, ok);
	if (!err && intake->store.stored > 0)
		intake->stored(intake->arg);
}

struct intake *intake_new(struct loop *loop, const struct intake_config *cfg,
			  struct metrics *metrics, struct err *err)
{
	struct intake *intake = xcalloc(1, sizeof(*intake));
	const struct events_consumer_config consumer = {.topic = cfg->topic,
							.start = EVENTS_GROUP,
							.group = cfg->group,
							.max_batch = MAX_BATCH,
							.on_batch = on_batch,
							.arg = intake};

	intake->db = cfg->db;
	intake->room = cfg->room;
	intake->stored = cfg->stored;
	intake->arg = cfg->arg;
	intake->store.notices = intake->notices;
	intake->m_stored = metrics_counter(metrics, "shop_notifications_stored_total",
					   "notifications made from events", NULL);
	intake->m_repeated = metrics_counter(metrics, "shop_notifications_repeated_total",
					     "events that came again", NULL);
	intake->m_ignored = metrics_counter(metrics, "shop_events_ignored_total",
					    "events of an unknown type", NULL);
	intake->m_poison = metrics_counter(metrics, "shop_events_poison_total",
					   "events that could not be understood", NULL);
	intake->m_full =
		metrics_gauge(metrics, "shop_notifications_full",
			      "1 while events wait because too many mails do", NULL);
	intake->consumer =
		events_consumer_new(loop, cfg->events, &consumer, metrics, err);
	if (intake->consumer)
		return intake;
	free(intake);
	return NULL;
}

void intake_free(struct intake *intake)
{
	if (!intake)
		return;
	events_consumer_free(intake->consumer);
	free(intake);
}

bool intake_ready(const struct intake *intake, const char **why)
{
	return events_consumer_ready(intake->consumer, why);
}
