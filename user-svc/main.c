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
	static const struct service_command commands[] = {
		{"--migrate", "bring the database schema up to date", db_migrate_command,
		 &app.cfg.db, false},
		{.flag = "--make-key",
		 .help = "FILE: make signing keys, unless the file is there; - prints "
			 "them",
		 .run = command_make_key,
		 .plain = true},
		{.flag = "--rotate-key",
		 .help = "FILE: the next key signs, a new one is next; - reads and "
			 "prints",
		 .run = command_rotate_key,
		 .plain = true},
		{"--create-admin",
		 "EMAIL NAME [FILE]: make an admin; the password is in FILE or comes on "
		 "stdin",
		 command_create_admin, &app.cfg, false},
		{0}};
	const struct service_spec spec = {.name = "user-svc",
					  .about = "people and their sign-in",
					  .parts = parts,
					  .commands = commands,
					  .app = &app,
					  .check = app_check,
					  .servers = &app.cfg.db.host,
					  .port = &app.cfg.db.port,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
