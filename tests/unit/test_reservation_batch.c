/*
 * test_reservation_batch.c - reservations that share a transaction, against a
 * real server: each its own outcome, the same as one at a time.
 */
/* link: product-svc/reservation.c product-svc/reservation_plan.c product-svc/product.c */
/* link: product-svc/reservation_repo.c product-svc/reservation_moves_repo.c */
/* link: product-svc/reservation_move.c */
#include "batch.h"
#include "db_fixture.h"
#include "db_internal.h"
#include "product-svc/reservation_repo.h"

#define LINES_MAX 4
#define PRODUCTS  8
#define CROWD     60 /* most in one batch */
#define KEYS      5

static struct batch_stage *stage;
static struct db_conn *other; /* another client of the database */
static struct err why;

/* ---- requests ---- */

struct request {
	struct reserve reserve;
	struct reservation res;
	struct reservation_line lines[LINES_MAX];
	struct err err;
	bool failed;
};

static void make_id(char *dst, const char *stem, unsigned n)
{
	snprintf(dst, ID_HEX_LEN + 1, "%.4s%028x", stem, n);
}

static void request(struct request *r, const char *id, unsigned key)
{
	memset(r, 0, sizeof(*r));
	r->reserve.res = &r->res;
	r->reserve.owner = r;
	r->res.lines = r->lines;
	r->res.ttl_s = 100;
	snprintf(r->res.id, sizeof(r->res.id), "%s", id);
	if (key)
		snprintf(r->res.key_hash, sizeof(r->res.key_hash), "%064x", key);
}

static void want(struct request *r, const char *product, int64_t quantity)
{
	struct reservation_line *line = &r->lines[r->res.n_lines++];

	snprintf(line->product_id, sizeof(line->product_id), "%s", product);
	line->quantity = quantity;
}

static void simple(struct request *r, unsigned id, unsigned key, const char *product,
		   int64_t quantity)
{
	char text[ID_HEX_LEN + 1];

	make_id(text, "aaaa", id);
	request(r, text, key);
	want(r, product, quantity);
}

static void reserved(const struct err *err, void *arg)
{
	struct request *r = ((struct reserve *)arg)->owner;

	r->failed = err != NULL;
	r->err = err ? *err : (struct err){0};
	job_ended(NULL, NULL);
}

static void add(struct batch_stage *where, struct request *r)
{
	fix.pending++;
	reservation_repo_reserve(where, &r->reserve, reserved);
}

/* ---- the database ---- */

static void sql(const char *text)
{
	must(db_exec_text(other, text, NULL, 0, &why));
}

static void empty_tables(void)
{
	sql("DELETE FROM reservation_items");
	sql("DELETE FROM reservations");
	sql("DELETE FROM products");
}

static void product(const char *id, int64_t stock)
{
	must(db_exec(other, &why,
		     "INSERT INTO products (id, name, description, category, price,"
		     " stock, version, created_at, updated_at) VALUES (?, ?, '', 'c',"
		     " 2.50, ?, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
		     DB_Z(id), DB_Z(id), DB_I(stock)));
}

static int64_t stock_of(const char *id)
{
	struct db_rows *rows;
	int64_t stock;

	must(db_query(other, &rows, &why, "SELECT stock FROM products WHERE id = ?",
		      DB_Z(id)));
	stock = db_int(rows, 0, 0);
	db_rows_free(rows);
	return stock;
}

static void new_stages(unsigned batch)
{
	struct reserve_limits limits = {.lanes = 1, .batch = batch, .queue = 1000};

	batch_free(stage);
	stage = reservation_repo_stage(fix.loop, fix.pool, &limits, NULL, &why);
	must(stage);
}

static int schema_up(void **state)
{
	struct db_conn *conn;

	if (setup(state) != 0)
		return -1;
	conn = db_conn_open(&fix.cfg, &why);
	must(conn && db_migrate(conn, "product-svc/migrations", &why));
	db_conn_free(conn);
	other = db_conn_open(&fix.cfg, &why);
	must(other);
	empty_tables();
	product("block", 1000000);
	new_stages(64);
	return 0;
}

static int schema_down(void **state)
{
	batch_free(stage);
	stage = NULL;
	db_conn_free(other);
	return teardown(state);
}

