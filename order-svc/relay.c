/*
 * relay.c - the outbox relay's thread.
 *
 *   open -> lock -> ( read -> publish -> delete ) ... -> any database failure: open
 *
 * Only the holder of the lock publishes, and the lock belongs to the connection
 * that also reads and deletes: when that is lost, so is the right to publish.
 * What was published but not deleted is published again, with the same ids.
 */
#include "relay.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "relay_repo.h"
#include "timeutil.h"

#define SHARD        0 /* one for now; the lock is named after it */
#define SEND_MS      5000
#define LAST_SEND_MS 2000 /* of the pass before the end */
#define STANDBY_MS   250  /* between tries to become the leader */
#define BACKOFF_MIN  100
#define BACKOFF_MAX  5000
#define MEASURE_MS   2000

struct relay {
	struct relay_config cfg;
	pthread_t thread;
	int wake_fd, quit_fd;
	atomic_bool quit;
	struct metric *published, *failures, *depth, *age, *leading, *set_aside;

	/* the thread's own */
	struct events_producer *producer;
	struct db_conn *conn;
	bool leader;
	bool failing;  /* told in the log, once */
	bool wakeable; /* idle: a commit may end the rest */
	int backoff_ms;
	int64_t measured_ms;
	struct relay_row *rows;
	struct events_record *records;
	int64_t *ids;
};

/* ---- failures and rests ---- */

static int fail(struct relay *relay, const char *what, const struct err *err)
{
	metric_add(relay->failures, 1);
	if (!relay->failing)
		log_warn("outbox relay is stuck", LOG_STR("step", what),
			 LOG_STR("why", err->text));
	relay->failing = true;
	relay->backoff_ms = relay->backoff_ms ? relay->backoff_ms * 2 : BACKOFF_MIN;
	if (relay->backoff_ms > BACKOFF_MAX)
		relay->backoff_ms = BACKOFF_MAX;
	return relay->backoff_ms;
}

/* The lock goes with the connection. */
static int fail_db(struct relay *relay, const char *what, const struct err *err)
{
	db_conn_free(relay->conn);
	relay->conn = NULL;
	relay->leader = false;
	metric_set(relay->leading, 0);
	return fail(relay, what, err);
}

static void recovered(struct relay *relay)
{
	if (relay->failing)
		log_info("outbox relay goes on");
	relay->failing = false;
	relay->backoff_ms = 0;
}

static void rest(struct relay *relay, int ms)
{
	struct pollfd fds[] = {{.fd = relay->quit_fd, .events = POLLIN},
			       {.fd = relay->wake_fd, .events = POLLIN}};
	eventfd_t n;

	if (ms == 0)
		return;
	poll(fds, relay->wakeable ? 2 : 1, ms);
	if (fds[1].revents & POLLIN)
		eventfd_read(relay->wake_fd, &n);
}

/* ---- publish ---- */

/* What may be deleted: rows that arrived, unless an earlier row of the same user
 * did not; that user's rows are all sent again, in order. */
static size_t collect_delivered(struct relay *relay, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		bool clear = relay->records[i].delivered;

		for (size_t j = 0; clear && j < i; j++)
			clear = relay->records[j].delivered ||
				relay->rows[j].user_id != relay->rows[i].user_id;
		if (clear)
			relay->ids[out++] = relay->rows[i].id;
	}
	return out;
}

static size_t collect_all(struct relay *relay, size_t n)
{
	for (size_t i = 0; i < n; i++)
		relay->ids[i] = relay->rows[i].id;
	return n;
}

/* Rows that Kafka will never take stop blocking everybody else. */
static bool set_aside(struct relay *relay, size_t n, const char *why, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct relay_row *row = &relay->rows[i];

		if (!relay->records[i].never)
			continue;
		log_error(
			"ALARM: an event can never be delivered; its user's events wait",
			LOG_INT("outbox_id", row->id), LOG_INT("user_id", row->user_id),
			LOG_SLICE("request_id", row->request_id), LOG_STR("why", why));
		if (!relay_repo_set_aside(relay->conn, row, why, err))
			return false;
	}
	return true;
}

static void fill_records(struct relay *relay, size_t n, char (*keys)[24])
{
	for (size_t i = 0; i < n; i++) {
		const struct relay_row *row = &relay->rows[i];
		int len = snprintf(keys[i], sizeof(keys[i]), "%lld",
				   (long long)row->user_id);

		relay->records[i] = (struct events_record){
			.key = {keys[i], (size_t)len},
			.value = row->payload,
			.event_id = row->event_id.at,
			.traceparent = row->traceparent,
		};
	}
}

static bool send_batch(struct relay *relay, size_t n, struct err *err)
{
	int timeout_ms = atomic_load(&relay->quit) ? LAST_SEND_MS : SEND_MS;

	if (FAILPOINT("relay_produced"))
		return err_set(err, ERR_INTERNAL, "failpoint relay_produced");
	return events_producer_send(relay->producer, relay->cfg.topic, relay->records, n,
				    timeout_ms, err);
}

