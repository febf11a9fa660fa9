/*
 * test_order_stages.c - the repository as handlers use it: orders that wait share
 * a transaction, a bad one fails alone, a full queue says so, two processes agree.
 */
/* link: order-svc/order.c order-svc/order_wish.c */
/* link: order-svc/order_repo.c order-svc/order_read_repo.c order-svc/order_keys_repo.c */
/* link: order-svc/order_record_repo.c order-svc/order_rows_repo.c */
/* link: order-svc/order_numbers_repo.c */
#include "order_batch_fixture.h"
#include "timeutil.h"

static char schema_name[] = "orders_stages";
static struct db_settings cfg;
static struct db_conn *conn;
static struct db_pool *pool;

static int schema_setup(void **state)
{
	struct err why = {0};

	(void)state;
	conn = schema_new(&cfg, schema_name);
	fix.loop = loop_new(&why);
	fix.metrics = metrics_new();
	pool = db_pool_new(fix.loop, &cfg, fix.metrics, &why);
	must(fix.loop && pool);
	return 0;
}

static int schema_teardown(void **state)
{
	(void)state;
	db_pool_free(pool);
	loop_free(fix.loop);
	metrics_free(fix.metrics);
	db_conn_free(conn);
	return 0;
}

static struct order_repo *repo_new(int64_t lanes, int64_t max_queue)
{
	struct order_repo_config repo_cfg = {.record_lanes = lanes,
					     .key_lanes = 1,
					     .max_batch = 64,
					     .max_queue = max_queue};
	struct err why = {0};
	struct order_repo *repo =
		order_repo_new(fix.loop, pool, &repo_cfg, fix.metrics, &why);

	must(repo);
	return repo;
}

static void on_ended(const struct err *err, void *arg)
{
	struct made *m = arg;

	m->ended = true;
	m->err = err ? *err : (struct err){0};
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static void start(struct order_repo *repo, struct made *m)
{
	fix.pending++;
	order_repo_record(repo, &m->record, on_ended, m);
}

/* A transaction of somebody else that holds the row of user 1 until it is freed. */
static struct db_conn *block_user_1(void)
{
	struct err why = {0};
	struct db_conn *other = db_conn_open(&cfg, &why);
	struct db_rows *rows;

	must(other);
	run_sql(other, "REPLACE INTO user_seq (user_id, seq) VALUES (1, 0)");
	run_sql(other, "SET autocommit = 0");
	must(db_query0(other, &rows, &why,
		       "SELECT seq FROM user_seq WHERE user_id = 1 FOR UPDATE"));
	db_rows_free(rows);
	return other;
}

static int64_t metric_of(const char *name)
{
	return metric_get(metrics_counter(fix.metrics, name, "", "stage=\"record\""));
}

static void wait_for_members(int64_t n)
{
	for (int i = 0; i < 500 && metric_of("shop_batch_members_total") < n; i++)
		usleep(10 * 1000);
	assert_int_equal(metric_of("shop_batch_members_total"), n);
}

/* ---- one that fails for itself ---- */

static void a_bad_order_fails_alone(void **state)
{
	struct order_repo *repo = repo_new(1, 100);
	struct db_conn *other = block_user_1();
	struct made m[6];

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		make_order(&m[i], 1 + i / 2, "", 2, 1);
	m[3].wish.order.lines[1].quantity = INT64_MAX; /* its column is an INT */
	start(repo, &m[0]);
	wait_for_members(1);
	for (unsigned i = 1; i < 6; i++)
		start(repo, &m[i]);
	db_conn_free(other);
	loop_run(fix.loop);
	for (unsigned i = 0; i < 6; i++) {
		if (i == 3) {
			assert_int_equal(m[i].err.code, ERR_INTERNAL);
			continue;
		}
		assert_int_equal(m[i].err.code, ERR_NONE);
		assert_int_equal(m[i].record.end, ORDER_RECORDED);
	}
	assert_int_equal(m[2].wish.order.seq, 1);
	assert_int_equal(m[5].wish.order.seq, 2);
	assert_int_equal(metric_of("shop_batch_alone_total"), 5);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM orders"), 5);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM outcomes"), 5);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM order_items"), 10);
	assert_int_equal(number(conn, "SELECT SUM(seq) FROM user_seq"), 5);
	order_repo_free(repo);
	for (unsigned i = 0; i < 6; i++)
		drop_order(&m[i]);
}

/* ---- a full queue, and the end ---- */

static void a_full_queue_says_so(void **state)
{
	struct order_repo *repo = repo_new(1, 3);
	struct db_conn *other = block_user_1();
	struct made m[8];
	unsigned busy = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		make_order(&m[i], 1, "", 1, 1);
	start(repo, &m[0]);
	wait_for_members(1);
	for (unsigned i = 1; i < 8; i++) {
		start(repo, &m[i]);
		assert_false(m[i].ended); /* never inside the call */
	}
	db_conn_free(other);
	loop_run(fix.loop);
	for (unsigned i = 0; i < 8; i++) {
		if (!m[i].err.code)
			continue;
		assert_int_equal(m[i].err.code, ERR_BUSY);
		assert_int_equal(m[i].err.retry_after_s, 1);
		assert_true(i > 3);
		busy++;
	}
	assert_int_equal(busy, 4);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM orders"), 4);
	order_repo_free(repo);
	for (unsigned i = 0; i < 8; i++)
		drop_order(&m[i]);
}

