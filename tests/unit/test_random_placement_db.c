/*
 * test_random_placement_db.c - the interleavings of placement.c against the
 * repositories of product-svc and order-svc, on a real server.
 */
/* link: tests/unit/random_model.c tests/unit/placement.c */
/* link: tests/unit/placement_make.c */
/* link: product-svc/reservation.c product-svc/reservation_plan.c product-svc/product.c */
/* link: product-svc/reservation_repo.c product-svc/reservation_moves_repo.c */
/* link: product-svc/reservation_move.c */
/* link: order-svc/order.c order-svc/order_wish.c */
/* link: order-svc/order_repo.c order-svc/order_read_repo.c order-svc/order_keys_repo.c */
/* link: order-svc/order_record_repo.c order-svc/order_rows_repo.c */
/* link: order-svc/order_numbers_repo.c */
#include "order_batch_fixture.h"
#include "placement.h"
#include "product-svc/reservation_repo.h"

/* Every run has products, users and reservations of its own: nothing needs to be
 * emptied. */
static struct {
	unsigned number;
	const struct wish *wishes;
	struct made made[ATTEMPTS_MAX]; /* recorded orders and refusals */
	bool is_made[ATTEMPTS_MAX];
	int64_t order_id[ATTEMPTS_MAX];
} shop;

static char orders_name[] = "placement_orders";
static struct db_settings orders_cfg;
static struct db_conn *products_conn, *orders_conn;
static struct order_repo repo;
static struct err why;

/* ---- names ---- */

static void reservation_id(char *dst, unsigned attempt)
{
	snprintf(dst, ID_HEX_LEN + 1, "%08x%024x", shop.number, attempt);
}

/* ATTEMPTS_MAX: of another run. */
static unsigned attempt_of(struct str id)
{
	char number[9];

	snprintf(number, sizeof(number), "%08x", shop.number);
	if (id.len != ID_HEX_LEN || memcmp(id.at, number, 8) != 0)
		return ATTEMPTS_MAX;
	return (unsigned)strtoul(id.at + 8, NULL, 16);
}

static void product_id(char *dst, size_t size, unsigned product)
{
	snprintf(dst, size, "c%up%u", shop.number, product);
}

static int64_t user_id(unsigned user)
{
	return (int64_t)shop.number * 10 + user;
}

/* Runs what was started on the loop. */
static void finish_job(void)
{
	loop_run(fix.loop);
	if (fix.last.code != ERR_NONE)
		why = fix.last;
	must(fix.last.code == ERR_NONE);
}

/* ---- product-svc ---- */

static void drop_made(void)
{
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		if (shop.is_made[i])
			drop_order(&shop.made[i]);
		shop.is_made[i] = false;
		shop.order_id[i] = 0;
	}
}

static void begin(const struct wish *wishes, const int64_t *stock)
{
	drop_made();
	shop.number++;
	shop.wishes = wishes;
	/* Left by a run that failed. */
	run_sql(products_conn, "UPDATE reservations SET state = 'released'"
			       " WHERE state = 'pending'");
	run_sql(orders_conn, "DELETE FROM outbox"); /* as the relay does */
	for (unsigned p = 0; p < PRODUCTS - 1; p++) {
		char id[32];

		product_id(id, sizeof(id), p);
		must(db_exec(products_conn, &why,
			     "INSERT INTO products (id, name, description, category,"
			     " price, stock, version, created_at, updated_at) VALUES"
			     " (?, 'a name', '', 'c', 2.50, ?, 1, UTC_TIMESTAMP(3),"
			     " UTC_TIMESTAMP(3))",
			     DB_Z(id), DB_I(stock[p])));
	}
}

static void restock(unsigned product, int64_t n)
{
	char id[32];

	product_id(id, sizeof(id), product);
	must(db_exec(products_conn, &why,
		     "UPDATE products SET stock = stock + ? WHERE id = ?", DB_I(n),
		     DB_Z(id)));
}

