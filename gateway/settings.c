/* settings.c - the gateway's table of settings. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define S struct gateway_settings

#define SERVICE(i, variable, name)                                                       \
	CFG_STR(S, service_url[2 * (i)], variable "_URL", "",                            \
		"comma-separated base URLs of " name ", for the routes file"),           \
		CFG_STR(S, service_url[2 * (i) + 1], variable "_ADMIN_URL", "",          \
			"those of its ADMIN_LISTEN, in the same order; none: no health " \
			"probes")

const struct config_entry gateway_config[] = {
	CFG_LISTEN(S, listen, "LISTEN", "127.0.0.1:8080",
		   "address of the public listener"),
	CFG_LISTEN(S, internal_listen, "INTERNAL_LISTEN", "127.0.0.1:8090",
		   "address of the listener for our own services; never expose it"),
	CFG_STR(S, routes_file, "ROUTES_FILE", "gateway/routes.json",
		"JSON file with upstreams and routes"),
	CFG_INT(S, threads, "THREADS", "0", 0, 64,
		"threads; 0 is one for every two cores"),
	CFG_STR(S, cors_origins, "CORS_ORIGINS", "",
		"comma-separated origins whose pages may call; none by default"),
	CFG_STR(S, trusted_proxies, "TRUSTED_PROXIES", "",
		"comma-separated networks (10.0.0.0/8, fd00::/8) of proxies in front of "
		"LISTEN whose X-Forwarded-For is believed; none by default"),
	CFG_INT(S, max_clients, "MAX_CLIENTS", "10000", 1, 1000000,
		"client connections, all threads together; more are refused"),
	CFG_INT(S, buffer_kib, "BUFFER_KIB", "65536", 1024, 16777216,
		"KiB of requests and answers in memory, all threads together; beyond, "
		"connections that hold more than their share are ended"),
	CFG_INT(S, pool_conns, "POOL_CONNS", "256", 1, 10000,
		"connections to one endpoint, for each thread"),
	CFG_INT(S, pool_waiting, "POOL_WAITING", "1024", 0, 100000,
		"requests that wait for a connection to one upstream, for each thread"),
	CFG_INT(S, pool_wait_ms, "POOL_WAIT_MS", "250", 1, 1000,
		"ms: a request that would wait longer for a connection gets 503 at once"),
	CFG_INT(S, cache_kib, "CACHE_KIB", "4096", 0, 1048576,
		"KiB of answers that each thread keeps, of routes with cache_ms; 0: "
		"none"),
	SERVICE(0, "USER_SVC", "user-svc"),
	SERVICE(1, "PRODUCT_SVC", "product-svc"),
	SERVICE(2, "ORDER_SVC", "order-svc"),
	SERVICE(3, "NOTIFY_SVC", "notify-svc"),
	SERVICE(4, "ANALYTICS_SVC", "analytics-svc"),
	CFG_END,
};

void settings_export(const struct gateway_settings *settings)
{
	const size_t first = offsetof(S, service_url);

	for (const struct config_entry *e = gateway_config; e->name; e++) {
		const char *value;

		if (e->offset < first ||
		    e->offset >= first + sizeof(settings->service_url))
			continue;
		memcpy(&value, (const char *)settings + e->offset, sizeof(value));
		if (*value)
			setenv(e->name, value, 1);
	}
}

/* Half of the cores: the others belong to what the gateway calls, and fewer
 * threads find more to do at each turn, which costs a fifth less CPU a request. */
unsigned settings_threads(const struct gateway_settings *settings)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (settings->threads > 0)
		return (unsigned)settings->threads;
	return cores > 2 ? (unsigned)cores / 2 : 1;
}
