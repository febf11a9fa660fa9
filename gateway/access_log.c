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
			const char *listener, const char *pattern)
{
	char labels[640];

	for (int c = 1; c < 6; c++) {
		snprintf(labels, sizeof(labels),
			 "listener=\"%s\",route=\"%s\",code=\"%dxx\"", listener, pattern,
			 c);
		series->by_class[c] =
			metrics_counter(metrics, "shop_gateway_requests_total",
					"requests answered by the gateway", labels);
	}
	snprintf(labels, sizeof(labels), "listener=\"%s\",route=\"%s\"", listener,
		 pattern);
	series->seconds =
		metrics_histogram(metrics, "shop_gateway_request_seconds",
				  "from the head to the end of the answer", labels);
}

void access_log_prepare(struct app *app, struct routes *routes)
{
	struct metrics *metrics = service_metrics(app->service);

	make_series(metrics, &app->metrics.no_route, "any", "none");
	for (unsigned i = 0; i < routes->n; i++) {
		struct route *route = &routes->list[i];

		make_series(metrics, &route->series, listener_names[route->listener],
			    route->pattern);
	}
}

static void count(const struct exchange *x, uint64_t total_us)
{
	const struct route_series *series =
		x->route ? &x->route->series : &x->worker->app->metrics.no_route;

	metric_add(series->by_class[status_of(x) / 100], 1);
	metric_observe_us(series->seconds, total_us);
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
		LOG_STR("method", http_method_name(x->head.method)),
		LOG_SLICE("path", x->head.path),
		LOG_STR("route", x->route ? x->route->pattern : NULL),
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