struct request {
	struct reserve reserve;
	struct reservation res;
	struct reservation_line lines[WISH_LINES];
};

static void make_request(struct request *r, const struct message *message)
{
	const struct wish *wish = &shop.wishes[message->attempt];

	*r = (struct request){.reserve = {.res = &r->res},
			      .res = {.ttl_s = 100, .n_lines = wish->n_lines}};
	r->res.lines = r->lines;
	reservation_id(r->res.id, message->attempt);
	if (wish->key)
		snprintf(r->res.key_hash, sizeof(r->res.key_hash), "%032x%016x%016x",
			 shop.number, wish->user, wish->key);
	for (unsigned i = 0; i < wish->n_lines; i++) {
		product_id(r->lines[i].product_id, sizeof(r->lines[i].product_id),
			   wish->product[i]);
		r->lines[i].quantity = wish->quantity[i] + (i == 0 ? message->extra : 0);
	}
}

static void reserve(const struct message *messages, size_t n, struct reserved *answers)
{
	static struct request requests[MESSAGES_MAX];
	void *members[MESSAGES_MAX];

	for (size_t i = 0; i < n; i++) {
		make_request(&requests[i], &messages[i]);
		members[i] = &requests[i].reserve;
	}
	must(reservation_reserve_many(products_conn, members, n, &why));
	for (size_t i = 0; i < n; i++) {
		const struct reserve *one = &requests[i].reserve;

		answers[i] =
			(struct reserved){.end = one->end, .replayed = one->replayed};
		if (one->end == RESERVE_SHORT)
			answers[i].available = one->res->lines[one->line].available;
	}
}

static enum reservation_state release(unsigned attempt)
{
	struct release job = {0};

	reservation_id(job.id, attempt);
	fix.pending++;
	reservation_repo_release(fix.pool, &job, job_ended);
	finish_job();
	return job.state;
}

static void move(const struct news *news, size_t n, struct told *told)
{
	static struct order_move moves[2 * ATTEMPTS_MAX];
	struct order_moves job = {.moves = moves, .n = n};

	for (size_t i = 0; i < n; i++) {
		moves[i] = (struct order_move){.kind = news[i].kind,
					       .order_id = news[i].order_id};
		reservation_id(moves[i].reservation_id, news[i].attempt);
	}
	fix.pending++;
	reservation_repo_move(fix.pool, &job, job_ended);
	finish_job();
	memcpy(told->changed, job.changed, sizeof(told->changed));
	told->unknown = job.unknown;
	told->lost = job.lost;
}

static void expire(unsigned attempt)
{
	char id[ID_HEX_LEN + 1];

	reservation_id(id, attempt);
	must(db_exec(products_conn, &why,
		     "UPDATE reservations SET expires_at = '2020-01-01' WHERE id = ?",
		     DB_Z(id)));
}

static int by_number(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static size_t overdue(unsigned *attempts)
{
	static struct overdue job;
	size_t n = 0;

	fix.pending++;
	reservation_repo_overdue(fix.pool, &job, job_ended);
	finish_job();
	for (size_t i = 0; i < job.n; i++) {
		attempts[n] = attempt_of(str_from(job.ids[i]));
		n += attempts[n] < ATTEMPTS_MAX;
	}
	qsort(attempts, n, sizeof(*attempts), by_number);
	return n;
}

static void look_at_stock(int64_t *stock)
{
	struct db_rows *rows;
	char like[32];

	snprintf(like, sizeof(like), "c%up%%", shop.number);
	must(db_query(products_conn, &rows, &why,
		      "SELECT stock FROM products WHERE id LIKE ? ORDER BY id",
		      DB_Z(like)));
	must(db_rows_count(rows) == PRODUCTS - 1);
	for (unsigned p = 0; p < PRODUCTS - 1; p++)
		stock[p] = db_int(rows, p, 0);
	db_rows_free(rows);
}

static void look(int64_t *stock, struct row *states, size_t n_attempts)
{
	struct db_rows *rows;
	char like[32];

	look_at_stock(stock);
	snprintf(like, sizeof(like), "%08x%%", shop.number);
	must(db_query(products_conn, &rows, &why,
		      "SELECT id, state FROM reservations WHERE id LIKE ?", DB_Z(like)));
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		unsigned attempt = attempt_of(db_str(rows, i, 0));

		must(attempt < n_attempts);
		states[attempt] =
			(struct row){true, reservation_state_from(db_str(rows, i, 1))};
	}
	db_rows_free(rows);
}

