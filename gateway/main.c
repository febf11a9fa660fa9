/*
 * gateway - the front door: routes requests to the services and streams bodies
 * both ways.
 *
 * This file only wires parts together; README.md says where the rest is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "app.h"

/* Two descriptors a request: the usual soft limit of 1024 is too low. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void make_metrics(struct gateway_metrics *m, struct metrics *metrics)
{
	m->connections = metrics_gauge(metrics, "shop_gateway_connections",
				       "client connections", NULL);
	m->refused_connections = metrics_counter(metrics, "shop_gateway_refused_total",
						 "connections above MAX_CLIENTS", NULL);
	m->bad_requests = metrics_counter(metrics, "shop_gateway_bad_requests_total",
					  "requests that are no valid HTTP", NULL);
	m->retries = metrics_counter(metrics, "shop_gateway_retries_total",
				     "requests sent again on a new connection", NULL);
	m->no_endpoint = metrics_counter(metrics, "shop_gateway_no_endpoint_total",
					 "requests that no endpoint could take", NULL);
}

static bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;

	app->service = service;
	raise_fd_limit();
	make_metrics(&app->metrics, service_metrics(service));
	app->routes = routes_load(app->settings.routes_file, err);
	if (!app->routes)
		return false;
	app->health = health_new(service_loop(service), app->routes,
				 service_metrics(service), err);
	return app->health && workers_start(app, err);
}

static void app_drain(void *arg, struct service *service)
{
	(void)service;
	workers_drain(arg);
}

static void app_stop(void *arg)
{
	struct app *app = arg;

	workers_stop(app);
	health_free(app->health);
	routes_unref(app->routes);
}

static int check_config(void *arg, int argc, char **argv)
{
	struct app *app = arg;
	struct err err;
	struct routes *routes = routes_load(app->settings.routes_file, &err);

	(void)argc;
	(void)argv;
	if (!routes) {
		fprintf(stderr, "gateway: %s\n", err.text);
		return EXIT_FAILURE;
	}
	printf("# %u routes, %u upstreams, %u endpoints\n", routes->n,
	       routes->n_upstreams, routes->n_endpoints);
	routes_unref(routes);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct app app;
	const struct config_part parts[] = {
		{gateway_config, &app.settings}, {auth_config, &app.auth}, {NULL, NULL}};
	const struct service_command commands[] = {
		{"--check-config", "check the settings and the routes file, print them",
		 check_config},
		{NULL, NULL, NULL}};
	const struct service_spec spec = {.name = "gateway",
					  .about = "routes HTTP requests to the services",
					  .parts = parts,
					  .commands = commands,
					  .app = &app,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
