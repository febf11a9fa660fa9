/*
 * db_fixture.h - what the tests of the database layer share: a pool of two
 * connections on the server that with_mariadb.sh started, and an empty table.
 */
#ifndef TESTS_UNIT_DB_FIXTURE_H
#define TESTS_UNIT_DB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "db.h"
#include "log.h"

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

static inline bool run_body(struct db_conn *conn, void *arg, struct err *err)
{
	body_fn *body = arg;

	(void)err;
	(*body)(conn);
	return true;
}

static inline void job_ended(const struct err *err, void *arg)
{
	(void)arg;
	fix.last = err ? *err : (struct err){0};
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static inline void start_job(db_job job, void *arg)
{
	fix.pending++;
	db_run(fix.pool, job, job_ended, arg);
}

/* Runs on a worker; a failing assertion there ends the whole program. */
static inline void on_worker(body_fn body)
{
	start_job(run_body, &body);
	loop_run(fix.loop);
	assert_int_equal(fix.last.code, ERR_NONE);
}

/* Chance is another in each run; TEST_SEED= repeats one. */
static inline unsigned random_seed(void)
{
	const char *given = getenv("TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	printf("TEST_SEED=%u\n", seed);
	return seed;
}

#define must(cond)                                                                    \
	do {                                                                          \
		if (!(cond)) {                                                        \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, \
				why.text);                                            \
			abort();                                                      \
		}                                                                     \
	} while (0)

static inline int64_t number(struct db_conn *conn, const char *sql)
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
static inline void kill_connection(int64_t id)
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

static inline void run_command(const char *variable)
{
	assert_int_equal(system(getenv(variable)), 0);
}

static inline bool wait_ready(int ms)
{
	const char *why;

	for (int i = 0; i < ms / 10; i++) {
		if (db_ready(fix.pool, &why))
			return true;
		usleep(10 * 1000);
	}
	return false;
}

static inline void make_tables(struct db_conn *conn)
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
{
	(void)state;
	db_pool_free(fix.pool);
	loop_free(fix.loop);
	metrics_free(fix.metrics);
	return 0;
}

/* Each program begins with an empty schema, whatever ran before it. */
static inline bool empty_schema(void)
{
	struct err why = {0};
	struct db_conn *conn = db_conn_open(&fix.cfg, &why);
	char drop[100], create[128];
	bool ok;

	snprintf(drop, sizeof(drop), "DROP DATABASE `%s`", fix.cfg.name);
	snprintf(create, sizeof(create), "CREATE DATABASE `%s` CHARACTER SET utf8mb4",
		 fix.cfg.name);
	ok = conn && db_exec_text(conn, drop, NULL, 0, &why) &&
	     db_exec_text(conn, create, NULL, 0, &why);
	if (!ok)
		fprintf(stderr, "no empty schema: %s\n", why.text);
	db_conn_free(conn);
	return ok;
}

/* Skipped without a server. */
static inline int run_db_tests(const char *name, const struct CMUnitTest *tests, size_t n)
{
	static char empty[] = "";

	if (!getenv("TEST_DB_SOCKET")) {
		puts("skipped: TEST_DB_SOCKET is not set");
		return 0;
	}
	log_init(name, LOG_ERROR);
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
	if (!empty_schema())
		return EXIT_FAILURE;
	return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

#define DB_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