/* ---- order-svc ---- */

static struct made *made_of(unsigned attempt)
{
	const struct wish *wish = &shop.wishes[attempt];
	struct made *m = &shop.made[attempt];
	char key[16] = "";

	if (shop.is_made[attempt])
		drop_order(m);
	shop.is_made[attempt] = true;
	if (wish->key)
		snprintf(key, sizeof(key), "%u", wish->key);
	make_order(m, user_id(wish->user), key, wish->n_lines, wish->quantity[0]);
	reservation_id(m->wish.order.reservation_id, attempt);
	return m;
}

static unsigned attempt_of_order(int64_t order_id)
{
	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		if (order_id && shop.order_id[i] == order_id)
			return i;
	}
	return ATTEMPTS_MAX;
}

/* A refusal is kept with the number of its attempt. */
static struct kept lookup(unsigned user, unsigned key)
{
	struct order_wish wish = {.order = {.user_id = user_id(user)}};
	struct order_lookup job = {.op = {.repo = &repo}, .wish = &wish};
	void *member = &job;
	struct kept kept;

	snprintf(wish.key, sizeof(wish.key), "%u", key);
	must(order_lookup_many(orders_conn, &member, 1, &why));
	kept = (struct kept){.found = job.found, .refused = job.status == 409};
	if (job.found && kept.refused)
		kept.attempt = (unsigned)strtoul(job.reply, NULL, 10);
	else if (job.found)
		kept.attempt = attempt_of_order(job.order_id);
	order_lookup_fini(&job);
	return kept;
}

static enum recorded recorded_as(const struct made *m)
{
	switch (m->record.end) {
	case ORDER_RECORDED: return RECORDED;
	case ORDER_FENCED: return RECORD_FENCED;
	case ORDER_TOO_LATE: return RECORD_TOO_LATE;
	case ORDER_KEY_TAKEN: return RECORD_KEY_TAKEN;
	case ORDER_UNKNOWN: break;
	}
	snprintf(why.text, sizeof(why.text), "the connection was lost");
	must(m->record.end != ORDER_UNKNOWN);
	return RECORD_FENCED;
}

static void record(const unsigned *attempts, const bool *late, size_t n,
		   enum recorded *ends)
{
	void *members[MESSAGES_MAX];

	for (size_t i = 0; i < n; i++) {
		struct made *m = made_of(attempts[i]);

		m->record.deadline = late[i] ? 1 : FAR_FUTURE;
		members[i] = &m->record;
	}
	must(order_record_many(orders_conn, members, n, &why));
	for (size_t i = 0; i < n; i++) {
		ends[i] = recorded_as(&shop.made[attempts[i]]);
		if (ends[i] == RECORDED)
			shop.order_id[attempts[i]] = shop.made[attempts[i]].wish.order.id;
	}
}

static bool refuse(unsigned attempt)
{
	struct made *m = made_of(attempt);
	char reply[16];
	int len = snprintf(reply, sizeof(reply), "%u", attempt);
	struct order_refusal job = {.op = {.repo = &repo},
				    .wish = &m->wish,
				    .status = 409,
				    .reply = {reply, (size_t)len}};
	void *member = &job;

	must(order_refuse_many(orders_conn, &member, 1, &why));
	return !job.taken;
}

static bool settle(unsigned attempt)
{
	struct order_settle job = {0};

	reservation_id(job.reservation_id, attempt);
	fix.pending++;
	order_repo_settle(&repo, &job, job_ended, NULL);
	finish_job();
	return job.committed;
}

