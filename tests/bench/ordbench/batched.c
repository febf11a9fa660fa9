/*
 * batched.c - what waited while a transaction committed joins the next one.
 *
 * Two stages, each with its own threads and connections: reserve, then record.
 */
#include <stdlib.h>
#include <string.h>

#include "ordbench.h"

struct stage {
	struct bench *bench;
	MYSQL *conn;
	struct text text;
	struct order *orders[BATCH_MAX];
	int n;
};

static const char *comma(int i)
{
	return i ? ", " : "";
}

/* ---- transaction 1: reserve; orders sorted by product, then by arrival ---- */

static int by_product(const void *a, const void *b)
{
	const struct order *x = *(struct order *const *)a, *y = *(struct order *const *)b;

	if (x->product != y->product)
		return x->product < y->product ? -1 : 1;
	return x->n < y->n ? -1 : 1;
}

struct stocks {
	int n, product[BATCH_MAX];
	long long stock[BATCH_MAX];
};

static void on_stock(void *arg, MYSQL_ROW row)
{
	struct stocks *stocks = arg;

	stocks->product[stocks->n] = (int)strtol(row[0], NULL, 10);
	stocks->stock[stocks->n++] = strtoll(row[1], NULL, 10);
}

static int lock_stocks(struct stage *stage, struct stocks *stocks)
{
	struct text *text = &stage->text;

	text->len = 0;
	text_add(text, "START TRANSACTION;SELECT id, stock FROM bench_product.products"
		       " WHERE id IN (");
	for (int i = 0; i < stage->n; i++)
		if (i == 0 || stage->orders[i]->product != stage->orders[i - 1]->product)
			text_add(text, "%s%d", comma(i), stage->orders[i]->product);
	text_add(text, ") ORDER BY id FOR UPDATE");
	return sql_run(stage->bench, stage->conn, text->at, text->len, on_stock, stocks);
}

/* Who comes first gets it. */
static int decide(struct stage *stage, struct stocks *stocks)
{
	int at = 0, taken = 0;

	for (int i = 0; i < stage->n; i++) {
		struct order *order = stage->orders[i];

		while (at < stocks->n && stocks->product[at] < order->product)
			at++;
		order->result = RESULT_SHORT;
		if (at == stocks->n || stocks->product[at] != order->product ||
		    stocks->stock[at] < order->quantity)
			continue;
		stocks->stock[at] -= order->quantity;
		order->result = RESULT_OK;
		taken++;
	}
	return taken;
}

static void write_reservations(struct stage *stage)
{
	struct text *text = &stage->text;
	int n = 0;

	text->len = 0;
	text_add(text, "INSERT INTO bench_product.reservations"
		       " (id, product_id, quantity, state, expires_at) VALUES ");
	for (int i = 0; i < stage->n; i++) {
		const struct order *order = stage->orders[i];

		if (order->result == RESULT_OK)
			text_add(text, "%s('%s', %d, %d, 1, NOW() + INTERVAL 10 MINUTE)",
				 comma(n++), order->reservation, order->product,
				 order->quantity);
	}
}

/* UPDATE … CASE id WHEN 7 THEN 3 …: the new stocks are known, the rows are locked. */
static void write_stocks(struct stage *stage, const struct stocks *stocks)
{
	struct text *text = &stage->text;

	text_add(text, ";UPDATE bench_product.products SET stock = CASE id");
	for (int i = 0; i < stocks->n; i++)
		text_add(text, " WHEN %d THEN %lld", stocks->product[i],
			 stocks->stock[i]);
	text_add(text, " END WHERE id IN (");
	for (int i = 0; i < stocks->n; i++)
		text_add(text, "%s%d", comma(i), stocks->product[i]);
	text_add(text, ");COMMIT");
}

static int reserve(struct stage *stage)
{
	struct stocks stocks = {0};
	int error = lock_stocks(stage, &stocks);

	if (error)
		return error;
	if (decide(stage, &stocks) == 0)
		return sql_text(stage->bench, stage->conn, "ROLLBACK");
	write_reservations(stage);
	write_stocks(stage, &stocks);
	return sql_run(stage->bench, stage->conn, stage->text.at, stage->text.len, NULL,
		       NULL);
}

/* ---- transaction 2: record; orders sorted by user, then by arrival ---- */

static int by_user(const void *a, const void *b)
{
	const struct order *x = *(struct order *const *)a, *y = *(struct order *const *)b;

	if (x->user != y->user)
		return x->user < y->user ? -1 : 1;
	return x->n < y->n ? -1 : 1;
}

/* One past the last order of the user at `i`. */
static int end_of_user(const struct stage *stage, int i)
{
	int end = i;

	while (end < stage->n && stage->orders[end]->user == stage->orders[i]->user)
		end++;
	return end;
}

/* The user's last number is known now: the orders before it count down. */
static void on_seq(void *arg, MYSQL_ROW row)
{
	struct stage *stage = arg;
	int user = (int)strtol(row[0], NULL, 10), i = 0, end;
	long long seq = strtoll(row[1], NULL, 10);

	while (i < stage->n && stage->orders[i]->user != user)
		i++;
	end = end_of_user(stage, i);
	for (int k = i; k < end; k++)
		stage->orders[k]->seq = seq - (end - 1 - k);
}

