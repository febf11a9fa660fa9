/* relay_internal.h - a thread of the relay, shared by relay.c (life) and
 * relay_publisher.c (work). */
#ifndef ORDER_SVC_RELAY_INTERNAL_H
#define ORDER_SVC_RELAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "relay.h"
#include "relay_repo.h"
#include "relay_waiting.h"

/* Of all publishers of the process. */
struct relay_metrics {
	struct metric *published, *failures, *depth, *age, *shards, *set_aside;
};

struct publisher {
	const struct relay_config *cfg;
	const struct relay_metrics *metrics;
	bool measures; /* one of the process is enough */
	pthread_t thread;
	bool started;
	int wake_fd, quit_fd;
	atomic_bool quit;
	atomic_bool woken; /* since the outbox was read last */

	/* the thread's own */
	struct events_producer *producer;
	struct db_conn *conn;
	int member; /* our number; -1: none */
	relay_shards held;
	bool failing;  /* told in the log, once */
	bool wakeable; /* nothing to do: a commit may end the rest */
	int gather_ms; /* of the rest, the part in which nothing wakes it */
	int backoff_ms;
	int64_t shared_ms, measured_ms;
	struct relay_row *rows; /* with room for a batch, as the two below */
	struct events_record *records;
	int64_t *ids;
	struct relay_waiting waiting;
};

/* The thread: works until `quit`, then once more. `arg`: its publisher. */
void *publisher_main(void *arg);

#endif