static void what_waits_at_the_end_is_told(void **state)
{
	struct order_repo *repo = repo_new(1, 100);
	struct db_conn *other = block_user_1();
	struct made m[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		make_order(&m[i], 1, "", 1, 1);
	start(repo, &m[0]);
	wait_for_members(1);
	for (unsigned i = 1; i < 4; i++)
		start(repo, &m[i]);
	db_conn_free(other);
	order_repo_free(repo);
	assert_int_equal(fix.pending, 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_true(m[i].ended);
		drop_order(&m[i]);
	}
	assert_int_equal(m[0].record.end, ORDER_RECORDED);
}

/* ---- two processes at once ---- */

#define EACH 400

static void two_processes_keep_every_user_in_order(void **state)
{
	struct order_repo *repos[2] = {repo_new(2, EACH), repo_new(2, EACH)};
	struct made *m = xcalloc(2 * EACH, sizeof(*m));

	(void)state;
	for (unsigned i = 0; i < 2 * EACH; i++) {
		make_order(&m[i], 1 + i * 7 / 2 % 11, "", 1 + i % 3, 1);
		start(repos[i % 2], &m[i]);
	}
	loop_run(fix.loop);
	for (unsigned i = 0; i < 2 * EACH; i++) {
		assert_int_equal(m[i].err.code, ERR_NONE);
		assert_int_equal(m[i].record.end, ORDER_RECORDED);
		drop_order(&m[i]);
	}
	free(m);
	assert_int_equal(number(conn, "SELECT COUNT(*) FROM orders"), 2 * EACH);
	/* They shared transactions. */
	assert_true(metric_get(metrics_histogram(fix.metrics, "shop_batch_seconds", "",
						 "stage=\"record\"")) < EACH);
	/* Without a hole, and in the outbox in the same order. */
	assert_int_equal(number(conn, "SELECT SUM(seq) FROM user_seq"), 2 * EACH);
	assert_int_equal(
		number(conn,
		       "SELECT COUNT(*) FROM (SELECT JSON_EXTRACT(payload, '$.seq') AS"
		       " seq, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY id) AS"
		       " turn FROM outbox) AS o WHERE seq <> turn"),
		0);
	order_repo_free(repos[0]);
	order_repo_free(repos[1]);
}

/* ---- the clock ---- */

static struct order_lookup keyless;

static void on_looked_up(const struct err *err, void *arg)
{
	(void)arg;
	assert_null(err);
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static int64_t look_up_without_key(struct order_repo *repo)
{
	fix.pending++;
	order_repo_lookup(repo, &keyless, on_looked_up, NULL);
	assert_int_equal(fix.pending, 1); /* never inside the call */
	loop_run(fix.loop);
	return metric_get(metrics_counter(fix.metrics, "shop_batch_members_total", "",
					  "stage=\"lookup\""));
}

static int64_t database_ms(void)
{
	return number(conn, "SELECT CAST(UNIX_TIMESTAMP(UTC_TIMESTAMP(3)) * 1000 AS"
			    " SIGNED)");
}

static void an_order_without_a_key_asks_for_the_clock_once(void **state)
{
	struct order_repo *repo = repo_new(1, 10);
	static struct order_wish wish;

	(void)state;
	keyless.wish = &wish;
	assert_int_equal(look_up_without_key(repo), 1);
	for (unsigned i = 0; i < 3; i++) {
		usleep(2000);
		assert_int_equal(look_up_without_key(repo), 1);
		assert_true(keyless.t0 <= database_ms());
		assert_true(keyless.t0 > database_ms() - 2000);
	}
	/* An old reading is none. */
	repo->clock.read_ms -= DB_CLOCK_MAX_AGE_MS + 1;
	assert_int_equal(look_up_without_key(repo), 2);
	/* After a machine was frozen with its clock: earlier, so never too long. */
	db_clock_read(&repo->clock, database_ms() - 3600 * 1000);
	assert_int_equal(look_up_without_key(repo), 2);
	assert_true(keyless.t0 <= database_ms() - 3600 * 1000);
	order_repo_free(repo);
}

#define STAGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, schema_setup, schema_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(a_bad_order_fails_alone),
		STAGE_TEST(a_full_queue_says_so),
		STAGE_TEST(what_waits_at_the_end_is_told),
		STAGE_TEST(two_processes_keep_every_user_in_order),
		STAGE_TEST(an_order_without_a_key_asks_for_the_clock_once),
	};

	return run_db_tests("test_order_stages", tests, ARRAY_LEN(tests));
}
