/*
 * test_order_batch.c - orders that share a transaction, each with its own end,
 * against a real server.
 */
/* link: order-svc/order.c order-svc/order_wish.c */
/* link: order-svc/order_repo.c order-svc/order_read_repo.c order-svc/order_keys_repo.c */
/* link: order-svc/order_record_repo.c order-svc/order_rows_repo.c */
/* link: order-svc/order_numbers_repo.c */
#include "order_batch_fixture.h"

static char many_name[] = "orders_many", one_name[] = "orders_one";
static struct db_settings many_cfg, one_cfg;
static struct db_conn *many, *one;

static int schemas_new(void **state)
{
	(void)state;
	many = schema_new(&many_cfg, many_name);
	one = schema_new(&one_cfg, one_name);
	return 0;
}

static int schemas_free(void **state)
{
	(void)state;
	db_conn_free(many);
	db_conn_free(one);
	return 0;
}

/* ---- every end in one batch ---- */

static void expect_end(const struct made *m, enum order_record_end end)
{
	if (m->record.end != end)
		fail_msg("order of user %lld, key '%s': end %d, not %d",
			 (long long)m->wish.order.user_id, m->wish.key, m->record.end,
			 end);
}

static void expect_answer(const struct made *m, int64_t seq)
{
	struct order_lookup lookup = {.op = {.repo = &direct}, .wish = &m->wish};
	void *member = &lookup;
	struct err why = {0};

	expect_end(m, ORDER_RECORDED);
	assert_int_equal(m->wish.order.seq, seq);
	assert_non_null(m->record.reply);
	if (!*m->wish.key)
		return;
	must(order_lookup_many(many, &member, 1, &why));
	assert_true(lookup.found);
	assert_int_equal(lookup.status, 201);
	assert_int_equal(lookup.order_id, m->wish.order.id);
	assert_string_equal(lookup.body_hash, m->wish.hash);
	assert_string_equal(lookup.reply, m->record.reply);
	order_lookup_fini(&lookup);
}

static void every_end_in_one_batch(void **state)
{
	struct made earlier, m[9];

	(void)state;
	make_order(&earlier, 1, "old", 1, 1);
	record_all(many, &earlier, 1);
	make_order(&m[0], 3, "", 2, 1);
	make_order(&m[1], 1, "fenced", 1, 1);
	make_order(&m[2], 1, "old", 1, 1); /* an earlier order has it */
	make_order(&m[3], 1, "old", 1, 2); /* and with another body */
	make_order(&m[4], 1, "fresh", 1, 1);
	make_order(&m[5], 1, "fresh", 1, 1); /* a twin in the batch */
	make_order(&m[6], 2, "late", 1, 1);
	make_order(&m[7], 2, "late", 1, 1); /* its twin is in time */
	make_order(&m[8], 1, "", 50, 1);
	fence(many, &m[1]);
	m[6].record.deadline = 1;
	record_all(many, m, 9);
	expect_answer(&m[0], 1);
	expect_end(&m[1], ORDER_FENCED);
	expect_end(&m[2], ORDER_KEY_TAKEN);
	expect_end(&m[3], ORDER_KEY_TAKEN);
	expect_answer(&m[4], 2);
	expect_end(&m[5], ORDER_KEY_TAKEN);
	expect_end(&m[6], ORDER_TOO_LATE);
	expect_answer(&m[7], 1);
	expect_answer(&m[8], 3);
	assert_int_equal(number(many, "SELECT COUNT(*) FROM orders"), 5);
	assert_int_equal(number(many, "SELECT COUNT(*) FROM order_items"), 55);
	assert_int_equal(number(many, "SELECT COUNT(*) FROM outbox"), 5);
	assert_int_equal(number(many, "SELECT COUNT(*) FROM order_keys"), 3);
	assert_int_equal(number(many, "SELECT COUNT(*) FROM outcomes"), 6);
	assert_int_equal(number(many, "SELECT SUM(seq) FROM user_seq"), 5);
	for (unsigned i = 0; i < 9; i++)
		drop_order(&m[i]);
	drop_order(&earlier);
}

/* ---- look-ups and refusals ---- */