static int take_numbers(struct stage *stage)
{
	struct text *text = &stage->text;

	text->len = 0;
	text_add(text, "START TRANSACTION;INSERT INTO bench_order.outcomes VALUES ");
	for (int i = 0; i < stage->n; i++)
		text_add(text, "%s('%s', 'committed')", comma(i),
			 stage->orders[i]->reservation);
	text_add(text, ";INSERT INTO bench_order.user_seq (user_id, seq) VALUES ");
	for (int i = 0; i < stage->n; i = end_of_user(stage, i))
		text_add(text, "%s(%d, %d)", comma(i), stage->orders[i]->user,
			 end_of_user(stage, i) - i);
	text_add(text,
		 " ON DUPLICATE KEY UPDATE seq = seq + VALUES(seq);"
		 "SELECT user_id, seq FROM bench_order.user_seq WHERE user_id IN (");
	for (int i = 0; i < stage->n; i = end_of_user(stage, i))
		text_add(text, "%s%d", comma(i), stage->orders[i]->user);
	text_add(text, ")");
	return sql_run(stage->bench, stage->conn, text->at, text->len, on_seq, stage);
}

static void write_orders(struct stage *stage)
{
	struct text *text = &stage->text;

	text->len = 0;
	text_add(text,
		 "INSERT INTO bench_order.orders (user_id, seq, total_price, status,"
		 " idempotency_key, body_hash, reservation_id, created_at) VALUES ");
	for (int i = 0; i < stage->n; i++) {
		const struct order *o = stage->orders[i];

		text_add(text, "%s(%d, %lld, %d.%02d, 1, '%s', '%s', '%s', NOW(3))",
			 comma(i), o->user, o->seq, TOTAL_ARGS(o), o->key, o->hash,
			 o->reservation);
	}
}

/* The ids of a plain multi-row INSERT follow each other from LAST_INSERT_ID(). */
static void write_items_and_events(struct stage *stage)
{
	struct text *text = &stage->text;

	text_add(text, ";SET @o = LAST_INSERT_ID();"
		       "INSERT INTO bench_order.order_items VALUES ");
	for (int i = 0; i < stage->n; i++)
		text_add(text, "%s(@o + %d, 1, %d, %d, 19.90)", comma(i), i,
			 stage->orders[i]->product, stage->orders[i]->quantity);
	text_add(text, ";INSERT INTO bench_order.outbox (user_id, payload) VALUES ");
	for (int i = 0; i < stage->n; i++) {
		const struct order *o = stage->orders[i];

		text_add(text,
			 "%s(%d, CONCAT('" PAYLOAD_HEAD "', @o + %d, '," PAYLOAD_TAIL
			 "'))",
			 comma(i), o->user, i, o->user, o->product, o->quantity,
			 TOTAL_ARGS(o), o->reservation);
	}
	text_add(text, ";COMMIT");
}

static int record(struct stage *stage)
{
	int error = take_numbers(stage);

	if (error)
		return error;
	write_orders(stage);
	write_items_and_events(stage);
	return sql_run(stage->bench, stage->conn, stage->text.at, stage->text.len, NULL,
		       NULL);
}

/* ---- the threads ---- */

typedef int (*transaction)(struct stage *stage);
typedef int (*sorting)(const void *a, const void *b);

static void run_batch(struct stage *stage, transaction run)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		error = run(stage);
		if (!error)
			break;
		sql_text(stage->bench, stage->conn, "ROLLBACK");
		if (!sql_is_retryable(error))
			break;
		stage->bench->count.retries++;
	}
	for (int i = 0; error && i < stage->n; i++)
		stage->orders[i]->result = RESULT_FAIL;
	stage->bench->count.batches++;
	stage->bench->count.members += stage->n;
}

static void run_stage(struct bench *bench, struct queue *from, struct queue *to,
		      sorting compare, transaction run)
{
	struct stage stage = {.bench = bench};

	mysql_thread_init();
	stage.conn = sql_connect(&bench->opt);
	while (!bench->stop) {
		stage.n = queue_pop(bench, from, stage.orders, BATCH_MAX);
		if (stage.n == 0)
			continue;
		qsort(stage.orders, (size_t)stage.n, sizeof(stage.orders[0]), compare);
		run_batch(&stage, run);
		for (int i = 0; i < stage.n; i++) {
			if (to && stage.orders[i]->result == RESULT_OK)
				queue_push(to, stage.orders[i]);
			else
				order_complete(bench, stage.orders[i]);
		}
	}
	mysql_close(stage.conn);
	free(stage.text.at);
	mysql_thread_end();
}

void *reserve_thread(void *arg)
{
	struct bench *bench = arg;

	run_stage(bench, &bench->arrived, &bench->reserved, by_product, reserve);
	return NULL;
}

void *record_thread(void *arg)
{
	struct bench *bench = arg;

	run_stage(bench, &bench->reserved, NULL, by_user, record);
	return NULL;
}
