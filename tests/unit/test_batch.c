/*
 * test_batch.c - stages that share transactions, and statements about many rows,
 * against a real server.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "batch.h"
#include "db_fixture.h"

/* ---- statements about many rows ---- */

static const struct db_many insert_names = {
	.head = "INSERT INTO t (name, big) VALUES ",
	.row = "(?, ?)",
};
static const struct db_many count_names = {
	.head = "SELECT COUNT(*), MIN(id), MAX(id) FROM t WHERE big >= ? AND name IN (",
	.row = "?",
	.tail = ")",
};
static const struct db_many raise_big = {
	.head = "UPDATE t SET big = big + CASE id ",
	.row = "WHEN ? THEN ?",
	.between = " ",
	.again = " END WHERE id IN (",
	.tail = ")",
};

#define MANY 200

static void many_of(struct db_conn *conn, size_t n)
{
	struct db_arg args[2 * MANY], names[MANY], low = DB_I(0);
	char text[MANY][32];
	int64_t ids[MANY];
	struct db_rows *rows;
	struct err why = {0};
	uint64_t changed;

	must(db_exec0(conn, &why, "DELETE FROM t"));
	for (size_t i = 0; i < n; i++) {
		snprintf(text[i], sizeof(text[i]), "name %zu", i);
		names[i] = args[2 * i] = DB_Z(text[i]);
		args[2 * i + 1] = DB_I(i);
	}
	must(db_insert_many(conn, &insert_names, args, 2, n, ids, &why));
	for (size_t i = 0; i < n; i++) {
		must(db_query(conn, &rows, &why, "SELECT name FROM t WHERE id = ?",
			      DB_I(ids[i])));
		must(db_rows_count(rows) == 1 && str_eqz(db_str(rows, 0, 0), text[i]));
		db_rows_free(rows);
	}
	if (n <= DB_MANY_MAX) {
		must(db_query_many(conn, &count_names, &low, 1, names, 1, n, &rows,
				   &why));
		must(db_int(rows, 0, 0) == (int64_t)n && db_int(rows, 0, 1) == ids[0] &&
		     db_int(rows, 0, 2) == ids[n - 1]);
		db_rows_free(rows);
	}
	for (size_t i = 0; i < n; i++) {
		args[2 * i] = DB_I(ids[i]);
		args[2 * i + 1] = DB_I(1000);
	}
	must(db_exec_many(conn, &raise_big, args, 2, n, &changed, &why));
	must(changed == n);
	must(number(conn, "SELECT SUM(big) FROM t") ==
	     (int64_t)(n * (n - 1) / 2 + 1000 * n));
}

static void many_body(struct db_conn *conn)
{
	static const size_t sizes[] = {1,  2,  7,  8,  9,  15, 16, 45,
				       63, 64, 65, 71, 72, 73, 200};
	struct err why = {0};
	struct db_rows *rows;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		many_of(conn, sizes[i]);
	must(db_exec_many(conn, &raise_big, NULL, 2, 0, NULL, &why));
	must(!db_query_many(conn, &count_names, NULL, 0, NULL, 1, 0, &rows, &why));
	must(why.code == ERR_INTERNAL);
}

static void statements_about_many_rows_reach_each_row(void **state)
{
	(void)state;
	on_worker(many_body);
}

static void step_body(struct db_conn *conn)
{
	struct db_arg args[] = {DB_Z("a"), DB_I(1), DB_Z("b"), DB_I(2)};
	struct err why = {0};
	int64_t ids[2];

	must(db_exec0(conn, &why, "SET SESSION auto_increment_increment = 7"));
	must(db_insert_many(conn, &insert_names, args, 2, 2, ids, &why));
	must(ids[1] == ids[0] + 7);
	must(number(conn, "SELECT id FROM t WHERE name = 'b'") == ids[1]);
	must(db_exec0(conn, &why, "SET SESSION auto_increment_increment = 1"));
}

static void ids_follow_the_step_of_the_server(void **state)
{
	(void)state;
	on_worker(step_body);
}

static void many_duplicate_body(struct db_conn *conn)
{
	struct db_arg args[] = {DB_Z("a"), DB_I(1), DB_Z("a"), DB_I(2)};
	struct err why = {0};

	must(!db_exec_many(conn, &insert_names, args, 2, 2, NULL, &why));
	must(db_is_duplicate(conn, "by_name"));
	must(number(conn, "SELECT COUNT(*) FROM t") == 0);
}

static void a_duplicate_among_many_is_told(void **state)
{
	(void)state;
	on_worker(many_duplicate_body);
}

/* ---- stages ---- */

enum kind { GOOD, BAD, AWAY, HANGS, LOCKED };

struct member {
	enum kind kind;
	int number, lane;
	size_t in_batch; /* how many shared its batch when it was decided */
	int order;       /* when, among all */
	int lane_now;    /* how many of its lane ran at once */
	bool done;
	struct err err;
};

