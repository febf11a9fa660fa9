/*
 * test_db.c - the database layer against a real server: values, keys, transactions.
 *
 * Skipped unless TEST_DB_SOCKET is set:
 *   tests/unit/with_mariadb.sh build/asan/tests/unit/test_db
 */
#include "db_fixture.h"

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

/* A table in memory of 16 KB, for a small disk. */
static void full_body(struct db_conn *conn)
{
	struct err why = {0};
	int rows = 0;

	must(db_exec0(conn, &why, "SET SESSION max_heap_table_size = 16384"));
	must(db_exec0(conn, &why, "CREATE TABLE tiny (a CHAR(250)) ENGINE = MEMORY"));
	while (rows < 1000 && db_exec0(conn, &why, "INSERT INTO tiny VALUES ('')"))
		rows++;
	must(rows > 0 && rows < 1000);
	must(why.code == ERR_BUSY && strcmp(why.slug, "database_unavailable") == 0);
	must(db_exec0(conn, &why, "DROP TABLE tiny"));
}

static void a_full_disk_is_no_fault_of_the_statement(void **state)
{
	(void)state;
	on_worker(full_body);
}

/* What waits for a table keeps everybody else off it, without any row to wait for. */
static void a_table_is_not_waited_for_long(void **state)
{
	struct db_settings patient = fix.cfg;
	struct err why = {0};
	struct db_conn *owner, *other;

	(void)state;
	patient.timeout_ms = 30000;
	owner = db_conn_open(&patient, &why);
	other = db_conn_open(&patient, &why);
	must(owner && other);
	must(db_exec0(owner, &why, "SET autocommit = 0"));
	must(number(owner, "SELECT COUNT(*) FROM t") == 0);
	must(!db_exec0(other, &why, "ALTER TABLE t COMMENT = 'changed'"));
	must(why.code == ERR_BUSY && strcmp(why.slug, "database_busy") == 0);
	must(db_exec0(owner, &why, "COMMIT"));
	must(db_exec0(other, &why, "ALTER TABLE t COMMENT = 'changed'"));
	db_conn_free(other);
	db_conn_free(owner);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(values_come_back_as_they_went),
		DB_TEST(the_session_is_strict_and_utc),
		DB_TEST(a_table_is_not_waited_for_long),
		DB_TEST(duplicates_name_their_key),
		DB_TEST(a_full_disk_is_no_fault_of_the_statement),
		DB_TEST(transactions_end_as_asked),
		DB_TEST(a_connection_lost_before_commit_is_made_good),
		DB_TEST(a_connection_lost_during_commit_is_unknown),
		DB_TEST(deadlocks_are_run_again),
	};

	return run_db_tests("test_db", tests, ARRAY_LEN(tests));
}
