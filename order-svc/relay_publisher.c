/*
 * relay_publisher.c - the thread that publishes some shards of the outbox.
 *
 *   open -> join -> share -> ( read -> publish -> delete ) ...
 *                                  any database failure: open
 *
 * Only the holder of a shard's lock publishes it, and the lock belongs to the
 * connection that also reads and deletes: when that is lost, so is the right to
 * publish.  What was published but not deleted is published again, with the same
 * ids.  Shards change hands only between two batches.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "failpoint.h"
#include "log.h"
#include "relay_internal.h"
#include "timeutil.h"

#define SEND_MS      5000
#define LAST_SEND_MS 2000 /* of the pass before the end */
#define SHARE_MS     250  /* between looks at who else is there */
#define BACKOFF_MIN  100
#define BACKOFF_MAX  5000
#define HOLD_BACK_MS 10000 /* twice a send: most of the time is for the others */
#define MEASURE_MS   2000
/* Each batch costs a commit and a request for each partition, whatever is in it, so
 * the next one begins only so long after one with that many events.  The first event
 * after a quiet time does not wait. */
static const struct {
	size_t events;
	int ms;
} gather[] = {{64, 60}, {16, 30}, {1, 15}, {0, 0}};

/* ---- failures and rests ---- */

static int fail(struct publisher *pub, const char *what, const struct err *err)
{
	metric_add(pub->metrics->failures, 1);
	if (!pub->failing)
		log_warn("outbox relay is stuck", LOG_STR("step", what),
			 LOG_STR("why", err->text));
	pub->failing = true;
	pub->backoff_ms = pub->backoff_ms ? pub->backoff_ms * 2 : BACKOFF_MIN;
	if (pub->backoff_ms > BACKOFF_MAX)
		pub->backoff_ms = BACKOFF_MAX;
	return pub->backoff_ms;
}

static void set_held(struct publisher *pub, relay_shards held)
{
	int before = (int)relay_shards_count(pub->held);
	int after = (int)relay_shards_count(held);

	pub->held = held;
	metric_add(pub->metrics->shards, after - before);
	if (after != before)
		log_info("outbox relay", LOG_INT("shards", after),
			 LOG_INT("before", before));
}

/* The locks go with the connection. */
static int fail_db(struct publisher *pub, const char *what, const struct err *err)
{
	db_conn_free(pub->conn);
	pub->conn = NULL;
	pub->member = -1;
	set_held(pub, 0);
	return fail(pub, what, err);
}

static void recovered(struct publisher *pub)
{
	pub->backoff_ms = 0;
	if (pub->waiting.n > 0)
		return;
	if (pub->failing)
		log_info("outbox relay goes on");
	pub->failing = false;
}

/* Commits wake it, but for the first gather_ms. */
static void rest(struct publisher *pub, int ms)
{
	struct pollfd fds[] = {{.fd = pub->quit_fd, .events = POLLIN},
			       {.fd = pub->wake_fd, .events = POLLIN}};
	int first = pub->gather_ms < ms ? pub->gather_ms : ms;

	if (first > 0 && poll(fds, 1, first) != 0)
		return;
	if (ms > first)
		poll(fds, pub->wakeable ? 2 : 1, ms - first);
}

/* ---- publish ---- */

/* What may be deleted: rows that arrived, unless an earlier row of the same user
 * did not; that user's rows are all sent again, in order. */
static size_t collect_delivered(struct publisher *pub, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		bool clear = pub->records[i].delivered;

		for (size_t j = 0; clear && j < i; j++)
			clear = pub->records[j].delivered ||
				pub->rows[j].user_id != pub->rows[i].user_id;
		if (clear)
			pub->ids[out++] = pub->rows[i].id;
	}
	return out;
}

static size_t collect_all(struct publisher *pub, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pub->ids[i] = pub->rows[i].id;
	return n;
}

/* Users whose rows took up the whole time of a send and did not arrive are left out for
 * a while, if there is anybody else: somebody's rows did arrive, or more wait behind
 * these. true: the others need not wait. */