static struct {
	atomic_int decided, running[2], runs;
	pthread_mutex_t gate; /* held by a test that wants a lane to be busy */
} seen = {.gate = PTHREAD_MUTEX_INITIALIZER};

static bool decide(struct db_conn *conn, void **members, size_t n, struct err *err)
{
	int lane = ((struct member *)members[0])->number & 1;
	int at_once = atomic_fetch_add(&seen.running[lane], 1) + 1;
	struct err why = {0};
	bool ok = true;

	pthread_mutex_lock(&seen.gate);
	pthread_mutex_unlock(&seen.gate);
	atomic_fetch_add(&seen.runs, 1);
	must(number(conn, "SELECT 1") == 1);
	for (size_t i = 0; i < n && ok; i++) {
		struct member *m = members[i];

		if (m->kind == BAD)
			ok = err_set(err, ERR_INTERNAL, "member %d is bad", m->number);
		if (m->kind == AWAY)
			ok = err_set(err, ERR_BUSY, "away");
		if (m->kind == HANGS)
			ok = err_set(err, ERR_TIMEOUT, "hangs");
		if (m->kind == LOCKED)
			ok = db_exec(conn, err, "UPDATE t SET big = 1 WHERE id = ?",
				     DB_I(m->number));
	}
	for (size_t i = 0; i < n && ok; i++) {
		struct member *m = members[i];

		m->in_batch = n;
		m->lane_now = at_once;
		m->order = atomic_fetch_add(&seen.decided, 1);
	}
	atomic_fetch_sub(&seen.running[lane], 1);
	return ok;
}

static void member_ended(const struct err *err, void *arg)
{
	struct member *m = arg;

	assert_false(m->done);
	m->done = true;
	m->err = err ? *err : (struct err){0};
	if (--fix.pending == 0)
		loop_stop(fix.loop);
}

static struct batch_stage *stage_new(unsigned lanes, unsigned max_batch,
				     unsigned max_queue)
{
	struct batch_config cfg = {.name = "test",
				   .run = decide,
				   .lanes = lanes,
				   .max_batch = max_batch,
				   .max_queue = max_queue};
	struct err err = {0};
	struct batch_stage *stage = batch_new(fix.loop, fix.pool, &cfg, NULL, &err);

	assert_non_null(stage);
	atomic_store(&seen.decided, 0);
	atomic_store(&seen.runs, 0);
	return stage;
}

static void add(struct batch_stage *stage, struct member *m)
{
	fix.pending++;
	batch_add(stage, (uint64_t)(m->lane ? m->lane : m->number), m, member_ended, m);
	assert_false(m->done); /* never before batch_add() returns */
}

/* Adds them while each lane is held up by its first one. */
static void run_members(struct batch_stage *stage, struct member *m, int n)
{
	pthread_mutex_lock(&seen.gate);
	for (int i = 0; i < n; i++) {
		m[i].number = i;
		add(stage, &m[i]);
		if (i < 2)
			usleep(30 * 1000);
	}
	pthread_mutex_unlock(&seen.gate);
	loop_run(fix.loop);
}

static void what_waits_shares_the_next_batch(void **state)
{
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[40] = {{0}};

	(void)state;
	run_members(stage, m, 40);
	assert_int_equal(atomic_load(&seen.runs), 4); /* 1, 16, 16, 7 */
	assert_int_equal(m[0].in_batch, 1);
	assert_int_equal(m[1].in_batch, 16);
	assert_int_equal(m[39].in_batch, 7);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(m[i].err.code, ERR_NONE);
		assert_int_equal(m[i].order, i); /* in order of arrival */
	}
	batch_free(stage);
}

static void what_comes_in_one_turn_shares_a_batch(void **state)
{
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[5] = {{0}};

	(void)state;
	usleep(100 * 1000); /* the lane is connected, and waits */
	for (int i = 0; i < 5; i++) {
		m[i].number = i;
		add(stage, &m[i]);
		usleep(5 * 1000);
	}
	loop_run(fix.loop);
	assert_int_equal(atomic_load(&seen.runs), 1);
	batch_free(stage);
}

static void a_lane_runs_one_batch_at_a_time(void **state)
{
	struct batch_stage *stage = stage_new(2, 4, 100);
	struct member m[60] = {{0}};

	(void)state;
	run_members(stage, m, 60);
	for (int i = 0; i < 60; i++) {
		assert_int_equal(m[i].err.code, ERR_NONE);
		assert_int_equal(m[i].lane_now, 1);
		if (i >= 2)
			assert_true(m[i].order > m[i - 2].order);
	}
	batch_free(stage);
}

