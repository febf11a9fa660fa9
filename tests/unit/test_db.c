/*
 * test_db.c - the database layer against a real server.
 *
 * Skipped unless TEST_DB_SOCKET is set:
 *   tests/unit/with_mariadb.sh build/asan/tests/unit/test_db
 */
#include "db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "timeutil.h"

typedef void (*body_fn)(struct db_conn *conn);

static struct {
	struct loop *loop;
	struct metrics *metrics;
	struct db_pool *pool;
	struct db_settings cfg;
	int pending;
	struct err last; /* of the last job; ERR_NONE on success */
} fix;

/* ---- helpers ---- */

static bool run_body(struct db_conn *conn, void *arg, struct err *err)
{
	body_fn *body = arg;

	(void)err;
	(*body)(conn);
	return true;
}

static void job_ended(const struct err *err, void *arg)
{
	(void)arg;
	fix.last = err ? *err : (struct err){0};
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static void start_job(db_job job, void *arg)
{
	fix.pending++;
	db_run(fix.pool, job, job_ended, arg);
}

/* Runs on a worker; a failing assertion there ends the whole program. */
static void on_worker(body_fn body)
{
	start_job(run_body, &body);
	loop_run(fix.loop);
	assert_int_equal(fix.last.code, ERR_NONE);
}

#define must(cond)                                                                    \
	do {                                                                          \
		if (!(cond)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, \
				why.text);                                            \
			abort();                                                      \
		}                                                                     \
	} while (0)

static int64_t number(struct db_conn *conn, const char *sql)
{
	struct db_rows *rows;
	struct err why = {0};
	int64_t n;

	must(db_query_text(conn, sql, NULL, 0, &rows, &why));
	n = db_int(rows, 0, 0);
	db_rows_free(rows);
	return n;
}

/* Kills connection `id` from another one. */
static void kill_connection(int64_t id)
{
	struct err why = {0};
	struct db_conn *other = db_conn_open(&fix.cfg, &why);
	char sql[64];

	must(other);
	snprintf(sql, sizeof(sql), "KILL %lld", (long long)id);
	must(db_exec_text(other, sql, NULL, 0, &why));
	db_conn_free(other);
	usleep(50 * 1000);
}

static void run_command(const char *variable)
{
	assert_int_equal(system(getenv(variable)), 0);
}

static bool wait_ready(int ms)
{
	const char *why;

	for (int i = 0; i < ms / 10; i++) {
		if (db_ready(fix.pool, &why))
			return true;
		usleep(10 * 1000);
	}
	return false;
}

static void make_tables(struct db_conn *conn)
{
	struct err why = {0};

	must(db_exec_text(conn, "DROP TABLE IF EXISTS t", NULL, 0, &why));
	must(db_exec_text(
		conn,
		"CREATE TABLE t (id BIGINT AUTO_INCREMENT PRIMARY KEY, "
		"name VARCHAR(100), note LONGTEXT, price DECIMAL(12,2), "
		"at DATETIME(3), big BIGINT UNSIGNED, small TINYINT, ratio DOUBLE, "
		"UNIQUE KEY by_name (name)) ENGINE = InnoDB CHARSET = utf8mb4",
		NULL, 0, &why));
}

static int setup(void **state)
{
	struct err err = {0};

	(void)state;
	fix.loop = loop_new(&err);
	fix.metrics = metrics_new();
	fix.pool = db_pool_new(fix.loop, &fix.cfg, fix.metrics, &err);
	if (!fix.pool || !wait_ready(5000))
		return -1;
	on_worker(make_tables);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	db_pool_free(fix.pool);
	loop_free(fix.loop);
	metrics_free(fix.metrics);
	return 0;
}

/* ---- values ---- */