static bool cancel(unsigned attempt)
{
	struct trace trace = {0};
	struct order_cancel job = {.id = shop.order_id[attempt],
				   .user_id = shop.made[attempt].wish.order.user_id,
				   .trace = &trace};

	fix.pending++;
	order_repo_cancel(&repo, &job, job_ended, NULL);
	finish_job();
	must(job.found);
	order_fini(&job.order);
	return job.changed;
}

static bool event(size_t i, struct news *news)
{
	struct db_rows *rows;
	bool found;

	must(db_query(orders_conn, &rows, &why,
		      "SELECT JSON_UNQUOTE(JSON_EXTRACT(payload, '$.reservation_id')),"
		      " JSON_UNQUOTE(JSON_EXTRACT(payload, '$.type')) FROM outbox"
		      " WHERE user_id BETWEEN ? AND ? ORDER BY id LIMIT 1 OFFSET ?",
		      DB_I(user_id(0)), DB_I(user_id(PLACEMENT_USERS - 1)),
		      DB_I((int64_t)i)));
	found = db_rows_count(rows) == 1;
	if (found) {
		news->attempt = attempt_of(db_str(rows, 0, 0));
		news->kind = str_eqz(db_str(rows, 0, 1), "order.cancelled")
				     ? MOVE_RETURN
				     : MOVE_CONFIRM;
	}
	db_rows_free(rows);
	return found;
}

/* ---- the test ---- */

static const struct order_rules order_rules = {.lookup = lookup,
					       .record = record,
					       .refuse = refuse,
					       .settle = settle,
					       .cancel = cancel,
					       .event = event};
static const struct placement_rules rules = {.begin = begin,
					     .restock = restock,
					     .reserve = reserve,
					     .release = release,
					     .move = move,
					     .expire = expire,
					     .overdue = overdue,
					     .look = look,
					     .orders = &order_rules};

/* Each user's events are numbered 1, 2, 3 ... */
static bool numbers_have_no_gap(char *text)
{
	struct db_rows *rows;
	int64_t bad;

	must(db_query(orders_conn, &rows, &why,
		      "SELECT COUNT(*) FROM (SELECT JSON_EXTRACT(payload, '$.seq') AS"
		      " seq, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY id) AS"
		      " turn FROM outbox WHERE user_id BETWEEN ? AND ?) t"
		      " WHERE seq <> turn",
		      DB_I(user_id(0)), DB_I(user_id(PLACEMENT_USERS - 1))));
	bad = db_int(rows, 0, 0);
	db_rows_free(rows);
	return bad == 0 ||
	       random_wrong(text, "%lld events with a wrong number", (long long)bad);
}

static bool run(const struct step *steps, size_t n, char *text)
{
	return placement_run(&rules, steps, n, text) && numbers_have_no_gap(text);
}

static const struct random_test test = {.name = "random_placements_in_sql",
					.kinds = placement_kinds,
					.max_steps = 80,
					.seconds = 4,
					.make = placement_make,
					.run = run};

static void random_placements_in_sql(void **state)
{
	(void)state;
	random_check(&test);
	drop_made();
}

static int schemas_up(void **state)
{
	static char dir[] = "product-svc/migrations";

	if (setup(state) != 0)
		return -1;
	products_conn = db_conn_open(&fix.cfg, &why);
	must(products_conn && db_migrate(products_conn, dir, &why));
	orders_conn = schema_new(&orders_cfg, orders_name);
	repo.loop = fix.loop;
	repo.pool = db_pool_new(fix.loop, &orders_cfg, fix.metrics, &why);
	must(repo.pool);
	return 0;
}

static int schemas_down(void **state)
{
	db_pool_free(repo.pool);
	db_conn_free(orders_conn);
	db_conn_free(products_conn);
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
		random_placements_in_sql, schemas_up, schemas_down)};

	return run_db_tests("test_random_placement_db", tests, ARRAY_LEN(tests));
}