static void a_bad_member_does_not_fail_its_neighbours(void **state)
{
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[12] = {{0}};

	(void)state;
	m[5].kind = BAD;
	run_members(stage, m, 12);
	for (int i = 0; i < 12; i++)
		assert_int_equal(m[i].err.code, i == 5 ? ERR_INTERNAL : ERR_NONE);
	assert_string_equal(m[5].err.text, "member 5 is bad");
	assert_int_equal(m[4].in_batch, 1);
	batch_free(stage);
}

/* Trying each alone against a database that is away would take n time-outs. */
static void an_absent_database_fails_the_batch_once(void **state)
{
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[12] = {{0}};

	(void)state;
	m[5].kind = AWAY;
	run_members(stage, m, 12);
	assert_int_equal(m[0].err.code, ERR_NONE);
	for (int i = 1; i < 12; i++)
		assert_int_equal(m[i].err.code, ERR_BUSY);
	assert_int_equal(atomic_load(&seen.runs), 2);
	batch_free(stage);
}

static void a_database_that_hangs_is_not_tried_for_each(void **state)
{
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[12] = {{0}};

	(void)state;
	m[1].kind = BAD;
	m[3].kind = m[4].kind = HANGS;
	run_members(stage, m, 12);
	assert_int_equal(m[1].err.code, ERR_INTERNAL);
	assert_int_equal(m[2].err.code, ERR_NONE);
	assert_int_equal(m[3].err.code, ERR_TIMEOUT);
	for (int i = 4; i < 12; i++) {
		assert_int_equal(m[i].err.code, ERR_BUSY);
		assert_int_equal(m[i].in_batch, 0);
	}
	assert_int_equal(atomic_load(&seen.runs), 5); /* 0, all, 1, 2, 3 */
	batch_free(stage);
}

/* Rows that somebody else has locked, and does not let go. */
static struct db_conn *lock_rows(const char *ids)
{
	struct err why = {0};
	struct db_conn *owner = db_conn_open(&fix.cfg, &why);
	char sql[100];

	must(owner != NULL);
	must(db_exec0(owner, &why, "SET autocommit = 0"));
	for (int64_t id = 1; id <= 20; id++)
		must(db_exec(owner, &why, "INSERT INTO t (id, name) VALUES (?, ?)",
			     DB_I(id), DB_I(id)));
	must(db_exec0(owner, &why, "COMMIT"));
	snprintf(sql, sizeof(sql), "UPDATE t SET big = 7 WHERE id IN (%s)", ids);
	must(db_exec_text(owner, sql, NULL, 0, &why));
	return owner;
}

static void a_locked_row_fails_nobody_else(void **state)
{
	struct db_conn *owner = lock_rows("5, 7");
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[12] = {{0}};

	(void)state;
	m[5].kind = m[6].kind = m[7].kind = LOCKED;
	m[7].lane = m[9].lane = 5; /* those of one user */
	run_members(stage, m, 12);
	for (int i = 0; i < 12; i++) {
		bool fails = i == 5 || i == 7 || i == 9;

		assert_int_equal(m[i].err.code, fails ? ERR_BUSY : ERR_NONE);
		assert_int_equal(m[i].in_batch == 0, fails);
	}
	assert_true(m[9].err.retry_after_s > 0);
	/* 0, all, and each but two */
	assert_int_equal(atomic_load(&seen.runs), 2 + 11 - 2);
	batch_free(stage);
	db_conn_free(owner);
}

static void many_locked_rows_are_not_waited_for_in_turn(void **state)
{
	struct db_conn *owner = lock_rows("2, 3, 4, 5, 6");
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m[12] = {{0}};

	(void)state;
	for (int i = 2; i < 7; i++)
		m[i].kind = LOCKED;
	run_members(stage, m, 12);
	assert_int_equal(m[1].err.code, ERR_NONE);
	for (int i = 2; i < 12; i++)
		assert_int_equal(m[i].err.code, ERR_BUSY);
	assert_int_equal(atomic_load(&seen.runs), 2 + 1 + 3);
	batch_free(stage);
	db_conn_free(owner);
}

static void *let_go(void *owner)
{
	struct err why = {0};

	usleep(2500 * 1000);
	must(db_exec0(owner, &why, "COMMIT"));
	return NULL;
}

/* Longer than a lane waits at once. */
static void a_lone_member_is_patient(void **state)
{
	struct db_conn *owner = lock_rows("5");
	struct batch_stage *stage = stage_new(1, 16, 100);
	struct member m = {.kind = LOCKED, .number = 5};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, let_go, owner), 0);
	add(stage, &m);
	loop_run(fix.loop);
	assert_int_equal(m.err.code, ERR_NONE);
	assert_in_range(atomic_load(&seen.runs), 2, 3);
	pthread_join(thread, NULL);
	batch_free(stage);
	db_conn_free(owner);
}