static void values_body(struct db_conn *conn)
{
	struct err why = {0};
	struct db_rows *rows;
	size_t len = 3 * 1000 * 1000;
	char *note = malloc(len);

	memset(note, 'x', len);
	must(db_exec(conn, &why,
		     "INSERT INTO t (name, note, price, at, big, small, ratio) "
		     "VALUES (?, ?, ?, ?, ?, ?, ?)",
		     DB_Z("Z\xc3\xbcrich \xf0\x9f\x9b\x92 '; DROP"),
		     DB_S(((struct str){note, len})), DB_Z("1999.99"),
		     DB_Z("2025-11-24 21:13:22.125"), DB_Z("18446744073709551615"),
		     DB_I(-7), DB_Z("0.5")));
	must(db_insert_id(conn) == 1 && db_affected(conn) == 1);
	must(db_exec(conn, &why, "INSERT INTO t (name) VALUES (?)", DB_NULL));
	must(db_query(conn, &rows, &why,
		      "SELECT name, note, price, at, big, small, ratio, id FROM t "
		      "WHERE id <= ? ORDER BY id",
		      DB_I(2)));
	must(db_rows_count(rows) == 2);
	must(str_eqz(db_str(rows, 0, 0), "Z\xc3\xbcrich \xf0\x9f\x9b\x92 '; DROP"));
	must(str_eq(db_str(rows, 0, 1), (struct str){note, len}));
	must(db_cents(rows, 0, 2) == 199999);
	must(db_time(rows, 0, 3) == 1764018802125);
	must(str_eqz(db_str(rows, 0, 4), "18446744073709551615"));
	must(db_int(rows, 0, 5) == -7);
	must(str_eqz(db_str(rows, 0, 6), "0.5"));
	must(db_is_null(rows, 1, 0) && db_is_null(rows, 1, 1) &&
	     db_str(rows, 1, 1).len == 0);
	must(db_int(rows, 1, 7) == 2);
	db_rows_free(rows);
	must(db_query0(conn, &rows, &why, "SELECT SUM(id), COUNT(*) FROM t"));
	must(db_int(rows, 0, 0) == 3 && db_int(rows, 0, 1) == 2);
	db_rows_free(rows);
	must(db_query(conn, &rows, &why, "SELECT id FROM t WHERE id = ?", DB_I(99)));
	must(db_rows_count(rows) == 0);
	db_rows_free(rows);
	free(note);
}

static void values_come_back_as_they_went(void **state)
{
	(void)state;
	on_worker(values_body);
	on_worker(make_tables);
	on_worker(
		values_body); /* on the same statements, prepared before the new table */
}

static void session_body(struct db_conn *conn)
{
	struct err why = {0};
	struct db_rows *rows;

	must(db_query0(conn, &rows, &why,
		       "SELECT @@time_zone, @@sql_mode, @@innodb_lock_wait_timeout, "
		       "@@character_set_client, @@local_infile"));
	must(str_eqz(db_str(rows, 0, 0), "+00:00"));
	must(str_eqz(db_str(rows, 0, 1), "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION"));
	must(db_int(rows, 0, 2) == 5);
	must(str_eqz(db_str(rows, 0, 3), "utf8mb4"));
	db_rows_free(rows);
	must(!db_exec(conn, &why, "INSERT INTO t (small) VALUES (?)", DB_I(1000)));
	must(why.code == ERR_INTERNAL);
	must(!db_exec(conn, &why, "INSERT INTO t (name) VALUES (?)", DB_I(1), DB_I(2)));
	must(!db_exec0(conn, &why, "SELECT nonsense FROM nowhere"));
}

static void the_session_is_strict_and_utc(void **state)
{
	(void)state;
	on_worker(session_body);
}

static void duplicate_body(struct db_conn *conn)
{
	struct err why = {0};

	must(db_exec(conn, &why, "INSERT INTO t (id, name) VALUES (?, ?)", DB_I(5),
		     DB_Z("a")));
	must(!db_is_duplicate(conn, NULL));
	must(!db_exec(conn, &why, "INSERT INTO t (name) VALUES (?)", DB_Z("a")));
	must(db_is_duplicate(conn, "by_name") && db_is_duplicate(conn, NULL));
	must(!db_is_duplicate(conn, "PRIMARY"));
	must(!db_exec(conn, &why, "INSERT INTO t (id) VALUES (?)", DB_I(5)));
	must(db_is_duplicate(conn, "PRIMARY"));
}

static void duplicates_name_their_key(void **state)
{
	(void)state;
	on_worker(duplicate_body);
}

/* ---- transactions ---- */

struct plan {
	int runs;
	int64_t kill_at_run; /* the connection, before the function ends */
	bool kill_in_commit;
	enum db_verdict verdict;
	enum db_tx_end end;
	int64_t first, second; /* rows to lock */
	struct err err;
};

static enum db_verdict insert_one(struct db_conn *conn, void *arg, struct err *err)
{
	struct plan *plan = arg;

	plan->runs++;
	if (!db_exec(conn, err, "INSERT INTO t (name) VALUES (?)", DB_Z("tx")))
		return DB_FAIL;
	if (plan->kill_at_run == plan->runs) {
		kill_connection(number(conn, "SELECT CONNECTION_ID()"));
		if (!plan->kill_in_commit && !db_exec0(conn, err, "DO 1"))
			return DB_FAIL;
	}
	return plan->verdict;
}

static bool run_plan(struct db_conn *conn, void *arg, struct err *err)
{
	struct plan *plan = arg;

	(void)err;
	plan->end = db_tx(conn, insert_one, plan, &plan->err);
	return true;
}

static void count_tx_body(struct db_conn *conn)
{
	fix.cfg.queue_ms =
		2000 + number(conn, "SELECT COUNT(*) FROM t WHERE name = 'tx'");
}

static int rows_of_tx(void)
{
	on_worker(count_tx_body);
	return (int)fix.cfg.queue_ms - 2000;
}

