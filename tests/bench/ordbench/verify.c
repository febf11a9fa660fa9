/* verify.c - do the tables add up after the run?  A fast benchmark may not be a wrong
 * one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ordbench.h"

/*
 * Name and a number that must be 0.  A reservation without order is one whose order
 * was between the two transactions when the run ended; it stays reserved.
 */
static const char *const checks[] = {
	"SELECT 'stock taken = reserved',"
	" (SELECT SUM(1000000000 - stock) FROM bench_product.products)"
	" - (SELECT COALESCE(SUM(quantity), 0) FROM bench_product.reservations)",
	"SELECT 'stock below 0', COUNT(*) FROM bench_product.products WHERE stock < 0",
	"SELECT 'orders = outcomes', (SELECT COUNT(*) FROM bench_order.orders)"
	" - (SELECT COUNT(*) FROM bench_order.outcomes)",
	"SELECT 'orders = lines', (SELECT COUNT(*) FROM bench_order.orders)"
	" - (SELECT COUNT(*) FROM bench_order.order_items)",
	"SELECT 'orders = events', (SELECT COUNT(*) FROM bench_order.orders)"
	" - (SELECT COUNT(*) FROM bench_order.outbox)",
	"SELECT 'numbers with gaps', COUNT(*) FROM (SELECT o.user_id FROM"
	" bench_order.orders o JOIN bench_order.user_seq s ON s.user_id = o.user_id"
	" GROUP BY o.user_id, s.seq HAVING COUNT(*) <> s.seq"
	" OR COUNT(DISTINCT o.seq) <> s.seq OR MAX(o.seq) <> s.seq) wrong",
	"SELECT 'lines that are not what was reserved', COUNT(*) FROM bench_order.orders "
	"o"
	" JOIN bench_order.order_items i ON i.order_id = o.id"
	" LEFT JOIN bench_product.reservations r ON r.id = o.reservation_id"
	" WHERE r.id IS NULL OR r.product_id <> i.product_id OR r.quantity <> i.quantity"
	" OR o.total_price <> i.quantity * i.price",
	"SELECT 'events of another order', COUNT(*) FROM bench_order.outbox x"
	" LEFT JOIN bench_order.orders o ON o.id = JSON_VALUE(x.payload, '$.order_id')"
	" WHERE o.id IS NULL OR o.user_id <> x.user_id",
};

static void on_check(void *arg, MYSQL_ROW row)
{
	bool *good = arg;

	if (row[1] && strcmp(row[1], "0") == 0)
		return;
	fprintf(stderr, "ordbench: %s: off by %s\n", row[0], row[1] ? row[1] : "NULL");
	*good = false;
}

bool verify(struct bench *bench, MYSQL *conn)
{
	bool good = true;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (sql_run(bench, conn, checks[i], strlen(checks[i]), on_check, &good))
			good = false;
	return good;
}
