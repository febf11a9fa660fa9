/*
 * plain.c - one order a transaction: what a careful loop without batching does.
 *
 * Prepared statements (a round trip each), or each transaction as one packet of text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ordbench.h"

enum {
	TAKE_STOCK,
	INSERT_RESERVATION,
	INSERT_OUTCOME,
	NEXT_SEQ,
	INSERT_ORDER,
	INSERT_ITEM,
	INSERT_OUTBOX,
	COMMIT,
	STATEMENTS
};

static const char *const statements[STATEMENTS] = {
	[TAKE_STOCK] = "UPDATE bench_product.products SET stock = stock - ? "
		       "WHERE id = ? AND stock >= ?",
	[INSERT_RESERVATION] =
		"INSERT INTO bench_product.reservations (id, product_id, quantity, state,"
		" expires_at) VALUES (?, ?, ?, 1, NOW() + INTERVAL 10 MINUTE)",
	[INSERT_OUTCOME] = "INSERT INTO bench_order.outcomes VALUES (?, 'committed')",
	[NEXT_SEQ] = "INSERT INTO bench_order.user_seq (user_id, seq)"
		     " VALUES (?, LAST_INSERT_ID(1))"
		     " ON DUPLICATE KEY UPDATE seq = LAST_INSERT_ID(seq + 1)",
	[INSERT_ORDER] =
		"INSERT INTO bench_order.orders (user_id, seq, total_price, status,"
		" idempotency_key, body_hash, reservation_id, created_at)"
		" VALUES (?, ?, ?, 1, ?, ?, ?, NOW(3))",
	[INSERT_ITEM] = "INSERT INTO bench_order.order_items VALUES (?, 1, ?, ?, 19.90)",
	[INSERT_OUTBOX] =
		"INSERT INTO bench_order.outbox (user_id, payload) VALUES (?, ?)",
	[COMMIT] = "COMMIT",
};

struct plain {
	struct bench *bench;
	MYSQL *conn;
	MYSQL_STMT *stmt[STATEMENTS];
	struct text text;
	struct order *order;
};

/* ---- prepared ---- */

static void prepare(struct plain *plain)
{
	for (int i = 0; i < STATEMENTS; i++) {
		plain->stmt[i] = mysql_stmt_init(plain->conn);
		if (mysql_stmt_prepare(plain->stmt[i], statements[i],
				       strlen(statements[i])) == 0)
			continue;
		fprintf(stderr, "ordbench: %s\n", mysql_stmt_error(plain->stmt[i]));
		exit(1);
	}
}

static MYSQL_BIND number(long long *value)
{
	return (MYSQL_BIND){.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = value};
}

static MYSQL_BIND string(char *value)
{
	return (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING,
			    .buffer = value,
			    .buffer_length = strlen(value)};
}

static int execute(struct plain *plain, int which, MYSQL_BIND *binds)
{
	MYSQL_STMT *stmt = plain->stmt[which];

	plain->bench->count.trips++;
	if (binds && mysql_stmt_bind_param(stmt, binds))
		return (int)mysql_stmt_errno(stmt);
	return mysql_stmt_execute(stmt) ? (int)mysql_stmt_errno(stmt) : 0;
}

static int reserve_prepared(struct plain *plain)
{
	struct order *order = plain->order;
	long long quantity = order->quantity, product = order->product;
	MYSQL_BIND stock[] = {number(&quantity), number(&product), number(&quantity)};
	MYSQL_BIND row[] = {string(order->reservation), number(&product),
			    number(&quantity)};
	int error = execute(plain, TAKE_STOCK, stock);

	if (error)
		return error;
	if (mysql_stmt_affected_rows(plain->stmt[TAKE_STOCK]) != 1) {
		order->result = RESULT_SHORT;
		return sql_text(plain->bench, plain->conn, "ROLLBACK");
	}
	error = execute(plain, INSERT_RESERVATION, row);
	return error ? error : execute(plain, COMMIT, NULL);
}

static int insert_order(struct plain *plain, long long *user)
{
	struct order *order = plain->order;
	char total[32];
	MYSQL_BIND binds[] = {number(user),        number(&order->seq),
			      string(total),       string(order->key),
			      string(order->hash), string(order->reservation)};
	int error;

	snprintf(total, sizeof(total), "%d.%02d", TOTAL_ARGS(order));
	binds[2].buffer_length = strlen(total);
	error = execute(plain, INSERT_ORDER, binds);
	order->id = (long long)mysql_stmt_insert_id(plain->stmt[INSERT_ORDER]);
	return error;
}

static int insert_item_and_event(struct plain *plain, long long *user)
{
	struct order *order = plain->order;
	long long product = order->product, quantity = order->quantity;
	char payload[600];
	MYSQL_BIND item[] = {number(&order->id), number(&product), number(&quantity)};
	MYSQL_BIND event[] = {number(user), string(payload)};
	int error = execute(plain, INSERT_ITEM, item);

	if (error)
		return error;
	event[1].buffer_length = (unsigned long)snprintf(
		payload, sizeof(payload), PAYLOAD_HEAD "%lld," PAYLOAD_TAIL, order->id,
		order->user, order->product, order->quantity, TOTAL_ARGS(order),
		order->reservation);
	return execute(plain, INSERT_OUTBOX, event);
}