static bool hold_back(struct publisher *pub, const struct relay_batch *batch, size_t done,
		      int64_t began_ms)
{
	int64_t now_ms = time_mono_ms();

	if (done == 0 && !batch->more)
		return false;
	for (size_t i = 0; i < batch->n && now_ms - began_ms >= SEND_MS; i++)
		if (!pub->records[i].delivered)
			relay_waiting_add(&pub->waiting, pub->rows[i].user_id,
					  now_ms + HOLD_BACK_MS);
	return done > 0 || pub->waiting.n > 0;
}

/* Rows that Kafka will never take stop blocking everybody else. */
static bool set_aside(struct publisher *pub, size_t n, const char *why, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct relay_row *row = &pub->rows[i];

		if (!pub->records[i].never)
			continue;
		log_error(
			"ALARM: an event can never be delivered; its user's events wait",
			LOG_INT("outbox_id", row->id), LOG_INT("user_id", row->user_id),
			LOG_SLICE("request_id", row->request_id), LOG_STR("why", why));
		if (!relay_repo_set_aside(pub->conn, row, why, err))
			return false;
	}
	return true;
}

static void fill_records(struct publisher *pub, size_t n, char (*keys)[24])
{
	for (size_t i = 0; i < n; i++) {
		const struct relay_row *row = &pub->rows[i];
		int len = snprintf(keys[i], sizeof(keys[i]), "%lld",
				   (long long)row->user_id);

		pub->records[i] = (struct events_record){
			.key = {keys[i], (size_t)len},
			.value = row->payload,
			.event_id = row->event_id.at,
			.traceparent = row->traceparent,
		};
	}
}

static bool send_batch(struct publisher *pub, size_t n, struct err *err)
{
	int timeout_ms = atomic_load(&pub->quit) ? LAST_SEND_MS : SEND_MS;

	if (FAILPOINT("relay_before_produce"))
		return err_set(err, ERR_INTERNAL, "failpoint relay_before_produce");
	return events_producer_send(pub->producer, pub->cfg->topic, pub->records, n,
				    timeout_ms, err);
}

/* How long to rest after a batch. */
static int after_batch(struct publisher *pub, const struct relay_batch *batch)
{
	size_t i = 0;

	if (batch->more)
		return 0;
	while (batch->n < gather[i].events)
		i++;
	pub->gather_ms = gather[i].ms;
	pub->wakeable = true;
	return pub->gather_ms > pub->cfg->poll_ms ? pub->gather_ms
						  : (int)pub->cfg->poll_ms;
}

/* Returns how long to rest. */
static int deliver(struct publisher *pub, const struct relay_batch *batch)
{
	struct err why = {0}, err = {0};
	int64_t began_ms = time_mono_ms();
	size_t n = batch->n, done;
	bool all;

	all = send_batch(pub, n, &why);
	if (FAILPOINT("relay_delivered"))
		return BACKOFF_MIN;
	if (!all && !set_aside(pub, n, why.text, &err))
		return fail_db(pub, "set aside", &err);
	done = all ? collect_all(pub, n) : collect_delivered(pub, n);
	if (FAILPOINT("relay_before_delete"))
		return BACKOFF_MIN;
	if (!relay_repo_delete(pub->conn, pub->ids, done, &err))
		return fail_db(pub, "delete", &err);
	metric_add(pub->metrics->published, (int64_t)done);
	if (FAILPOINT("relay_deleted"))
		return BACKOFF_MIN;
	if (!all) {
		if (hold_back(pub, batch, done, began_ms))
			pub->backoff_ms = 0;
		return fail(pub, "publish", &why);
	}
	recovered(pub);
	return after_batch(pub, batch);
}

/* What commits from here on wakes us again. */
static void forget_wake(struct publisher *pub)
{
	eventfd_t n;

	/* In this order: a wake between the two is one too many, not one too few. */
	eventfd_read(pub->wake_fd, &n);
	atomic_store(&pub->woken, false);
}

