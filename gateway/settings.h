/* settings.h - the gateway's own settings. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "config.h"

#define GATEWAY_SERVICES 5

struct gateway_settings {
	char *listen;
	char *internal_listen;
	char *routes_file;
	char *cors_origins;    /* comma-separated; "" turns CORS off */
	char *trusted_proxies; /* networks, see proxies.h */
	int64_t threads;       /* 0: one for every two cores */
	int64_t max_clients;   /* of all threads together */
	int64_t buffer_kib;    /* of all threads together */
	int64_t pool_conns;    /* to one endpoint, for each thread */
	int64_t pool_waiting;  /* for one upstream, in each thread */
	int64_t pool_wait_ms;
	int64_t cache_kib; /* in each thread */
	/* What gateway/routes.json calls ${USER_SVC_URL} and so on. */
	char *service_url[2 * GATEWAY_SERVICES];
};

extern const struct config_entry gateway_config[];

/* The addresses of the services as variables of the environment, where the routes
 * file finds them, also when they came by NAME_FILE. Before there are threads. */
void settings_export(const struct gateway_settings *settings);
/* The number of threads to run. */
unsigned settings_threads(const struct gateway_settings *settings);

#endif
