/*
 * order_batch_fixture.h - orders and refusals made up for the tests of the
 * repository, and schemas to write them to.
 */
#ifndef TESTS_UNIT_ORDER_BATCH_FIXTURE_H
#define TESTS_UNIT_ORDER_BATCH_FIXTURE_H

#include "db_fixture.h"
#include "money.h"
#include "order-svc/order_repo_internal.h"

#define FAR_FUTURE INT64_MAX

/* One order as a handler would hand it over; stays where it is made. */
struct made {
	struct order_wish wish;
	struct trace trace;
	struct order_record record;
	bool ended;
	struct err err; /* of its end; ERR_NONE: decided */
};

static struct order_repo direct; /* for calls that go to no stage */

static inline void make_order(struct made *m, int64_t user, const char *key,
			      unsigned n_lines, int64_t quantity)
{
	struct order *order = &m->wish.order;
	struct err why = {0};

	memset(m, 0, sizeof(*m));
	order_new_lines(order, n_lines);
	order->user_id = user;
	id_new(order->reservation_id);
	for (unsigned i = 0; i < n_lines; i++) {
		snprintf(order->lines[i].product_id, sizeof(order->lines[i].product_id),
			 "P%u", i);
		order->lines[i].quantity = quantity + i;
		order->lines[i].unit_price = 1999 + i;
		order_set_name(&order->lines[i], STR("a \"product\""));
	}
	must(order_total(order, &order->total, &why));
	snprintf(m->wish.key, sizeof(m->wish.key), "%s", key);
	snprintf(m->wish.hash, sizeof(m->wish.hash), "%064lld", (long long)quantity);
	snprintf(m->trace.request_id, sizeof(m->trace.request_id), "r-%lld",
		 (long long)user);
	m->record = (struct order_record){.op = {.repo = &direct},
					  .wish = &m->wish,
					  .deadline = FAR_FUTURE,
					  .trace = &m->trace};
}

/* The same order once more, for another schema. */
static inline void make_copy(struct made *copy, const struct made *m)
{
	const struct order *order = &m->wish.order;

	make_order(copy, order->user_id, m->wish.key, order->n_lines,
		   order->lines[0].quantity);
	memcpy(copy->wish.order.reservation_id, order->reservation_id,
	       sizeof(order->reservation_id));
	copy->record.deadline = m->record.deadline;
}

static inline void drop_order(struct made *m)
{
	order_fini(&m->wish.order);
	order_record_fini(&m->record);
}

static inline void run_sql(struct db_conn *conn, const char *sql)
{
	struct err why = {0};

	must(db_exec_text(conn, sql, NULL, 0, &why));
}

static inline void fence(struct db_conn *conn, const struct made *m)
{
	struct err why = {0};

	must(db_exec(conn, &why,
		     "INSERT INTO outcomes (reservation_id, outcome, created_at)"
		     " VALUES (?, 'aborted', UTC_TIMESTAMP(3))",
		     DB_Z(m->wish.order.reservation_id)));
}

static inline void record_all(struct db_conn *conn, struct made *m, size_t n)
{
	struct err why = {0};
	void *members[BATCH_MAX];

	for (size_t i = 0; i < n; i++)
		members[i] = &m[i].record;
	must(order_record_many(conn, members, n, &why));
}

/* An empty schema of its own; `name` stays with the settings. */
static inline struct db_conn *schema_new(struct db_settings *cfg, char *name)
{
	static char dir[] = "order-svc/migrations";
	struct err why = {0};
	struct db_conn *conn = db_conn_open(&fix.cfg, &why);
	char sql[128];

	must(conn);
	snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS %s", name);
	run_sql(conn, sql);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
	run_sql(conn, sql);
	db_conn_free(conn);
	*cfg = fix.cfg;
	cfg->name = name;
	conn = db_conn_open(cfg, &why);
	must(conn);
	must(db_migrate(conn, dir, &why));
	return conn;
}

#endif