static int publish(struct publisher *pub)
{
	struct relay_batch batch = {.row = pub->rows, .max = (size_t)pub->cfg->batch};
	char(*keys)[24];
	struct err err;
	int pause;

	forget_wake(pub);
	if (!relay_repo_read(pub->conn, pub->held,
			     relay_waiting_text(&pub->waiting, time_mono_ms()), &batch,
			     &err))
		return fail_db(pub, "read", &err);
	if (batch.n == 0) {
		db_rows_free(batch.rows);
		recovered(pub);
		return after_batch(pub, &batch);
	}
	keys = xcalloc(batch.n, sizeof(*keys));
	fill_records(pub, batch.n, keys);
	pause = deliver(pub, &batch);
	free(keys);
	db_rows_free(batch.rows);
	return pause;
}

/* ---- shares ---- */

static bool move_shard(struct publisher *pub, unsigned shard,
		       const struct relay_move *move, struct err *err)
{
	relay_shards bit = 1u << shard;
	bool taken = false;

	if (move->give & bit) {
		/* Given up in any case: a lock that cannot be freed ends the
		 * connection. */
		set_held(pub, pub->held & ~bit);
		return relay_repo_give(pub->conn, shard, err);
	}
	if (!(move->take & bit))
		return true;
	if (!relay_repo_take(pub->conn, shard, &taken, err))
		return false;
	if (taken)
		set_held(pub, pub->held | bit);
	return true;
}

static bool share(struct publisher *pub, struct err *err)
{
	struct relay_others others;
	struct relay_move move;

	if (time_mono_ms() - pub->shared_ms < SHARE_MS)
		return true;
	if (pub->member < 0 && !relay_repo_join(pub->conn, &pub->member, err))
		return false;
	pub->shared_ms = time_mono_ms();
	if (pub->member < 0)
		return true;
	if (!relay_repo_others(pub->conn, &others, err))
		return false;
	move = relay_shards_move(pub->held, others.unheld, others.members,
				 (unsigned)pub->member);
	for (unsigned n = 0; n < RELAY_SHARDS; n++)
		if (!move_shard(pub, n, &move, err))
			return false;
	return true;
}

/* ---- one turn ---- */

static bool measure(struct publisher *pub, struct err *err)
{
	const struct relay_metrics *m = pub->metrics;
	struct relay_backlog backlog;

	if (!pub->measures || time_mono_ms() - pub->measured_ms < MEASURE_MS)
		return true;
	if (!relay_repo_measure(pub->conn, &backlog, err))
		return false;
	pub->measured_ms = time_mono_ms();
	metric_set(m->depth, backlog.depth);
	metric_set(m->age, backlog.age_ms);
	metric_set(m->set_aside, backlog.set_aside);
	return true;
}

static bool open_conn(struct publisher *pub, struct err *err)
{
	if (pub->conn)
		return true;
	pub->conn = db_conn_open(pub->cfg->db, err);
	pub->shared_ms = pub->measured_ms = INT64_MIN / 2;
	return pub->conn != NULL;
}

/* Returns how long to rest before the next one. */
static int turn(struct publisher *pub)
{
	struct err err;

	pub->wakeable = false;
	pub->gather_ms = 0;
	if (!open_conn(pub, &err))
		return fail(pub, "open", &err);
	if (!measure(pub, &err))
		return fail_db(pub, "measure", &err);
	if (!share(pub, &err))
		return fail_db(pub, "share", &err);
	if (pub->held)
		return publish(pub);
	recovered(pub);
	return SHARE_MS;
}

void *publisher_main(void *arg)
{
	struct publisher *pub = arg;

	while (!atomic_load(&pub->quit))
		rest(pub, turn(pub));
	if (pub->held && (!pub->failing || pub->waiting.n > 0))
		publish(pub);
	db_conn_free(pub->conn);
	return NULL;
}