/* The lane is woken at the end of the loop's turn. */
static void begin(struct request *r)
{
	add(stage, r);
	event_base_loop(loop_base(fix.loop), EVLOOP_NONBLOCK);
}

/* Runs them as one batch: a first one is held up until all of them wait. */
static void run_together(struct request *r, size_t n)
{
	static unsigned turn;
	struct request first;
	char id[ID_HEX_LEN + 1];

	make_id(id, "bbbb", turn++);
	request(&first, id, 0);
	want(&first, "block", 1);
	sql("SET autocommit = 0"); /* MySQL prepares no BEGIN */
	sql("UPDATE products SET stock = stock WHERE id = 'block'");
	begin(&first);
	while (number(other, "SELECT COUNT(*) FROM information_schema.processlist"
			     " WHERE info LIKE 'SELECT id, name%FOR UPDATE'") == 0)
		usleep(1000);
	for (size_t i = 0; i < n; i++)
		add(stage, &r[i]);
	sql("COMMIT");
	sql("SET autocommit = 1");
	loop_run(fix.loop);
	must(!first.failed && first.reserve.end == RESERVE_OK);
}

/* ---- every outcome in one batch ---- */

static void ends(const struct request *r, enum reserve_end end, bool replayed)
{
	if (r->failed || r->reserve.end != end || r->reserve.replayed != replayed)
		fail_msg("%s: end %d replayed %d, not %d %d; %s", r->res.id,
			 (int)r->reserve.end, r->reserve.replayed, (int)end, replayed,
			 r->err.text);
}

static void release_id(const char *id)
{
	struct release release = {0};

	str_copy(release.id, sizeof(release.id), str_from(id));
	fix.pending++;
	reservation_repo_release(fix.pool, &release, job_ended);
	loop_run(fix.loop);
	must(fix.last.code == ERR_NONE && release.state == RESERVATION_RELEASED);
}

static void every_outcome(void **state)
{
	struct request old[3], r[14];

	(void)state;
	product("A", 10);
	product("B", 5);
	for (unsigned i = 0; i < 3; i++)
		simple(&old[i], 900 + i, i == 2 ? 7 : 0, i == 2 ? "B" : "A", 1 + i);
	run_together(old, 3); /* A 7, B 2 */
	release_id(old[1].res.id);
	assert_int_equal(stock_of("A"), 9);

	simple(&r[0], 1, 0, "A", 4);       /* A 5 */
	simple(&r[1], 2, 0, "A", 6);       /* too many */
	simple(&r[2], 3, 0, "nothing", 1); /* no such product */
	simple(&r[3], 4, 7, "B", 3);       /* its twin holds three of B */
	simple(&r[4], 5, 8, "B", 3);       /* another one's twin */
	simple(&r[5], 900, 0, "A", 1);     /* stored: the same */
	simple(&r[6], 901, 0, "A", 2);     /* stored: released */
	simple(&r[7], 902, 7, "B", 9);     /* stored: other lines */
	simple(&r[8], 1, 0, "A", 4);       /* twice in this batch */
	simple(&r[9], 1, 0, "A", 3);       /* and with other lines */
	simple(&r[10], 2, 0, "A", 6);      /* refused twice */
	simple(&r[11], 6, 9, "A", 5);      /* A 0 */
	simple(&r[12], 7, 9, "A", 2);      /* the one before it holds them */
	simple(&r[13], 8, 0, "A", 1);
	want(&r[13], "B", 1); /* all or none */
	run_together(r, 14);

	ends(&r[0], RESERVE_OK, false);
	ends(&r[1], RESERVE_SHORT, false);
	assert_int_equal(r[1].lines[0].available, 5);
	ends(&r[2], RESERVE_NO_PRODUCT, false);
	ends(&r[3], RESERVE_IN_PROGRESS, false);
	ends(&r[4], RESERVE_SHORT, false);
	ends(&r[5], RESERVE_OK, true);
	ends(&r[6], RESERVE_RELEASED, false);
	ends(&r[7], RESERVE_DIFFERS, false);
	ends(&r[8], RESERVE_OK, true);
	ends(&r[9], RESERVE_DIFFERS, false);
	ends(&r[10], RESERVE_SHORT, false);
	ends(&r[11], RESERVE_OK, false);
	ends(&r[12], RESERVE_IN_PROGRESS, false);
	ends(&r[13], RESERVE_SHORT, false);
	assert_int_equal(r[8].res.expires_at, r[0].res.expires_at);
	assert_int_equal(r[8].lines[0].unit_price, 250);
	assert_string_equal(r[5].lines[0].name, "A");
	assert_int_equal(stock_of("A"), 0);
	assert_int_equal(stock_of("B"), 2);
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservations"
				       " WHERE id LIKE 'aaaa%'"),
			 5);
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservation_items"
				       " WHERE reservation_id LIKE 'aaaa%'"),
			 5);
}

