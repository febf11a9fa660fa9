/* relay.c - the life of the relay's threads: made, woken, ended. */
#include "relay.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "relay_internal.h"

struct relay {
	struct relay_config cfg;
	struct relay_metrics metrics;
	unsigned n;
	struct publisher publishers[];
};

static void add_metrics(struct relay_metrics *m, struct metrics *metrics)
{
	m->published = metrics_counter(metrics, "shop_outbox_published_total",
				       "Events delivered to Kafka and deleted", NULL);
	m->failures = metrics_counter(metrics, "shop_outbox_failures_total",
				      "Batches that failed in part or whole", NULL);
	m->depth = metrics_gauge(metrics, "shop_outbox_depth",
				 "Events not yet in Kafka, counted up to 100000", NULL);
	m->age = metrics_gauge(metrics, "shop_outbox_age_seconds",
			       "Age of the oldest event not yet in Kafka", NULL);
	metric_scale(m->age, 1000);
	m->shards = metrics_gauge(metrics, "shop_outbox_shards",
				  "Of the outbox's 8 shards, those that this process "
				  "publishes",
				  NULL);
	m->set_aside = metrics_gauge(metrics, "shop_outbox_set_aside",
				     "Events that can never be delivered; alarm", NULL);
}

/* ---- a publisher ---- */

static void publisher_init(struct publisher *pub, const struct relay *relay)
{
	/* See struct relay_batch. */
	size_t room = (size_t)relay->cfg.batch + RELAY_SHARDS;

	pub->cfg = &relay->cfg;
	pub->metrics = &relay->metrics;
	pub->measures = pub == relay->publishers;
	pub->member = pub->wake_fd = pub->quit_fd = -1;
	pub->rows = xcalloc(room, sizeof(*pub->rows));
	pub->records = xcalloc(room, sizeof(*pub->records));
	pub->ids = xcalloc(room, sizeof(*pub->ids));
}

static void publisher_fini(struct publisher *pub)
{
	events_producer_free(pub->producer);
	if (pub->wake_fd >= 0)
		close(pub->wake_fd);
	if (pub->quit_fd >= 0)
		close(pub->quit_fd);
	free(pub->rows);
	free(pub->records);
	free(pub->ids);
}

static bool publisher_start(struct publisher *pub, struct metrics *metrics,
			    struct err *err)
{
	pub->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pub->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pub->producer =
		events_producer_new(pub->cfg->events, "order-svc-relay", metrics, err);
	if (!pub->producer)
		return false;
	if (pub->wake_fd < 0 || pub->quit_fd < 0 ||
	    pthread_create(&pub->thread, NULL, publisher_main, pub) != 0)
		return err_set(err, ERR_INTERNAL, "cannot start the relay's thread");
	pub->started = true;
	return true;
}

/* ---- all of them ---- */

struct relay *relay_new(const struct relay_config *cfg, struct metrics *metrics,
			struct err *err)
{
	size_t n = (size_t)cfg->threads;
	struct relay *relay = xcalloc(1, sizeof(*relay) + n * sizeof(struct publisher));

	relay->cfg = *cfg;
	relay->n = (unsigned)n;
	add_metrics(&relay->metrics, metrics);
	for (unsigned i = 0; i < n; i++)
		publisher_init(&relay->publishers[i], relay);
	for (unsigned i = 0; i < n; i++) {
		if (publisher_start(&relay->publishers[i], metrics, err))
			continue;
		relay_free(relay);
		return NULL;
	}
	return relay;
}

static void publisher_quit(struct publisher *pub)
{
	atomic_store(&pub->quit, true);
	if (pub->started)
		eventfd_write(pub->quit_fd, 1);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	for (unsigned i = 0; i < relay->n; i++)
		publisher_quit(&relay->publishers[i]);
	for (unsigned i = 0; i < relay->n; i++) {
		if (relay->publishers[i].started)
			pthread_join(relay->publishers[i].thread, NULL);
		publisher_fini(&relay->publishers[i]);
	}
	free(relay);
}

void relay_wake(struct relay *relay)
{
	for (unsigned i = 0; relay && i < relay->n; i++)
		if (!atomic_exchange(&relay->publishers[i].woken, true))
			eventfd_write(relay->publishers[i].wake_fd, 1);
}
