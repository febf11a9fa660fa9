/*
 * health.c - ask every endpoint's /readyz, so that an instance that is about to
 * stop gets no new requests while it still answers.
 *
 * What it says counts at once, also that nobody listens.  One that says nothing in time
 * may only be short of CPU, and must not be taken for one that stops: it counts when it
 * says nothing twice.
 *
 * A new gateway is ready when each service was heard of once: until the network carries
 * what it sends (common/reach.h), requests would only wait in it.
 *
 * Runs on the main loop; the threads only read the mark.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "log.h"
#include "timeutil.h"

#define PROBE_MS      500
#define PROBE_WAIT_MS 1000
#define MAX_MISSES    2

struct probe {
	struct endpoint *endpoint;
	struct http_client *client; /* NULL: not probed, or no address at the time */
	struct loop_timer *timer;
	struct metric *up; /* NULL: of a name, see upstream_series.addresses */
	unsigned misses;   /* time-outs in a row */
	bool heard;        /* anything at all, once */
	bool stopping;
};

struct health {
	struct loop *loop;
	struct routes *routes; /* one reference */
	int64_t start_ms;
	struct probe probes[]; /* by endpoint id */
};

static void mark(struct probe *probe, enum endpoint_health health)
{
	struct endpoint *endpoint = probe->endpoint;
	int before = atomic_exchange(&endpoint->health, health);

	if (health == HEALTH_READY)
		atomic_store(&endpoint->down_until_ms, 0);
	if (probe->up)
		metric_set(probe->up, health == HEALTH_READY);
	if (before != (int)health)
		log_info("endpoint changed",
			 LOG_STR("endpoint", endpoint->origin.authority),
			 LOG_INT("slot", endpoint->slot),
			 LOG_BOOL("ready", health == HEALTH_READY));
}

/* No answer or no connection in time. */
static bool is_late(const struct err *err)
{
	return err && (err->code == ERR_TIMEOUT ||
		       (err->code == ERR_BUSY && strcmp(err->slug, "refused") != 0));
}

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct probe *probe = arg;

	if (probe->stopping)
		return;
	probe->misses = is_late(err) ? probe->misses + 1 : 0;
	probe->heard = probe->heard || probe->misses == 0;
	if (!err && answer->status == 200)
		mark(probe, HEALTH_READY);
	else if (probe->misses == 0 || probe->misses >= MAX_MISSES)
		mark(probe, HEALTH_UNREADY);
	loop_timer_start(probe->timer, PROBE_MS);
}

static void ask(void *arg)
{
	static const struct http_call call = {.method = "GET",
					      .path = "/readyz",
					      .timeout_ms = PROBE_WAIT_MS,
					      .label = "/readyz"};
	struct probe *probe = arg;

	http_client_call(probe->client, &call, on_answer, probe);
}

/* ---- one probe ---- */

static bool start(struct probe *probe, struct loop *loop, const char *url,
		  struct err *err)
{
	const struct http_client_config cfg = {
		.base_url = url, .max_conns = 1, .fail_refused = true};

	probe->client = http_client_new(loop, &cfg, NULL, err);
	if (!probe->client)
		return false;
	loop_timer_start(probe->timer, 0);
	return true;
}

/* A question that is still open ends in on_answer(). */
static void stop(struct probe *probe)
{
	if (!probe->timer) /* the start failed before it was made */
		return;
	probe->stopping = true;
	loop_timer_stop(probe->timer);
	http_client_free(probe->client);
	probe->client = NULL;
	probe->stopping = false;
}

static bool add_probe(struct health *health, struct endpoint *endpoint,
		      struct metrics *metrics, struct err *err)
{
	struct probe *probe = &health->probes[endpoint->id];
	char labels[400];

	probe->endpoint = endpoint;
	probe->timer = loop_timer_new(health->loop, ask, probe);
	if (!endpoint->admin_url)
		return true;
	snprintf(labels, sizeof(labels), "endpoint=\"%s\"", endpoint->origin.authority);
	probe->up =
		metrics_gauge(metrics, "shop_gateway_endpoint_ready",
			      "1 when the endpoint's readiness probe succeeds", labels);
	return start(probe, health->loop, endpoint->admin_url, err);
}

void health_address(struct health *health, struct endpoint *endpoint, const char *address)
{
	struct probe *probe = &health->probes[endpoint->id];
	struct err err;
	char url[80];

	stop(probe);
	probe->misses = 0;
	atomic_store(&endpoint->health, HEALTH_UNKNOWN);
	atomic_store(&endpoint->down_until_ms, 0);
	if (!*address || !endpoint->admin_port)
		return;
	snprintf(url, sizeof(url),
		 strchr(address, ':') ? "http://[%s]:%u" : "http://%s:%u", address,
		 endpoint->admin_port);
	if (!start(probe, health->loop, url, &err))
		log_error("cannot probe", LOG_STR("url", url), LOG_STR("why", err.text));
}

/* ---- all ---- */

struct health *health_new(struct loop *loop, struct routes *routes,
			  struct metrics *metrics, struct err *err)
{
	struct health *health =
		xcalloc(1, sizeof(*health) + routes->n_endpoints * sizeof(struct probe));

	health->loop = loop;
	health->start_ms = time_mono_ms();
	health->routes = routes_ref(routes);
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		if (!add_probe(health, routes->endpoints[i], metrics, err)) {
			health_free(health);
			return NULL;
		}
	}
	return health;
}

/* Is nothing heard of any of its endpoints, though one is asked? */
static bool is_silent(const struct health *health, const struct upstream *upstream)
{
	bool asked = false;

	for (unsigned i = 0; i < health->routes->n_endpoints; i++) {
		const struct probe *probe = &health->probes[i];

		if (probe->endpoint->upstream != upstream)
			continue;
		if (probe->heard)
			return false;
		asked = asked || probe->client;
	}
	return asked;
}

bool health_heard(void *arg, const char **why)
{
	const struct health *health = arg;

	*why = "a service has not answered yet";
	if (time_mono_ms() - health->start_ms >= READY_GRACE_MS)
		return true;
	for (unsigned i = 0; i < health->routes->n_upstreams; i++) {
		if (is_silent(health, &health->routes->upstreams[i]))
			return false;
	}
	return true;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	for (unsigned i = 0; i < health->routes->n_endpoints; i++) {
		stop(&health->probes[i]);
		loop_timer_free(health->probes[i].timer);
	}
	routes_unref(health->routes);
	free(health);
}