/* ---- against a model that takes one at a time ---- */

struct stored {
	char id[ID_HEX_LEN + 1];
	unsigned key;
	bool released;
	unsigned n;
	unsigned product[LINES_MAX];
	int64_t quantity[LINES_MAX];
};

static struct {
	int64_t stock[PRODUCTS];
	struct stored all[20000];
	size_t n;
} model;

struct answer {
	enum reserve_end end;
	bool replayed, decided;
	int64_t available;
};

static unsigned number_of(const struct reservation_line *line)
{
	return (unsigned)(line->product_id[1] - '0');
}

static struct stored *stored_as(const char *id)
{
	for (size_t i = 0; i < model.n; i++) {
		if (strcmp(model.all[i].id, id) == 0)
			return &model.all[i];
	}
	return NULL;
}

static bool same_request(const struct request *a, const struct request *b, bool key)
{
	if (a->res.n_lines != b->res.n_lines ||
	    (key && strcmp(a->res.key_hash, b->res.key_hash) != 0))
		return false;
	for (unsigned i = 0; i < a->res.n_lines; i++) {
		if (strcmp(a->lines[i].product_id, b->lines[i].product_id) != 0 ||
		    a->lines[i].quantity != b->lines[i].quantity)
			return false;
	}
	return true;
}

static bool same_as_stored(const struct request *r, const struct stored *s)
{
	if (r->res.n_lines != s->n)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		if (number_of(&r->lines[i]) != s->product[i] ||
		    r->lines[i].quantity != s->quantity[i])
			return false;
	}
	return true;
}

static int64_t model_held(unsigned key, unsigned p)
{
	int64_t held = 0;

	for (size_t i = 0; key && i < model.n; i++) {
		const struct stored *s = &model.all[i];

		for (unsigned k = 0; k < s->n; k++) {
			if (s->key == key && !s->released && s->product[k] == p)
				held += s->quantity[k];
		}
	}
	return held;
}

static unsigned key_of(const struct request *r)
{
	return (unsigned)strtoul(r->res.key_hash, NULL, 16);
}

static void model_store(const struct request *r)
{
	struct stored *s = &model.all[model.n++];

	must(model.n < sizeof(model.all) / sizeof(model.all[0]));
	snprintf(s->id, sizeof(s->id), "%s", r->res.id);
	s->key = key_of(r);
	s->n = r->res.n_lines;
	for (unsigned i = 0; i < s->n; i++) {
		s->product[i] = number_of(&r->lines[i]);
		s->quantity[i] = r->lines[i].quantity;
		model.stock[s->product[i]] -= s->quantity[i];
	}
}

static struct answer model_reserve(const struct request *r)
{
	const struct stored *s = stored_as(r->res.id);
	struct answer a = {.end = RESERVE_OK, .decided = true};
	bool twin = true, is_short = false;

	if (s) {
		a.end = s->released            ? RESERVE_RELEASED
			: same_as_stored(r, s) ? RESERVE_OK
					       : RESERVE_DIFFERS;
		a.replayed = a.end == RESERVE_OK;
		return a;
	}
	for (unsigned i = 0; i < r->res.n_lines; i++) {
		unsigned p = number_of(&r->lines[i]);

		if (p >= PRODUCTS)
			return (struct answer){.end = RESERVE_NO_PRODUCT,
					       .decided = true};
		if (model.stock[p] < r->lines[i].quantity && !is_short) {
			is_short = true;
			a.available = model.stock[p];
		}
		twin = twin &&
		       model.stock[p] + model_held(key_of(r), p) >= r->lines[i].quantity;
	}
	if (is_short)
		a.end = twin && key_of(r) ? RESERVE_IN_PROGRESS : RESERVE_SHORT;
	else
		model_store(r);
	return a;
}

