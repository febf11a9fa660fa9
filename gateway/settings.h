/* settings.h - the gateway's own settings. */
#ifndef GATEWAY_SETTINGS_H
#define GATEWAY_SETTINGS_H

#include "config.h"

struct gateway_settings {
	char *listen;
	char *internal_listen;
	char *routes_file;
	char *cors_origins;   /* comma-separated; "" turns CORS off */
	int64_t threads;      /* 0: one a core */
	int64_t max_clients;  /* of all threads together */
	int64_t pool_conns;   /* to one endpoint, for each thread */
	int64_t pool_waiting; /* for one upstream, in each thread */
};

extern const struct config_entry gateway_config[];

/* The number of threads to run. */
unsigned settings_threads(const struct gateway_settings *settings);

#endif
