/*
 * health.c - ask every endpoint's /readyz, so that an instance that is about to
 * stop gets no new requests while it still answers.
 *
 * Runs on the main loop; the threads only read the mark.
 */
#include <stdlib.h>

#include "app.h"
#include "log.h"
#include "timeutil.h"

#define PROBE_MS      500
#define PROBE_WAIT_MS 1000

struct probe {
	struct health *health;
	struct endpoint *endpoint;
	struct http_client *client;
	struct loop_timer *timer;
	struct metric *up;
};

struct health {
	struct probe *probes;
	unsigned n;
	struct routes *routes; /* one reference */
	bool stopping;
};

static void mark(struct probe *probe, enum endpoint_health health)
{
	struct endpoint *endpoint = probe->endpoint;
	int before = atomic_exchange(&endpoint->health, health);

	if (health == HEALTH_READY)
		atomic_store(&endpoint->down_until_ms, 0);
	metric_set(probe->up, health == HEALTH_READY);
	if (before != (int)health)
		log_info("endpoint changed",
			 LOG_STR("endpoint", endpoint->origin.authority),
			 LOG_BOOL("ready", health == HEALTH_READY));
}

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct probe *probe = arg;

	if (probe->health->stopping)
		return;
	mark(probe, !err && answer->status == 200 ? HEALTH_READY : HEALTH_UNREADY);
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

static bool add_probe(struct health *health, struct loop *loop, struct endpoint *endpoint,
		      struct metrics *metrics, struct err *err)
{
	const struct http_client_config cfg = {.base_url = endpoint->admin_url,
					       .max_conns = 1};
	struct probe *probe = &health->probes[health->n];
	char labels[400];

	snprintf(labels, sizeof(labels), "endpoint=\"%s\"", endpoint->origin.authority);
	probe->health = health;
	probe->endpoint = endpoint;
	probe->up =
		metrics_gauge(metrics, "shop_gateway_endpoint_ready",
			      "1 when the endpoint's readiness probe succeeds", labels);
	probe->client = http_client_new(loop, &cfg, NULL, err);
	if (!probe->client)
		return false;
	probe->timer = loop_timer_new(loop, ask, probe);
	loop_timer_start(probe->timer, 0);
	health->n++;
	return true;
}

struct health *health_new(struct loop *loop, struct routes *routes,
			  struct metrics *metrics, struct err *err)
{
	struct health *health = xcalloc(1, sizeof(*health));

	health->routes = routes_ref(routes);
	health->probes = xcalloc(routes->n_endpoints + 1, sizeof(struct probe));
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		struct endpoint *endpoint = routes->endpoints[i];

		if (endpoint->admin_url &&
		    !add_probe(health, loop, endpoint, metrics, err)) {
			health_free(health);
			return NULL;
		}
	}
	return health;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	health->stopping = true;
	for (unsigned i = 0; i < health->n; i++) {
		http_client_free(health->probes[i].client);
		loop_timer_free(health->probes[i].timer);
	}
	routes_unref(health->routes);
	free(health->probes);
	free(health);
}