static void play(struct plan *plan)
{
	start_job(run_plan, plan);
	loop_run(fix.loop);
}

static void transactions_end_as_asked(void **state)
{
	struct plan undo = {.verdict = DB_ROLLBACK}, fail = {.verdict = DB_FAIL};
	struct plan keep = {.verdict = DB_COMMIT}, twice = {.verdict = DB_COMMIT};

	(void)state;
	play(&undo);
	assert_int_equal(undo.end, DB_TX_ROLLED_BACK);
	play(&fail);
	assert_int_equal(fail.end, DB_TX_FAILED);
	assert_int_equal(fail.runs, 1);
	assert_int_equal(rows_of_tx(), 0);
	play(&keep);
	assert_int_equal(keep.end, DB_TX_COMMITTED);
	play(&twice);
	assert_int_equal(twice.end, DB_TX_FAILED);
	assert_int_equal(rows_of_tx(), 1);
}

static void a_connection_lost_before_commit_is_made_good(void **state)
{
	struct plan plan = {.verdict = DB_COMMIT, .kill_at_run = 1};

	(void)state;
	play(&plan);
	assert_int_equal(plan.end, DB_TX_COMMITTED);
	assert_int_equal(plan.runs, 2);
	assert_int_equal(rows_of_tx(), 1);
}

static void a_connection_lost_during_commit_is_unknown(void **state)
{
	struct plan plan = {
		.verdict = DB_COMMIT, .kill_at_run = 1, .kill_in_commit = true};

	(void)state;
	play(&plan);
	assert_int_equal(plan.end, DB_TX_UNKNOWN);
	assert_int_equal(plan.err.code, ERR_BUSY);
	assert_int_equal(plan.runs, 1);
	assert_int_equal(rows_of_tx(), 0);
}

static enum db_verdict lock_two(struct db_conn *conn, void *arg, struct err *err)
{
	struct plan *plan = arg;

	plan->runs++;
	if (!db_exec(conn, err, "UPDATE t SET small = small + 1 WHERE id = ?",
		     DB_I(plan->first)))
		return DB_FAIL;
	if (plan->runs == 1)
		usleep(200 * 1000); /* so that the other one has its first lock */
	if (!db_exec(conn, err, "UPDATE t SET small = small + 1 WHERE id = ?",
		     DB_I(plan->second)))
		return DB_FAIL;
	return DB_COMMIT;
}

static bool run_lock_two(struct db_conn *conn, void *arg, struct err *err)
{
	struct plan *plan = arg;

	(void)err;
	plan->end = db_tx(conn, lock_two, plan, &plan->err);
	return true;
}

static void two_rows_body(struct db_conn *conn)
{
	struct err why = {0};

	must(db_exec0(conn, &why, "INSERT INTO t (id, small) VALUES (1, 0), (2, 0)"));
}

static void two_rows_check(struct db_conn *conn)
{
	struct err why = {0};

	must(number(conn, "SELECT SUM(small) FROM t") == 4);
}

static void deadlocks_are_run_again(void **state)
{
	struct plan a = {.first = 1, .second = 2}, b = {.first = 2, .second = 1};

	(void)state;
	on_worker(two_rows_body);
	start_job(run_lock_two, &a);
	start_job(run_lock_two, &b);
	loop_run(fix.loop);
	assert_int_equal(a.end, DB_TX_COMMITTED);
	assert_int_equal(b.end, DB_TX_COMMITTED);
	assert_int_equal(a.runs + b.runs, 3);
	on_worker(two_rows_check);
}

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
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(values_come_back_as_they_went),
		TEST(the_session_is_strict_and_utc),
		TEST(duplicates_name_their_key),
		TEST(transactions_end_as_asked),
		TEST(a_connection_lost_before_commit_is_made_good),
		TEST(a_connection_lost_during_commit_is_unknown),
		TEST(deadlocks_are_run_again),
		TEST(statements_survive_a_changed_table),
		TEST(lost_connections_and_timeouts_are_told_apart),
		TEST(a_full_pool_says_so),
		TEST(migrations_run_once_and_must_not_change),
		TEST(a_restarted_server_is_found_again),
	};

	char empty[] = "";

	if (!getenv("TEST_DB_SOCKET")) {
		puts("skipped: TEST_DB_SOCKET is not set");
		return 0;
	}
	log_init("test_db", LOG_ERROR);
	fix.cfg = (struct db_settings){
		.host = empty,
		.socket = getenv("TEST_DB_SOCKET"),
		.user = getenv("TEST_DB_USER"),
		.password = empty,
		.name = getenv("TEST_DB_NAME"),
		.ssl_ca = empty,
		.max_conns = 2,
		.max_queue = 4,
		.queue_ms = 2000,
		.timeout_ms = 2000,
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
