/*
 * test_db_loss.c - the database layer against a real server: changed tables, lost
 * connections, a restart, a full pool, migrations.
 *
 * Skipped unless TEST_DB_SOCKET is set:
 *   tests/unit/with_mariadb.sh build/asan/tests/unit/test_db_loss
 */
#include "db_fixture.h"
#include "timeutil.h"

/* ---- losses ---- */

static void reprepare_body(struct db_conn *conn)
{
	struct err why = {0};
	struct db_rows *rows;

	for (int i = 0; i < 3; i++) {
		must(db_query0(conn, &rows, &why, "SELECT * FROM t WHERE name = 'tx'"));
		db_rows_free(rows);
		must(db_exec_text(conn, "ALTER TABLE t ADD COLUMN extra INT FIRST", NULL,
				  0, &why));
		must(db_query0(conn, &rows, &why, "SELECT * FROM t WHERE name = 'tx'"));
		db_rows_free(rows);
		must(db_exec_text(conn, "ALTER TABLE t DROP COLUMN extra", NULL, 0,
				  &why));
	}
}

static void statements_survive_a_changed_table(void **state)
{
	(void)state;
	on_worker(reprepare_body);
}

static void killed_body(struct db_conn *conn)
{
	struct err why = {0};

	kill_connection(number(conn, "SELECT CONNECTION_ID()"));
	must(!db_exec0(conn, &why, "DO 1"));
	must(why.code == ERR_BUSY && strcmp(why.slug, "database_unavailable") == 0);
	must(why.retry_after_s == 1);
	must(db_exec0(conn, &why, "DO 1")); /* reconnected, outside a transaction */
}

static void timeout_body(struct db_conn *conn)
{
	struct err why = {0};
	int64_t id = number(conn, "SELECT CONNECTION_ID()");

	must(!db_exec0(conn, &why, "DO SLEEP(5)"));
	must(why.code == ERR_TIMEOUT);
	must(number(conn, "SELECT CONNECTION_ID()") != id);
}

static void lost_connections_and_timeouts_are_told_apart(void **state)
{
	(void)state;
	on_worker(killed_body);
	on_worker(timeout_body);
}

static bool ping_job(struct db_conn *conn, void *arg, struct err *err)
{
	(void)arg;
	return db_exec0(conn, err, "DO 1");
}

static void a_restarted_server_is_found_again(void **state)
{
	const char *why = NULL;
	int64_t before;

	(void)state;
	run_command("TEST_DB_STOP");
	start_job(ping_job, NULL);
	loop_run(fix.loop);
	assert_int_equal(fix.last.code, ERR_BUSY);
	usleep(2500 * 1000);
	assert_false(db_ready(fix.pool, &why));
	assert_non_null(why);
	run_command("TEST_DB_START");
	before = time_mono_ms();
	assert_true(wait_ready(5000));
	start_job(ping_job, NULL);
	loop_run(fix.loop);
	assert_int_equal(fix.last.code, ERR_NONE);
	assert_true(time_mono_ms() - before < 5000);
}

/* ---- the queue ---- */

static bool sleep_job(struct db_conn *conn, void *arg, struct err *err)
{
	(void)arg;
	return db_exec0(conn, err, "DO SLEEP(0.5)");
}

static struct {
	int done, busy;
} tally;

static void tally_up(const struct err *err, void *arg)
{
	(void)arg;
	if (!err)
		tally.done++;
	else if (err->code == ERR_BUSY && err->retry_after_s > 0)
		tally.busy++;
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static void a_full_pool_says_so(void **state)
{
	(void)state;
	tally.done = tally.busy = 0;
	for (int i = 0; i < 12; i++) {
		fix.pending++;
		db_run(fix.pool, sleep_job, tally_up, NULL);
	}
	loop_run(fix.loop);
	assert_int_equal(tally.done + tally.busy, 12);
	assert_in_range(tally.busy, 12 - 6, 12 - 4); /* 2 run, 4 wait */
}

/* ---- migrations ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void migrations_run_once_and_must_not_change(void **state)
{
	char dir[] = "/tmp/migrateXXXXXX";
	struct err why = {0};
	struct db_conn *conn;
	char path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	write_file(dir, "0001_first.sql",
		   "-- a table; and a row\nCREATE TABLE m (\n  id INT PRIMARY KEY,\n"
		   "  text VARCHAR(20) DEFAULT 'a;b'\n);\n\nINSERT INTO m (id) VALUES "
		   "(1);\n");
	conn = db_conn_open(&fix.cfg, &why);
	assert_non_null(conn);
	assert_true(db_migrate(conn, dir, &why));
	write_file(dir, "0002_second.sql", "INSERT INTO m (id) VALUES (2)");
	assert_true(db_migrate(conn, dir, &why));
	assert_true(db_migrate(conn, dir, &why));
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM m"), 2);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM schema_migrations"), 2);
	write_file(dir, "0002_second.sql", "INSERT INTO m (id) VALUES (3)");
	assert_false(db_migrate(conn, dir, &why));
	assert_non_null(strstr(why.text, "0002_second.sql"));
	write_file(dir, "0002_second.sql", "INSERT INTO m (id) VALUES (2)");
	write_file(dir, "0003_bad.sql", "INSERT INTO nowhere VALUES (2);\n");
	assert_false(db_migrate(conn, dir, &why));
	assert_non_null(strstr(why.text, "0003_bad.sql"));
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM schema_migrations"), 2);
	db_conn_free(conn);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"0001_first", "0002_second",
						    "0003_bad"};

		snprintf(path, sizeof(path), "%s/%s.sql", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(statements_survive_a_changed_table),
		DB_TEST(lost_connections_and_timeouts_are_told_apart),
		DB_TEST(a_full_pool_says_so),
		DB_TEST(migrations_run_once_and_must_not_change),
		DB_TEST(a_restarted_server_is_found_again),
	};

	return run_db_tests("test_db_loss", tests, ARRAY_LEN(tests));
}
