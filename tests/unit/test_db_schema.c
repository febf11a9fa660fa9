/*
 * test_db_schema.c - a program is not ready before its migrations are applied, and
 * one that is older than the schema is.
 *
 * Skipped unless TEST_DB_SOCKET is set:
 *   tests/unit/with_mariadb.sh build/asan/tests/unit/test_db_schema
 */
#include <pthread.h>

#include "db_fixture.h"

static char dir[] = "/tmp/schemaXXXXXX";

static void path_of(char path[static 256], const char *name)
{
	snprintf(path, 256, "%s/%s", dir, name);
}

static void write_migration(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void add_migration(const char *name)
{
	write_migration(name, "DO 1;\n");
}

static void remove_migration(const char *name)
{
	char path[256];

	path_of(path, name);
	unlink(path);
}

static int make_dir(void **state)
{
	(void)state;
	memset(dir + strlen(dir) - 6, 'X', 6);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	remove_migration("0001_a.sql");
	remove_migration("0002_b.sql");
	return rmdir(dir);
}

/* What a program with these migrations would be, on the schema as it is. */
static void start_program(struct db_settings *cfg)
{
	struct err err = {0};

	*cfg = fix.cfg;
	cfg->migrations_dir = dir;
	fix.loop = loop_new(&err);
	fix.pool = db_pool_new(fix.loop, cfg, NULL, &err);
	assert_non_null(fix.pool);
}

static void end_program(void)
{
	db_pool_free(fix.pool);
	loop_free(fix.loop);
}

static void migrate(void)
{
	struct err why = {0};
	struct db_conn *conn = db_conn_open(&fix.cfg, &why);

	must(conn);
	must(db_migrate(conn, dir, &why));
	db_conn_free(conn);
}

static const char *reason(void)
{
	const char *why = "";

	return db_ready(fix.pool, &why) ? "ready" : why;
}

static void it_waits_for_its_migrations(void **state)
{
	struct db_settings cfg;

	(void)state;
	assert_true(empty_schema());
	add_migration("0001_a.sql");
	start_program(&cfg);
	assert_false(wait_ready(1500));
	assert_non_null(strstr(reason(), "--migrate"));
	migrate();
	assert_true(wait_ready(3000));
	end_program();
}

static void a_new_version_waits_and_the_old_one_serves(void **state)
{
	struct db_settings cfg;

	(void)state;
	assert_true(empty_schema());
	add_migration("0001_a.sql");
	migrate();
	add_migration("0002_b.sql");
	start_program(&cfg);
	assert_false(wait_ready(1500));
	end_program();
	migrate();
	remove_migration("0002_b.sql");
	start_program(&cfg);
	assert_true(wait_ready(3000));
	end_program();
}

/* ---- a table that is in use ---- */

static void *migrate_thread(void *arg)
{
	migrate();
	return arg;
}

static bool somebody_waits(struct db_conn *conn)
{
	return number(conn, "SELECT COUNT(*) FROM information_schema.processlist"
			    " WHERE state LIKE 'Waiting for table metadata lock%'") > 0;
}

/* Others can still use the table while the migration waits for it. */
static void it_waits_for_a_table_in_short_turns(void **state)
{
	struct err why = {0};
	struct db_conn *user, *other;
	pthread_t migration;

	(void)state;
	assert_true(empty_schema());
	user = db_conn_open(&fix.cfg, &why);
	fix.cfg.timeout_ms = 30000;
	other = db_conn_open(&fix.cfg, &why);
	must(user && other);
	make_tables(user);
	write_migration("0001_a.sql", "ALTER TABLE t ADD COLUMN more INT;\n");
	must(db_exec0(user, &why, "SET autocommit = 0"));
	must(number(user, "SELECT COUNT(*) FROM t") == 0);
	pthread_create(&migration, NULL, migrate_thread, NULL);
	for (int turn = 0; turn < 2; turn++) {
		while (!somebody_waits(other))
			usleep(10 * 1000);
		must(db_exec0(other, &why, "DELETE FROM t"));
	}
	must(db_exec0(user, &why, "COMMIT"));
	pthread_join(migration, NULL);
	must(db_exec0(other, &why, "UPDATE t SET more = 1"));
	fix.cfg.timeout_ms = 2000;
	db_conn_free(other);
	db_conn_free(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_waits_for_its_migrations, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(
			a_new_version_waits_and_the_old_one_serves, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(it_waits_for_a_table_in_short_turns,
						make_dir, remove_dir),
	};

	return run_db_tests("test_db_schema", tests, ARRAY_LEN(tests));
}