/* In order of arrival; only what asks something else under an id that was refused
 * in the same breath comes after the others. */
static void model_batch(const struct request *r, size_t n, struct answer *a)
{
	bool seen[CROWD], left = true;

	memset(a, 0, n * sizeof(*a));
	while (left) {
		left = false;
		memset(seen, 0, sizeof(seen));
		for (size_t i = 0; i < n; i++) {
			size_t first = i;

			for (size_t k = 0; k < i; k++) {
				if (seen[k] && strcmp(r[k].res.id, r[i].res.id) == 0)
					first = k;
			}
			if (a[i].decided)
				continue;
			if (first == i || stored_as(r[i].res.id)) {
				seen[i] = true;
				a[i] = model_reserve(&r[i]);
			} else if (same_request(&r[i], &r[first], true)) {
				a[i] = a[first];
			} else {
				left = true;
			}
		}
	}
}

static unsigned dice(unsigned n)
{
	return (unsigned)random() % n;
}

static void random_request(struct request *all, size_t at)
{
	static unsigned serial;
	char id[ID_HEX_LEN + 1];
	unsigned p = dice(3);

	make_id(id, "aaaa", serial++);
	if (model.n && dice(12) == 0)
		snprintf(id, sizeof(id), "%s", model.all[dice((unsigned)model.n)].id);
	if (at && dice(6) == 0) {
		const struct request *twin = &all[dice((unsigned)at)];

		snprintf(id, sizeof(id), "%s", twin->res.id);
		if (dice(2)) {
			request(&all[at], id, key_of(twin));
			for (unsigned i = 0; i < twin->res.n_lines; i++)
				want(&all[at], twin->lines[i].product_id,
				     twin->lines[i].quantity);
			return;
		}
	}
	request(&all[at], id, dice(3) ? 0 : 1 + dice(KEYS));
	for (unsigned n = 1 + dice(3); n && p < PRODUCTS + 1; n--) {
		char name[8];

		/* The last one does not exist. */
		snprintf(name, sizeof(name), "p%u", p);
		if (p < PRODUCTS || dice(4) == 0 || !all[at].res.n_lines)
			want(&all[at], name, 1 + dice(4));
		p += 1 + dice(4);
	}
}

static void compare_answers(const struct request *r, size_t n, const struct answer *a)
{
	for (size_t i = 0; i < n; i++) {
		ends(&r[i], a[i].end, a[i].replayed);
		if (a[i].end == RESERVE_SHORT)
			assert_int_equal(r[i].lines[r[i].reserve.line].available,
					 a[i].available);
	}
}

static void compare_tables(void)
{
	int64_t items = 0, released = 0;

	for (unsigned p = 0; p < PRODUCTS; p++) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", p);
		assert_int_equal(stock_of(name), model.stock[p]);
	}
	for (size_t i = 0; i < model.n; i++) {
		items += model.all[i].n;
		released += model.all[i].released;
	}
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservations"
				       " WHERE id LIKE 'aaaa%'"),
			 model.n);
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservations"
				       " WHERE state = 'released'"),
			 released);
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservation_items"
				       " WHERE reservation_id LIKE 'aaaa%'"),
			 items);
	assert_int_equal(number(other,
				"SELECT COUNT(*) FROM products p WHERE id LIKE 'p%' AND"
				" stock + (SELECT COALESCE(SUM(i.quantity), 0) FROM"
				" reservation_items i JOIN reservations r ON"
				" r.id = i.reservation_id WHERE i.product_id = p.id AND"
				" r.state = 'pending') <> p.version"),
			 0);
}

/* Goods arrive, and some reservations end. `version` counts what ever came. */
static void between_batches(void)
{
	for (unsigned p = 0; p < PRODUCTS; p++) {
		int64_t more = dice(3) ? 0 : dice(30);
		char name[8];

		snprintf(name, sizeof(name), "p%u", p);
		model.stock[p] += more;
		must(db_exec(other, &why,
			     "UPDATE products SET stock = stock + ?,"
			     " version = version + ? WHERE id = ?",
			     DB_I(more), DB_I(more), DB_Z(name)));
	}
	for (unsigned i = 0; model.n && i < 3; i++) {
		struct stored *s = &model.all[dice((unsigned)model.n)];

		release_id(s->id);
		for (unsigned k = 0; k < s->n && !s->released; k++)
			model.stock[s->product[k]] += s->quantity[k];
		s->released = true;
	}
}