/* Returns how long to rest. */
static int deliver(struct relay *relay, size_t n)
{
	struct err why = {0}, err = {0};
	bool all;
	size_t done;

	all = send_batch(relay, n, &why);
	if (FAILPOINT("relay_delivered"))
		return BACKOFF_MIN;
	if (!all && !set_aside(relay, n, why.text, &err))
		return fail_db(relay, "set aside", &err);
	done = all ? collect_all(relay, n) : collect_delivered(relay, n);
	if (FAILPOINT("relay_before_delete"))
		return BACKOFF_MIN;
	if (!relay_repo_delete(relay->conn, relay->ids, done, &err))
		return fail_db(relay, "delete", &err);
	metric_add(relay->published, (int64_t)done);
	if (FAILPOINT("relay_deleted"))
		return BACKOFF_MIN;
	if (!all)
		return fail(relay, "publish", &why);
	recovered(relay);
	return 0;
}

static int publish(struct relay *relay)
{
	char(*keys)[24];
	struct db_rows *rows;
	struct err err;
	size_t n;
	int pause;

	if (!relay_repo_read(relay->conn, relay->cfg.batch, relay->rows, &n, &rows, &err))
		return fail_db(relay, "read", &err);
	if (n == 0) {
		db_rows_free(rows);
		recovered(relay);
		relay->wakeable = true;
		return (int)relay->cfg.poll_ms;
	}
	keys = xcalloc(n, sizeof(*keys));
	fill_records(relay, n, keys);
	pause = deliver(relay, n);
	free(keys);
	db_rows_free(rows);
	return pause;
}

/* ---- one turn ---- */

static bool measure(struct relay *relay, struct err *err)
{
	struct relay_backlog backlog;

	if (time_mono_ms() - relay->measured_ms < MEASURE_MS)
		return true;
	if (!relay_repo_measure(relay->conn, &backlog, err))
		return false;
	relay->measured_ms = time_mono_ms();
	metric_set(relay->depth, backlog.depth);
	metric_set(relay->age, backlog.age_ms);
	metric_set(relay->set_aside, backlog.set_aside);
	return true;
}

static int lead(struct relay *relay)
{
	struct err err;

	if (!relay_repo_lock(relay->conn, SHARD, &relay->leader, &err))
		return fail_db(relay, "lock", &err);
	if (!relay->leader) {
		recovered(relay);
		return STANDBY_MS;
	}
	metric_set(relay->leading, 1);
	log_info("outbox relay leads", LOG_INT("shard", SHARD));
	return 0;
}

/* Returns how long to rest before the next one. */
static int turn(struct relay *relay)
{
	struct err err;

	relay->wakeable = false;
	if (!relay->conn)
		relay->conn = db_conn_open(relay->cfg.db, &err);
	if (!relay->conn)
		return fail(relay, "open", &err);
	if (!measure(relay, &err))
		return fail_db(relay, "measure", &err);
	return relay->leader ? publish(relay) : lead(relay);
}

static void *relay_main(void *arg)
{
	struct relay *relay = arg;

	while (!atomic_load(&relay->quit))
		rest(relay, turn(relay));
	if (relay->leader && !relay->failing)
		publish(relay);
	db_conn_free(relay->conn);
	return NULL;
}

/* ---- life ---- */

static void add_metrics(struct relay *relay, struct metrics *metrics)
{
	relay->published = metrics_counter(metrics, "shop_outbox_published_total",
					   "Events delivered to Kafka and deleted", NULL);
	relay->failures = metrics_counter(metrics, "shop_outbox_failures_total",
					  "Batches that failed in part or whole", NULL);
	relay->depth =
		metrics_gauge(metrics, "shop_outbox_depth",
			      "Events not yet in Kafka, counted up to 100000", NULL);
	relay->age = metrics_gauge(metrics, "shop_outbox_age_seconds",
				   "Age of the oldest event not yet in Kafka", NULL);
	metric_scale(relay->age, 1000);
	relay->leading = metrics_gauge(metrics, "shop_outbox_leader",
				       "1 when this process publishes the outbox", NULL);
	relay->set_aside =
		metrics_gauge(metrics, "shop_outbox_set_aside",
			      "Events that can never be delivered; alarm", NULL);
}

static void relay_fini(struct relay *relay)
{
	events_producer_free(relay->producer);
	if (relay->wake_fd >= 0)
		close(relay->wake_fd);
	if (relay->quit_fd >= 0)
		close(relay->quit_fd);
	free(relay->rows);
	free(relay->records);
	free(relay->ids);
	free(relay);
}

struct relay *relay_new(const struct relay_config *cfg, struct metrics *metrics,
			struct err *err)
{
	struct relay *relay = xcalloc(1, sizeof(*relay));

	relay->cfg = *cfg;
	relay->rows = xcalloc((size_t)cfg->batch, sizeof(*relay->rows));
	relay->records = xcalloc((size_t)cfg->batch, sizeof(*relay->records));
	relay->ids = xcalloc((size_t)cfg->batch, sizeof(*relay->ids));
	relay->measured_ms = -MEASURE_MS;
	add_metrics(relay, metrics);
	relay->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	relay->producer =
		events_producer_new(cfg->events, "order-svc-relay", metrics, err);
	if (!relay->producer) {
		relay_fini(relay);
		return NULL;
	}
	if (relay->wake_fd < 0 || relay->quit_fd < 0 ||
	    pthread_create(&relay->thread, NULL, relay_main, relay) != 0) {
		err_set(err, ERR_INTERNAL, "cannot start the relay's thread");
		relay_fini(relay);
		return NULL;
	}
	return relay;
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	atomic_store(&relay->quit, true);
	eventfd_write(relay->quit_fd, 1);
	pthread_join(relay->thread, NULL);
	relay_fini(relay);
}

void relay_wake(struct relay *relay)
{
	if (relay)
		eventfd_write(relay->wake_fd, 1);
}
