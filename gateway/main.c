/*
 * gateway - the front door: routes requests to the services and streams bodies
 * both ways.
 *
 * This file only wires parts together; README.md says where the rest is.
 */
#include "app.h"

int main(int argc, char **argv)
{
	static struct app app;
	const struct config_part parts[] = {
		{gateway_config, &app.settings}, {auth_config, &app.auth}, {NULL, NULL}};
	const struct service_spec spec = {.name = "gateway",
					  .about = "routes HTTP requests to the services",
					  .parts = parts,
					  .app = &app,
					  .check = app_check,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