static void like_one_at_a_time(void **state)
{
	static struct request r[CROWD];
	struct answer a[CROWD];

	(void)state;
	srandom(random_seed());
	for (unsigned p = 0; p < PRODUCTS; p++) {
		char name[8];

		snprintf(name, sizeof(name), "p%u", p);
		product(name, 0);
		must(db_exec(other, &why, "UPDATE products SET version = 0 WHERE id = ?",
			     DB_Z(name)));
	}
	for (unsigned round = 0; round < 120; round++) {
		size_t n = 1 + dice(CROWD);

		between_batches();
		for (size_t i = 0; i < n; i++)
			random_request(r, i);
		model_batch(r, n, a);
		run_together(r, n);
		compare_answers(r, n, a);
	}
	compare_tables();
}

/* ---- many at once ---- */

#define BUYERS 900

static size_t count_end(const struct request *r, size_t n, enum reserve_end end)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += !r[i].failed && r[i].reserve.end == end;
	return k;
}

/* Two programs with two lanes each, all after one product. */
static void a_hot_product(void **state)
{
	static struct request r[BUYERS];
	struct reserve_limits limits = {.lanes = 2, .batch = 16, .queue = BUYERS};
	struct batch_stage *stages[2];

	(void)state;
	product("hot", BUYERS / 2);
	product("warm", BUYERS);
	for (unsigned i = 0; i < 2; i++) {
		stages[i] =
			reservation_repo_stage(fix.loop, fix.pool, &limits, NULL, &why);
		must(stages[i]);
	}
	for (unsigned i = 0; i < BUYERS; i++) {
		simple(&r[i], i, 0, "hot", 1);
		if (i % 3 == 0)
			want(&r[i], "warm", 1);
		add(stages[i % 2], &r[i]);
	}
	loop_run(fix.loop);
	for (unsigned i = 0; i < 2; i++)
		batch_free(stages[i]);
	assert_int_equal(count_end(r, BUYERS, RESERVE_OK), BUYERS / 2);
	assert_int_equal(count_end(r, BUYERS, RESERVE_SHORT), BUYERS / 2);
	assert_int_equal(stock_of("hot"), 0);
	assert_int_equal(number(other, "SELECT SUM(quantity) FROM reservation_items"
				       " WHERE product_id = 'hot'"),
			 BUYERS / 2);
	assert_int_equal(number(other, "SELECT (SELECT stock FROM products WHERE"
				       " id = 'warm') + SUM(quantity)"
				       " FROM reservation_items"
				       " WHERE product_id = 'warm'"),
			 BUYERS);
}

static void ask_again(struct request *r, size_t n)
{
	for (unsigned tries = 0; tries < 100; tries++) {
		unsigned failed = 0;

		for (size_t i = 0; i < n; i++) {
			if (!r[i].failed)
				continue;
			failed++;
			add(stage, &r[i]);
		}
		if (!failed)
			return;
		loop_run(fix.loop);
		usleep(50 * 1000);
	}
	fail_msg("no answer: %s", r[0].err.text);
}

/* The server stops while transactions commit: asked again, every id tells. */
static void the_server_goes_away(void **state)
{
	static struct request r[BUYERS];

	(void)state;
	new_stages(8);
	product("C", 10 * BUYERS);
	for (unsigned i = 0; i < BUYERS; i++) {
		simple(&r[i], i, 0, "C", 2);
		add(stage, &r[i]);
	}
	usleep(20 * 1000);
	db_conn_free(other);
	run_command("TEST_DB_STOP");
	loop_run(fix.loop);
	run_command("TEST_DB_START");
	must(wait_ready(10000));
	other = db_conn_open(&fix.cfg, &why);
	must(other);
	ask_again(r, BUYERS);
	assert_int_equal(count_end(r, BUYERS, RESERVE_OK), BUYERS);
	assert_int_equal(stock_of("C"), 8 * BUYERS);
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservation_items"
				       " WHERE product_id = 'C'"),
			 BUYERS);
}

/* ---- a stored id that cannot be read ---- */

