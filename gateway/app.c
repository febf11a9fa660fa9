/* app.c - start, drain and stop of the whole process, in this order. */
#include "app.h"

#include <stdio.h>

#include "access_log.h"
#include "resolve.h"

const char *const cache_use_names[CACHE_USES] = {NULL, "hit", "shared", "miss"};

static void make_cache_metrics(struct gateway_metrics *m, struct metrics *metrics)
{
	char label[32];

	for (int use = CACHE_USE_HIT; use < CACHE_USES; use++) {
		snprintf(label, sizeof(label), "result=\"%s\"", cache_use_names[use]);
		m->cache[use] = metrics_counter(
			metrics, "shop_gateway_cache_requests_total",
			"reads that could be answered from what is stored", label);
	}
	m->cache_invalidations = metrics_counter(
		metrics, "shop_gateway_cache_invalidations_total",
		"requests that changed something: what is stored of it is forgotten",
		NULL);
	m->cache_evictions =
		metrics_counter(metrics, "shop_gateway_cache_evictions_total",
				"stored answers that made room for others", NULL);
	m->cache_bytes = metrics_gauge(metrics, "shop_gateway_cache_bytes",
				       "stored answers, all threads together", NULL);
	m->cache_waiting = metrics_gauge(metrics, "shop_gateway_cache_waiting",
					 "reads that wait for another's answer", NULL);
}

static void make_metrics(struct gateway_metrics *m, struct metrics *metrics)
{
	m->connections = metrics_gauge(metrics, "shop_gateway_connections",
				       "client connections", NULL);
	m->refused_connections = metrics_counter(metrics, "shop_gateway_refused_total",
						 "connections above MAX_CLIENTS", NULL);
	m->buffered = metrics_gauge(metrics, "shop_gateway_buffered_bytes",
				    "requests and answers in memory", NULL);
	m->shed_connections =
		metrics_counter(metrics, "shop_gateway_shed_total",
				"connections ended to make room (BUFFER_KIB)", NULL);
	m->bad_requests = metrics_counter(metrics, "shop_gateway_bad_requests_total",
					  "requests that are no valid HTTP", NULL);
	m->retries = metrics_counter(metrics, "shop_gateway_retries_total",
				     "requests sent again on a new connection", NULL);
	m->no_endpoint = metrics_counter(metrics, "shop_gateway_no_endpoint_total",
					 "requests that no endpoint could take", NULL);
	m->overloaded = metrics_counter(
		metrics, "shop_gateway_overloaded_total",
		"requests refused because too many waited for the service", NULL);
	m->waiting = metrics_gauge(metrics, "shop_gateway_waiting",
				   "requests that wait for a connection", NULL);
}

/* How many of each upstream may get requests now? */
static void count_addresses(void *arg)
{
	const struct app *app = arg;
	const struct routes *routes = app->routes;

	for (unsigned i = 0; i < routes->n_upstreams; i++)
		metric_set(routes->upstreams[i].series.addresses, 0);
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		const struct endpoint *endpoint = routes->endpoints[i];
		bool there = !endpoint_is_name(endpoint) || endpoint->found;

		if (there && endpoint->health != HEALTH_UNREADY)
			metric_add(endpoint->upstream->series.addresses, 1);
	}
}

static bool read_proxies(struct proxies *proxies, const struct app *app, struct err *err)
{
	return proxies_init(proxies, app->settings.trusted_proxies, err) ||
	       err_wrap(err, "TRUSTED_PROXIES");
}

bool app_check(void *arg, struct err *err)
{
	const struct app *app = arg;
	struct proxies proxies;
	struct routes *routes;

	if (!read_proxies(&proxies, app, err))
		return false;
	proxies_fini(&proxies);
	settings_export(&app->settings);
	routes = routes_load(app->settings.routes_file, err);
	routes_unref(routes);
	return routes != NULL;
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;

	app->service = service;
	if (!read_proxies(&app->proxies, app, err))
		return false;
	make_metrics(&app->metrics, service_metrics(service));
	make_cache_metrics(&app->metrics, service_metrics(service));
	app->routes = routes_load(app->settings.routes_file, err);
	if (!app->routes)
		return false;
	access_log_prepare(app, app->routes);
	app->health = health_new(service_loop(service), app->routes,
				 service_metrics(service), err);
	if (!app->health || !workers_start(app, err))
		return false;
	app->resolver = resolver_new(app, service_loop(service));
	service_add_check(service, "names", resolver_ready, app->resolver);
	service_add_check(service, "services", health_heard, app->health);
	metrics_on_collect(service_metrics(service), count_addresses, app);
	return true;
}

void app_drain(void *arg, struct service *service)
{
	(void)service;
	workers_drain(arg);
}

void app_stop(void *arg)
{
	struct app *app = arg;

	resolver_free(app->resolver);
	workers_stop(app);
	health_free(app->health);
	routes_unref(app->routes);
	proxies_fini(&app->proxies);
}
