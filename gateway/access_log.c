/* access_log.c - the access log line and the counts of a finished exchange. */
#include "access_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "log.h"
#include "timeutil.h"
#include "trace.h"

#define CLIENT_CLOSED 499 /* shown when there was nobody to answer */

static const char *const listener_names[] = {"public", "internal"};

static int status_of(const struct exchange *x)
{
	return x->status ? x->status : CLIENT_CLOSED;
}

static void make_series(struct metrics *metrics, struct route_series *series,
			const char *listener, const char *pattern, const char *method)
{
	char labels[640];

	for (int c = 1; c < 6; c++) {
		snprintf(labels, sizeof(labels),
			 "listener=\"%s\",route=\"%s\",method=\"%s\",code=\"%dxx\"",
			 listener, pattern, method, c);
		series->by_class[c] =
			metrics_counter(metrics, "shop_gateway_requests_total",
					"requests answered by the gateway", labels);
	}
	snprintf(labels, sizeof(labels), "listener=\"%s\",route=\"%s\",method=\"%s\"",
		 listener, pattern, method);
	series->seconds =
		metrics_histogram(metrics, "shop_gateway_request_seconds",
				  "from the head to the end of the answer", labels);
}

static void make_route_series(struct metrics *metrics, struct route *route)
{
	for (int m = 0; m < HTTP_METHODS; m++) {
		if (route->methods & 1u << m)
			make_series(metrics, &route->series[m],
				    listener_names[route->listener], route->pattern,
				    http_method_name((enum http_method_id)m));
	}
}

static void make_upstream_series(struct metrics *metrics, struct upstream *upstream)
{
	struct upstream_series *series = &upstream->series;
	char labels[160];

	for (int c = 1; c < 6; c++) {
		snprintf(labels, sizeof(labels), "upstream=\"%.100s\",code=\"%dxx\"",
			 upstream->name, c);
		series->by_class[c] = metrics_counter(
			metrics, "shop_gateway_upstream_requests_total",
			"requests that were sent to an upstream, by the answer", labels);
	}
	snprintf(labels, sizeof(labels), "upstream=\"%.100s\"", upstream->name);
	series->seconds =
		metrics_histogram(metrics, "shop_gateway_upstream_seconds",
				  "from sending to the head of the answer", labels);
	series->addresses = metrics_gauge(metrics, "shop_gateway_upstream_addresses",
					  "endpoints that may get requests", labels);
	if (upstream->is_variant)
		series->fallbacks = metrics_counter(
			metrics, "shop_gateway_variant_fallbacks_total",
			"requests for a variant that the stable version got", labels);
}

void access_log_prepare(struct app *app, struct routes *routes)
{
	struct metrics *metrics = service_metrics(app->service);

	make_series(metrics, &app->metrics.no_route, "any", "none", "any");
	for (unsigned i = 0; i < routes->n; i++)
		make_route_series(metrics, &routes->list[i]);
	for (unsigned i = 0; i < routes->n_upstreams; i++)
		make_upstream_series(metrics, &routes->upstreams[i]);
}

static void count(const struct exchange *x, uint64_t total_us)
{
	const struct route_series *series = x->route ? &x->route->series[x->head.method]
						     : &x->worker->app->metrics.no_route;

	metric_add(series->by_class[status_of(x) / 100], 1);
	metric_observe_us(series->seconds, total_us);
	if (!x->sent_us)
		return;
	metric_add(x->upstream->series.by_class[status_of(x) / 100], 1);
	if (x->answer_us)
		metric_observe_us(x->upstream->series.seconds, x->answer_us - x->sent_us);
}

static const char *variant_of(const struct exchange *x)
{
	return x->upstream && x->upstream->is_variant ? x->upstream->name : NULL;
}

void access_log(const struct exchange *x)
{
	uint64_t now_us = time_mono_us();
	uint64_t upstream_us = x->answer_us ? x->answer_us - x->sent_us : 0;
	const struct log_field fields[] = {
		LOG_STR("request_id", x->request_id),
		LOG_SLICE("trace_id", trace_id(x->traceparent)),
		LOG_STR("listener", listener_names[x->client->listener]),
		LOG_STR("peer", x->client->peer),
		LOG_STR("client", x->from),
		LOG_STR("method", http_method_name(x->head.method)),
		LOG_SLICE("path", x->head.path),
		LOG_STR("route", x->route ? x->route->pattern : NULL),
		LOG_STR("variant", variant_of(x)),
		LOG_INT("status", status_of(x)),
		LOG_INT("bytes_in", x->bytes_in),
		LOG_INT("bytes_out", x->bytes_out),
		LOG_MS("ms", now_us - x->start_us),
		LOG_MS("upstream_ms", upstream_us),
		LOG_INT("user_id", x->caller.user_id),
		LOG_STR("service", x->caller.service),
		LOG_STR("cache", cache_use_names[x->cache_use]),
		LOG_STR("why", x->why),
		{.key = NULL}};

	count(x, now_us - x->start_us);
	if (log_enabled(LOG_INFO))
		log_batch_write(&x->worker->log, LOG_INFO, "request", fields);
}