/* ERR_BUSY would say that nothing is held under it. */
static void an_unread_reservation_may_be_held(void **state)
{
	static const char reading[] =
		"SELECT COALESCE(MAX(id), 0) FROM information_schema.processlist"
		" WHERE state LIKE 'Waiting for table%'";
	struct db_conn *locker = db_conn_open(&fix.cfg, &why);
	struct request first, again;
	int64_t id = 0;

	(void)state;
	simple(&first, 1, 0, "block", 1);
	add(stage, &first);
	loop_run(fix.loop);
	ends(&first, RESERVE_OK, false);
	must(locker);
	/* MySQL prepares no such statement. */
	must(db_conn_command(locker, "LOCK TABLES products WRITE", &why));
	simple(&again, 1, 0, "block", 1);
	begin(&again);
	for (int i = 0; i < 2000 && !id; i++) {
		usleep(1000);
		id = number(other, reading);
	}
	must(id);
	kill_connection(id);
	loop_run(fix.loop);
	db_conn_free(locker);
	assert_true(again.failed);
	assert_int_equal(again.err.code, ERR_TIMEOUT);
}

/* ---- moves ---- */

static struct order_move move_of(const struct request *r, enum move_kind kind,
				 int64_t order_id)
{
	struct order_move move = {.kind = kind, .order_id = order_id};

	str_copy(move.reservation_id, sizeof(move.reservation_id), str_from(r->res.id));
	return move;
}

static void move_all(struct order_moves *moves)
{
	fix.pending++;
	reservation_repo_move(fix.pool, moves, job_ended);
	loop_run(fix.loop);
	assert_int_equal(fix.last.code, ERR_NONE);
}

#define MOVED 150

/* Confirmed, returned and released in one transaction, and all of it again. */
static void moves(void **state)
{
	static struct request r[MOVED];
	static struct order_move all[2 * MOVED];
	struct order_moves m = {.moves = all};

	(void)state;
	product("M", 1000);
	product("N", 1000);
	for (unsigned i = 0; i < MOVED; i++) {
		simple(&r[i], 7 * i % MOVED, 0, "M", 1);
		want(&r[i], "N", 2);
		add(stage, &r[i]);
	}
	loop_run(fix.loop);
	assert_int_equal(stock_of("N"), 1000 - 2 * MOVED);
	for (unsigned again = 0; again < 2; again++) {
		m.n = 0;
		for (unsigned i = 0; i < MOVED; i++) {
			all[m.n++] = move_of(&r[i], MOVE_CONFIRM, i + 1);
			if (i % 3 == 0)
				all[m.n++] = move_of(&r[i], MOVE_RETURN, i + 1);
			if (i % 3 == 1)
				all[m.n - 1].kind = MOVE_RELEASE;
		}
		all[m.n] = all[0];
		make_id(all[m.n++].reservation_id, "cccc", 1);
		move_all(&m);
		assert_int_equal(m.unknown, 1);
		assert_int_equal(m.lost, 0);
		assert_int_equal(m.changed[MOVE_CONFIRM], again ? 0 : MOVED / 3);
		assert_int_equal(m.changed[MOVE_RETURN], again ? 0 : MOVED / 3);
		assert_int_equal(m.changed[MOVE_RELEASE], again ? 0 : MOVED / 3);
		assert_int_equal(stock_of("M"), 1000 - MOVED / 3);
		assert_int_equal(stock_of("N"), 1000 - 2 * MOVED / 3);
	}
	assert_int_equal(number(other, "SELECT COUNT(*) FROM reservations"
				       " WHERE state = 'confirmed' AND order_id > 0"),
			 MOVED / 3);
	all[0] = move_of(&r[1], MOVE_CONFIRM, 5);
	m.n = 1;
	move_all(&m);
	assert_int_equal(m.lost, 1);
}

#define BATCH_TEST(fn) cmocka_unit_test_setup_teardown(fn, schema_up, schema_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BATCH_TEST(every_outcome),
		BATCH_TEST(like_one_at_a_time),
		BATCH_TEST(a_hot_product),
		BATCH_TEST(moves),
		BATCH_TEST(the_server_goes_away),
		BATCH_TEST(an_unread_reservation_may_be_held),
	};

	return run_db_tests("test_reservation_batch", tests, ARRAY_LEN(tests));
}
