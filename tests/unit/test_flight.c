/*
 * test_flight.c - readers who share a query: none is told what was read before it
 * came.
 *
 * Skipped unless TEST_DB_SOCKET is set:
 *   tests/unit/with_mariadb.sh build/asan/tests/unit/test_flight
 */
/* link: user-svc/flight.c */
#include <stdatomic.h>

#include "db_fixture.h"
#include "user-svc/flight.h"

#define READERS 16

static struct {
	struct flights *flights;
	atomic_int reads;  /* queries that have read */
	atomic_bool go_on; /* they may end */
	int told;          /* readers who know */
	int64_t answers[READERS];
	struct err errs[READERS];
} it;

/* Reads, and then takes its time. */
static bool read_slowly(struct db_conn *conn, const struct flight_key *key, struct jw *w,
			struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err, "SELECT small FROM t WHERE id = ?", DB_I(key->a)))
		return false;
	jw_int(w, db_int(rows, 0, 0));
	db_rows_free(rows);
	atomic_fetch_add(&it.reads, 1);
	while (!atomic_load(&it.go_on))
		usleep(1000);
	return true;
}

static bool fails(struct db_conn *conn, const struct flight_key *key, struct jw *w,
		  struct err *err)
{
	(void)conn;
	(void)key;
	(void)w;
	atomic_fetch_add(&it.reads, 1);
	return err_set(err, ERR_NOT_FOUND, "not there");
}

static bool writes_nothing(struct db_conn *conn, const struct flight_key *key,
			   struct jw *w, struct err *err)
{
	(void)conn;
	(void)key;
	(void)w;
	(void)err;
	return true;
}

static void told(const struct err *err, struct str json, void *arg)
{
	int64_t *answer = arg;

	if (err)
		it.errs[answer - it.answers] = *err;
	else
		assert_true(str_i64(json, answer));
	if (--it.told == 0)
		loop_stop(fix.loop);
}

static void join(int reader, flight_read read, int64_t id)
{
	struct flight_key key = {.read = read, .a = id};

	it.told++;
	it.answers[reader] = -1;
	it.errs[reader].code = ERR_NONE;
	flight_join(it.flights, key, told, &it.answers[reader]);
}

static void set_to(int64_t n)
{
	struct err why = {0};
	struct db_conn *conn = db_conn_open(&fix.cfg, &why);

	must(conn);
	must(db_exec(conn, &why,
		     "INSERT INTO t (id, small) VALUES (1, ?), (2, 50)"
		     " ON DUPLICATE KEY UPDATE small = VALUES(small)",
		     DB_I(n)));
	db_conn_free(conn);
}

static void begin(void)
{
	it.flights = flights_new(fix.pool, 1000, fix.metrics);
	atomic_store(&it.reads, 0);
	atomic_store(&it.go_on, false);
	set_to(7);
}

static void wait_for_reads(int n)
{
	for (int i = 0; i < 5000 && atomic_load(&it.reads) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&it.reads), n);
}

static void end(void)
{
	atomic_store(&it.go_on, true);
	loop_run(fix.loop);
	flights_free(it.flights);
}

static void what_was_read_earlier_is_not_shared(void **state)
{
	(void)state;
	begin();
	join(0, read_slowly, 1);
	wait_for_reads(1);
	set_to(8); /* committed: who comes now must be told so */
	for (int i = 1; i < READERS; i++)
		join(i, read_slowly, 1);
	end();
	assert_int_equal(it.answers[0], 7);
	for (int i = 1; i < READERS; i++)
		assert_int_equal(it.answers[i], 8);
	assert_int_equal(atomic_load(&it.reads), 2);
}

static void others_do_not_wait(void **state)
{
	(void)state;
	begin();
	join(0, read_slowly, 1);
	join(1, read_slowly, 2);
	wait_for_reads(2); /* both on their way at once */
	end();
	assert_int_equal(it.answers[0], 7);
	assert_int_equal(it.answers[1], 50);
}

static void failures_reach_all(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 4; i++)
		join(i, fails, 1);
	join(4, writes_nothing, 1);
	end();
	for (int i = 0; i < 4; i++)
		assert_int_equal(it.errs[i].code, ERR_NOT_FOUND);
	assert_int_equal(atomic_load(&it.reads), 2);
	assert_int_equal(it.errs[4].code, ERR_INTERNAL);
}

/* The pool ends what is on its way, and the flight that would start after it. */
static void ends_with_the_pool(void **state)
{
	(void)state;
	begin();
	join(0, read_slowly, 1);
	wait_for_reads(1);
	join(1, read_slowly, 1);
	atomic_store(&it.go_on, true);
	db_pool_free(fix.pool);
	fix.pool = NULL;
	assert_int_equal(it.told, 0);
	assert_int_equal(it.answers[0], 7);
	assert_int_equal(it.errs[1].code, ERR_BUSY);
	flights_free(it.flights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(what_was_read_earlier_is_not_shared),
		DB_TEST(others_do_not_wait),
		DB_TEST(failures_reach_all),
		DB_TEST(ends_with_the_pool),
	};

	return run_db_tests("test_flight", tests, ARRAY_LEN(tests));
}