static void a_full_lane_refuses(void **state)
{
	struct batch_stage *stage = stage_new(1, 4, 8);
	struct member m[20] = {{0}};
	int refused = 0;

	(void)state;
	run_members(stage, m, 20);
	for (int i = 0; i < 20; i++) {
		if (m[i].err.code == ERR_NONE)
			continue;
		assert_int_equal(m[i].err.code, ERR_BUSY);
		assert_string_equal(m[i].err.slug, "database_busy");
		assert_true(m[i].err.retry_after_s > 0);
		assert_int_equal(m[i].in_batch, 0); /* nothing ran */
		refused++;
	}
	/* The first batch has begun while the others came, with one or more. */
	assert_in_range(refused, 20 - 4 - 8, 20 - 1 - 8);
	batch_free(stage);
}

static void the_end_of_a_stage_answers_everybody(void **state)
{
	struct batch_stage *stage = stage_new(2, 4, 100);
	struct member m[30] = {{0}};

	(void)state;
	for (int i = 0; i < 30; i++) {
		m[i].number = i;
		add(stage, &m[i]);
	}
	batch_free(stage);
	for (int i = 0; i < 30; i++) {
		assert_true(m[i].done);
		assert_true(m[i].err.code == ERR_NONE || m[i].err.code == ERR_BUSY);
	}
	assert_int_equal(fix.pending, 0);
}

/* ---- lanes without autocommit ---- */

static enum db_verdict add_name(struct db_conn *conn, void *arg, struct err *err)
{
	if (!db_exec0(conn, err, "INSERT INTO t (name) VALUES ('inside')"))
		return DB_FAIL;
	return *(enum db_verdict *)arg;
}

/* What another connection finds. */
static int64_t seen_outside(const char *sql)
{
	struct err why = {0};
	struct db_conn *other = db_conn_open(&fix.cfg, &why);
	int64_t n;

	must(other != NULL);
	n = number(other, sql);
	db_conn_free(other);
	return n;
}

static bool in_lane(struct db_conn *conn, void **members, size_t n, struct err *err)
{
	struct err why = {0};
	enum db_verdict undo = DB_ROLLBACK, keep = DB_COMMIT;
	struct db_rows *rows;

	(void)members, (void)n, (void)err;
	must(db_tx(conn, add_name, &undo, &why) == DB_TX_ROLLED_BACK);
	must(seen_outside("SELECT COUNT(*) FROM t") == 0);
	must(db_tx(conn, add_name, &keep, &why) == DB_TX_COMMITTED);
	must(seen_outside("SELECT COUNT(*) FROM t WHERE name = 'inside'") == 1);
	must(db_exec0(conn, &why, "INSERT INTO t (name) VALUES ('outside')"));
	must(seen_outside("SELECT COUNT(*) FROM t WHERE name = 'outside'") == 1);
	must(!db_exec0(conn, &why, "INSERT INTO t (name) VALUES ('outside')"));
	must(db_is_duplicate(conn, "by_name"));
	must(db_query0(conn, &rows, &why, "SELECT id FROM t"));
	db_rows_free(rows);
	/* Else its locks would hold up whoever changes the table. */
	must(seen_outside("SELECT COUNT(*) FROM information_schema.innodb_trx") == 0);
	return true;
}

static void a_lane_of_transactions_leaves_none_open(void **state)
{
	struct batch_config cfg = {.name = "test",
				   .run = in_lane,
				   .transactions = true,
				   .lanes = 1,
				   .max_batch = 8,
				   .max_queue = 8};
	struct err err = {0};
	struct batch_stage *stage = batch_new(fix.loop, fix.pool, &cfg, NULL, &err);
	struct member m = {0};

	(void)state;
	assert_non_null(stage);
	add(stage, &m);
	loop_run(fix.loop);
	assert_int_equal(m.err.code, ERR_NONE);
	batch_free(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(statements_about_many_rows_reach_each_row),
		DB_TEST(ids_follow_the_step_of_the_server),
		DB_TEST(a_duplicate_among_many_is_told),
		DB_TEST(what_waits_shares_the_next_batch),
		DB_TEST(what_comes_in_one_turn_shares_a_batch),
		DB_TEST(a_lane_runs_one_batch_at_a_time),
		DB_TEST(a_bad_member_does_not_fail_its_neighbours),
		DB_TEST(an_absent_database_fails_the_batch_once),
		DB_TEST(a_database_that_hangs_is_not_tried_for_each),
		DB_TEST(a_locked_row_fails_nobody_else),
		DB_TEST(many_locked_rows_are_not_waited_for_in_turn),
		DB_TEST(a_lone_member_is_patient),
		DB_TEST(a_full_lane_refuses),
		DB_TEST(the_end_of_a_stage_answers_everybody),
		DB_TEST(a_lane_of_transactions_leaves_none_open),
	};

	return run_db_tests("test_batch", tests, ARRAY_LEN(tests));
}