static void refusals_and_lookups_in_batches(void **state)
{
	struct made earlier, m[4];
	struct order_refusal refusals[4];
	struct order_lookup lookups[5] = {0};
	void *members[5];
	struct err why = {0};

	(void)state;
	make_order(&earlier, 1, "ordered", 1, 1);
	record_all(many, &earlier, 1);
	make_order(&m[0], 2, "a", 1, 1);
	make_order(&m[1], 1, "ordered", 1, 1);
	make_order(&m[2], 2, "a", 1, 2);
	make_order(&m[3], 1, "a", 1, 1);
	for (unsigned i = 0; i < 4; i++) {
		refusals[i] = (struct order_refusal){.wish = &m[i].wish,
						     .status = 409,
						     .reply = STR("{\"code\":\"x\"}")};
		members[i] = &refusals[i];
	}
	must(order_refuse_many(many, members, 4, &why));
	assert_false(refusals[0].taken);
	assert_true(refusals[1].taken);
	assert_true(refusals[2].taken);
	assert_false(refusals[3].taken);
	for (unsigned i = 0; i < 5; i++) {
		lookups[i].op.repo = &direct;
		lookups[i].wish = &m[i % 4].wish;
		members[i] = &lookups[i];
	}
	m[3].wish.key[0] = 'A'; /* keys differ by case */
	must(order_lookup_many(many, members, 5, &why));
	assert_int_equal(lookups[0].status, 409);
	assert_int_equal(lookups[0].order_id, 0);
	assert_string_equal(lookups[0].reply, "{\"code\":\"x\"}");
	assert_string_equal(lookups[0].body_hash, m[0].wish.hash);
	assert_int_equal(lookups[1].order_id, earlier.wish.order.id);
	assert_string_equal(lookups[2].body_hash, m[0].wish.hash);
	assert_false(lookups[3].found);
	assert_true(lookups[4].found && lookups[4].t0 > 0);
	for (unsigned i = 0; i < 5; i++)
		order_lookup_fini(&lookups[i]);
	for (unsigned i = 0; i < 4; i++)
		drop_order(&m[i]);
	drop_order(&earlier);
}

/* ---- random batches against one at a time ---- */

#define USERS  5
#define KEYS   40
#define ROUNDS 60

/* What must come out, by the plainest rules. */
static struct {
	bool taken[USERS][KEYS];
	int64_t seq[USERS], epoch;
} model;

static unsigned dice(unsigned n)
{
	return (unsigned)rand() % n;
}

static int key_number(const struct made *m)
{
	return *m->wish.key ? (int)strtol(m->wish.key, NULL, 10) : -1;
}

static enum order_record_end model_record(const struct made *m, bool fenced, int64_t *seq)
{
	int64_t user = m->wish.order.user_id;
	int key = key_number(m);

	if (fenced)
		return ORDER_FENCED;
	if (m->record.deadline != FAR_FUTURE)
		return ORDER_TOO_LATE;
	if (key >= 0 && model.taken[user][key])
		return ORDER_KEY_TAKEN;
	if (key >= 0)
		model.taken[user][key] = true;
	if (model.seq[user] < model.epoch << 48)
		model.seq[user] = model.epoch << 48;
	*seq = ++model.seq[user];
	return ORDER_RECORDED;
}

static void random_order(struct made *m, bool *fenced)
{
	char key[16] = "";

	if (dice(4))
		snprintf(key, sizeof(key), "%u", dice(KEYS));
	make_order(m, dice(USERS), key, 1 + dice(3), 1 + dice(3));
	*fenced = dice(12) == 0;
	if (dice(12) == 0)
		m->record.deadline = 1;
	if (*fenced) {
		fence(many, m);
		fence(one, m);
	}
}

/* A twin that is fenced or late as well may learn either. */
static void compare_end(const struct made *m, enum order_record_end end, int64_t seq)
{
	if (end != ORDER_RECORDED && m->record.end == ORDER_KEY_TAKEN) {
		assert_true(model.taken[m->wish.order.user_id][key_number(m)]);
		return;
	}
	expect_end(m, end);
	if (end == ORDER_RECORDED)
		assert_int_equal(m->wish.order.seq, seq);
}

static void random_records(void)
{
	static struct made m[BATCH_MAX], copy[BATCH_MAX];
	enum order_record_end ends[BATCH_MAX];
	int64_t seqs[BATCH_MAX] = {0};
	size_t n = 1 + dice(BATCH_MAX);
	bool fenced;

	for (size_t i = 0; i < n; i++) {
		random_order(&m[i], &fenced);
		make_copy(&copy[i], &m[i]);
		ends[i] = model_record(&m[i], fenced, &seqs[i]);
		record_all(one, &copy[i], 1);
		expect_end(&copy[i], ends[i]);
	}
	record_all(many, m, n);
	for (size_t i = 0; i < n; i++) {
		compare_end(&m[i], ends[i], seqs[i]);
		drop_order(&m[i]);
		drop_order(&copy[i]);
	}
}

static void random_refusals(void)
{
	static struct made m[BATCH_MAX];
	struct order_refusal refusals[BATCH_MAX], single;
	void *members[BATCH_MAX], *member = &single;
	bool taken[BATCH_MAX];
	size_t n = 1 + dice(6);
	struct err why = {0};

	for (size_t i = 0; i < n; i++) {
		unsigned user = dice(USERS), key = dice(KEYS);
		char text[16];

		snprintf(text, sizeof(text), "%u", key);
		make_order(&m[i], user, text, 1, 1 + dice(3));
		refusals[i] = (struct order_refusal){
			.wish = &m[i].wish, .status = 409, .reply = STR("{}")};
		members[i] = &refusals[i];
		taken[i] = model.taken[user][key];
		model.taken[user][key] = true;
		single = refusals[i];
		must(order_refuse_many(one, &member, 1, &why));
		assert_int_equal(single.taken, taken[i]);
	}
	must(order_refuse_many(many, members, n, &why));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(refusals[i].taken, taken[i]);
		drop_order(&m[i]);
	}
}

