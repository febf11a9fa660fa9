/* migrate.c - the only moment in which notify-svc uses DDL rights. */
#include "migrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "app.h"

int migrate(void *arg, int argc, char **argv)
{
	const struct app *app = arg;
	struct db_settings cfg = app->cfg.db;
	struct db_conn *conn;
	struct err err;
	bool ok;

	(void)argc;
	(void)argv;
	if (*app->cfg.migrate_user) {
		cfg.user = app->cfg.migrate_user;
		cfg.password = app->cfg.migrate_password;
	}
	conn = db_conn_open(&cfg, &err);
	ok = conn && db_migrate(conn, app->cfg.migrations_dir, &err);
	db_conn_free(conn);
	if (!ok)
		fprintf(stderr, "notify-svc --migrate: %s\n", err.text);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
