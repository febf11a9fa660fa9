/* http_stats.c - requests and seconds of each route, looked up once. */
#include <stdio.h>
#include <stdlib.h>

#include "http_internal.h"

#define MIN_CODE 100
#define CODES    500

struct http_stats {
	const char *route, *method;
	struct metric *seconds;
	struct metric *by_code[CODES]; /* made when first seen */
};

static size_t count_routes(const struct http_route *routes)
{
	size_t n = 0;

	while (routes[n].handler)
		n++;
	return n;
}

static void init(struct http_stats *stats, struct metrics *metrics, const char *route,
		 const char *method)
{
	char labels[320];

	stats->route = route;
	stats->method = method;
	snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\"", route, method);
	stats->seconds = metrics_histogram(metrics, "shop_http_request_seconds",
					   "Time to answer a request", labels);
}

struct http_stats *http_stats_new(struct metrics *metrics,
				  const struct http_route *routes)
{
	size_t n = count_routes(routes);
	struct http_stats *stats;

	if (!metrics)
		return NULL;
	stats = xcalloc(n + 1, sizeof(*stats));
	for (size_t i = 0; i < n; i++)
		init(&stats[i], metrics, routes[i].pattern, routes[i].method);
	/* One series for whatever clients make up. */
	init(&stats[n], metrics, "none", "any");
	return stats;
}

void http_stats_free(struct http_stats *stats)
{
	free(stats);
}

struct http_stats *http_stats_of(struct http_server *server,
				 const struct http_route *route)
{
	if (!server->stats)
		return NULL;
	return &server->stats[route ? (size_t)(route - server->routes)
				    : count_routes(server->routes)];
}

void http_stats_count(struct http_server *server, struct http_stats *stats, int status,
		      uint64_t us)
{
	struct metric **by_code;
	char labels[320];

	if (!stats || status < MIN_CODE || status >= MIN_CODE + CODES)
		return;
	by_code = &stats->by_code[status - MIN_CODE];
	if (!*by_code) {
		snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\",code=\"%d\"",
			 stats->route, stats->method, status);
		*by_code = metrics_counter(server->metrics, "shop_http_requests_total",
					   "Requests answered", labels);
	}
	metric_add(*by_code, 1);
	metric_observe_us(stats->seconds, us);
}
