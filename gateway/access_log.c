/* access_log.c - the access log line and the counts of a finished exchange. */
#include "access_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "log.h"
#include "timeutil.h"

#define CLIENT_CLOSED 499 /* shown when there was nobody to answer */

static const char *const listener_names[] = {"public", "internal"};

static int status_of(const struct exchange *x)
{
	return x->status ? x->status : CLIENT_CLOSED;
}

static void count(const struct exchange *x, uint64_t total_us)
{
	struct metrics *metrics = service_metrics(x->worker->app->service);
	const char *pattern = x->route ? x->route->pattern : "none";
	char labels[640];

	snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\",code=\"%dxx\"",
		 pattern, http_method_name(x->head.method), status_of(x) / 100);
	metric_add(metrics_counter(metrics, "shop_gateway_requests_total",
				   "requests answered by the gateway", labels),
		   1);
	snprintf(labels, sizeof(labels), "route=\"%s\"", pattern);
	metric_observe_us(metrics_histogram(metrics, "shop_gateway_request_seconds",
					    "from the head to the end of the answer",
					    labels),
			  total_us);
}

void access_log(const struct exchange *x)
{
	uint64_t now_us = time_mono_us();
	uint64_t upstream_us = x->answer_us ? x->answer_us - x->sent_us : 0;
	const struct log_field fields[] = {
		LOG_STR("request_id", x->request_id),
		LOG_STR("trace_id", x->traceparent),
		LOG_STR("listener", listener_names[x->client->listener]),
		LOG_STR("peer", x->client->peer),
		LOG_STR("method", http_method_name(x->head.method)),
		LOG_SLICE("path", x->head.path),
		LOG_STR("route", x->route ? x->route->pattern : NULL),
		LOG_INT("status", status_of(x)),
		LOG_INT("bytes_in", x->bytes_in),
		LOG_INT("bytes_out", x->bytes_out),
		LOG_DOUBLE("ms", (double)(now_us - x->start_us) / 1000.0),
		LOG_DOUBLE("upstream_ms", (double)upstream_us / 1000.0),
		LOG_INT("user_id", x->caller.user_id),
		LOG_STR("service", x->caller.service),
		LOG_STR("why", x->why),
		{.key = NULL}};

	count(x, now_us - x->start_us);
	if (log_enabled(LOG_INFO))
		log_write(LOG_INFO, "request", fields);
}
