/*
 * user-svc - people and their sign-in: owns users and the signing keys of access
 * tokens.
 */
#include "app.h"

int main(int argc, char **argv)
{
	static struct app app;
	const struct config_part parts[] = {{settings_config, &app.cfg},
					    {db_config, &app.cfg.db},
					    {auth_config, &app.cfg.auth},
					    {0}};
	const struct service_spec spec = {.name = "user-svc",
					  .about = "people and their sign-in",
					  .parts = parts,
					  .commands = app_commands,
					  .app = &app,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
