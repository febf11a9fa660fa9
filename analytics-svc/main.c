/*
 * analytics-svc - answers questions about users, windows and totals, and streams
 * them live; owns nothing durable: it reads `analytics-results`.
 */
#include "app.h"

int main(int argc, char **argv)
{
	static struct app app;
	const struct config_part parts[] = {{settings_config, &app.cfg},
					    {auth_config, &app.cfg.auth},
					    {events_config, &app.cfg.events},
					    {0}};
	const struct service_spec spec = {.name = "analytics-svc",
					  .about = "answers questions about orders, live",
					  .parts = parts,
					  .app = &app,
					  .servers = &app.cfg.events.bootstrap,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
