/*
 * gateway - the front door: routes requests to the services and streams bodies
 * both ways.
 *
 * This file only wires parts together; README.md says where the rest is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"

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