static void raise_epoch(void)
{
	model.epoch++;
	run_sql(many, "UPDATE seq_epoch SET epoch = epoch + 1");
	run_sql(one, "UPDATE seq_epoch SET epoch = epoch + 1");
}

/* Without ids and times, which may differ. */
#define PLAIN(column)                                                              \
	"REGEXP_REPLACE(" column                                                   \
	", '\"(order_id|created_at|timestamp|event_id)\":(\"[^\"]*\"|[0-9]*),?', " \
	"'')"
static const char *const tables[] = {
	"SELECT user_id, seq, total_price, currency, status, reservation_id,"
	" cancelled_at FROM orders ORDER BY user_id, seq",
	"SELECT o.reservation_id, i.line, i.product_id, i.name, i.quantity,"
	" i.unit_price FROM order_items i JOIN orders o ON o.id = i.order_id"
	" ORDER BY o.reservation_id, i.line",
	"SELECT k.user_id, k.idempotency_key, k.body_hash, k.status, "
	"o.reservation_id, " PLAIN(
		"k.reply") " FROM order_keys k LEFT JOIN orders o ON o.id = k.order_id"
			   " ORDER BY k.user_id, k.idempotency_key",
	"SELECT reservation_id, outcome FROM outcomes ORDER BY reservation_id",
	"SELECT user_id, seq FROM user_seq ORDER BY user_id",
	"SELECT user_id, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY id) AS "
	"turn, " PLAIN(
		"payload") ", request_id, traceparent FROM outbox ORDER BY user_id, turn",
	"SELECT COUNT(*) FROM orders o JOIN outbox b ON o.id ="
	" JSON_EXTRACT(b.payload, '$.order_id') AND o.seq = JSON_EXTRACT(b.payload, "
	"'$.seq')",
	"SELECT COUNT(*) FROM orders o JOIN order_keys k ON o.id = k.order_id"
	" AND o.id = JSON_EXTRACT(k.reply, '$.order_id')",
	"SELECT COUNT(DISTINCT event_id) FROM outbox",
};

static struct db_rows *rows_of(struct db_conn *conn, const char *sql)
{
	struct err why = {0};
	struct db_rows *rows;

	must(db_query_text(conn, sql, NULL, 0, &rows, &why));
	return rows;
}

static void same_tables(unsigned n_columns, const char *sql)
{
	struct db_rows *left = rows_of(many, sql), *right = rows_of(one, sql);

	assert_int_equal(db_rows_count(left), db_rows_count(right));
	for (size_t row = 0; row < db_rows_count(left); row++) {
		for (unsigned col = 0; col < n_columns; col++) {
			if (!str_eq(db_str(left, row, col), db_str(right, row, col)))
				fail_msg("%s\nrow %zu column %u: %s, not %s", sql, row,
					 col, db_str(left, row, col).at,
					 db_str(right, row, col).at);
		}
	}
	db_rows_free(left);
	db_rows_free(right);
}

static void random_batches_equal_one_at_a_time(void **state)
{
	static const unsigned columns[ARRAY_LEN(tables)] = {7, 6, 6, 2, 2, 5, 1, 1, 1};

	(void)state;
	srand(random_seed());
	memset(&model, 0, sizeof(model));
	for (unsigned round = 0; round < ROUNDS; round++) {
		if (round % 20 == 19)
			raise_epoch();
		if (dice(4) == 0) {
			random_refusals();
			continue;
		}
		random_records();
		/* Keys are swept some day. */
		if (round % 5 == 4) {
			memset(model.taken, 0, sizeof(model.taken));
			run_sql(many, "DELETE FROM order_keys");
			run_sql(one, "DELETE FROM order_keys");
		}
	}
	assert_true(number(many, "SELECT COUNT(*) FROM orders") > 500);
	assert_int_equal(number(many, tables[6]),
			 number(many, "SELECT COUNT(*) FROM orders"));
	for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
		same_tables(columns[i], tables[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_end_in_one_batch, schemas_new,
						schemas_free),
		cmocka_unit_test_setup_teardown(refusals_and_lookups_in_batches,
						schemas_new, schemas_free),
		cmocka_unit_test_setup_teardown(random_batches_equal_one_at_a_time,
						schemas_new, schemas_free),
	};

	return run_db_tests("test_order_batch", tests, ARRAY_LEN(tests));
}