static int record_prepared(struct plain *plain)
{
	struct order *order = plain->order;
	long long user = order->user;
	MYSQL_BIND outcome[] = {string(order->reservation)}, seq[] = {number(&user)};
	int error = execute(plain, INSERT_OUTCOME, outcome);

	if (!error)
		error = execute(plain, NEXT_SEQ, seq);
	if (error)
		return error;
	order->seq = (long long)mysql_stmt_insert_id(plain->stmt[NEXT_SEQ]);
	error = insert_order(plain, &user);
	if (!error)
		error = insert_item_and_event(plain, &user);
	return error ? error : execute(plain, COMMIT, NULL);
}

/* ---- one packet a transaction ---- */

static void on_reserved(void *arg, MYSQL_ROW row)
{
	struct order *order = arg;

	if (strtol(row[0], NULL, 10) != 1)
		order->result = RESULT_SHORT;
}

static int reserve_packet(struct plain *plain)
{
	const struct order *order = plain->order;
	struct text *text = &plain->text;

	text->len = 0;
	text_add(text,
		 "START TRANSACTION;"
		 "UPDATE bench_product.products SET stock = stock - %d"
		 " WHERE id = %d AND stock >= %d;"
		 "SET @taken = ROW_COUNT();"
		 "INSERT INTO bench_product.reservations"
		 " (id, product_id, quantity, state, expires_at)"
		 " SELECT '%s', %d, %d, 1, NOW() + INTERVAL 10 MINUTE FROM DUAL"
		 " WHERE @taken = 1;SELECT @taken;COMMIT",
		 order->quantity, order->product, order->quantity, order->reservation,
		 order->product, order->quantity);
	return sql_run(plain->bench, plain->conn, text->at, text->len, on_reserved,
		       plain->order);
}

static void on_recorded(void *arg, MYSQL_ROW row)
{
	struct order *order = arg;

	order->id = strtoll(row[0], NULL, 10);
	order->seq = strtoll(row[1], NULL, 10);
}

static int record_packet(struct plain *plain)
{
	const struct order *o = plain->order;
	struct text *text = &plain->text;

	text->len = 0;
	text_add(text,
		 "START TRANSACTION;"
		 "INSERT INTO bench_order.outcomes VALUES ('%s', 'committed');"
		 "INSERT INTO bench_order.user_seq (user_id, seq)"
		 " VALUES (%d, LAST_INSERT_ID(1))"
		 " ON DUPLICATE KEY UPDATE seq = LAST_INSERT_ID(seq + 1);"
		 "SET @s = LAST_INSERT_ID();",
		 o->reservation, o->user);
	text_add(text,
		 "INSERT INTO bench_order.orders (user_id, seq, total_price, status,"
		 " idempotency_key, body_hash, reservation_id, created_at)"
		 " VALUES (%d, @s, %d.%02d, 1, '%s', '%s', '%s', NOW(3));"
		 "SET @o = LAST_INSERT_ID();"
		 "INSERT INTO bench_order.order_items VALUES (@o, 1, %d, %d, 19.90);",
		 o->user, TOTAL_ARGS(o), o->key, o->hash, o->reservation, o->product,
		 o->quantity);
	text_add(text,
		 "INSERT INTO bench_order.outbox (user_id, payload) VALUES (%d,"
		 " CONCAT('" PAYLOAD_HEAD "', @o, '," PAYLOAD_TAIL "'));"
		 "SELECT @o, @s;COMMIT",
		 o->user, o->user, o->product, o->quantity, TOTAL_ARGS(o),
		 o->reservation);
	return sql_run(plain->bench, plain->conn, text->at, text->len, on_recorded,
		       plain->order);
}

/* ---- the thread ---- */

typedef int (*transaction)(struct plain *plain);

static bool run_transaction(struct plain *plain, transaction run)
{
	int error = 0;

	for (int i = 0; i < TRIES; i++) {
		error = run(plain);
		if (!error)
			break;
		sql_text(plain->bench, plain->conn, "ROLLBACK");
		if (!sql_is_retryable(error))
			break;
		plain->bench->count.retries++;
	}
	if (error)
		plain->order->result = RESULT_FAIL;
	plain->bench->count.batches++;
	plain->bench->count.members++;
	return !error && plain->order->result == RESULT_OK;
}

void *plain_thread(void *arg)
{
	struct bench *bench = arg;
	struct plain plain = {.bench = bench};
	bool prepared = bench->opt.prepared;

	mysql_thread_init();
	plain.conn = sql_connect(&bench->opt);
	if (prepared) {
		mysql_autocommit(plain.conn, 0);
		prepare(&plain);
	}
	while (!bench->stop) {
		if (!queue_pop(bench, &bench->arrived, &plain.order, 1))
			continue;
		if (run_transaction(&plain, prepared ? reserve_prepared : reserve_packet))
			run_transaction(&plain,
					prepared ? record_prepared : record_packet);
		order_complete(bench, plain.order);
	}
	mysql_close(plain.conn);
	free(plain.text.at);
	mysql_thread_end();
	return NULL;
}
