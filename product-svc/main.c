/*
 * product-svc - sells from stock: owns products, stock_changes, reservations and
 * reservation_items.
 *
 * This file only tells service_main() what the program is made of; app.c starts
 * and stops the parts.
 */
#include "app.h"
#include "service.h"

int main(int argc, char **argv)
{
	static struct app app;
	static const struct service_command commands[] = {
		{"--migrate", "bring the database schema up to date", db_migrate_command,
		 &app.cfg.db, false},
		{0}};
	const struct config_part parts[] = {{settings_config, &app.cfg},
					    {db_config, &app.cfg.db},
					    {auth_config, &app.cfg.auth},
					    {events_config, &app.cfg.events},
					    {0}};
	const struct service_spec spec = {.name = "product-svc",
					  .about =
						  "the catalogue, stock and reservations",
					  .parts = parts,
					  .commands = commands,
					  .app = &app,
					  .servers = &app.cfg.events.bootstrap,
					  .start = app_start,
					  .drain = app_drain,
					  .stop = app_stop};

	return service_main(&spec, argc, argv);
}
