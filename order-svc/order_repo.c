/*
 * order_repo.c - placing an order: look up the key, record, refuse, settle.
 *
 * Every transaction here takes its locks in the same order: the reservation's
 * outcome, the user's row of user_seq, then rows that nobody else can see yet.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "failpoint.h"
#include "log.h"
#include "money.h"
#include "order_repo_internal.h"
#include "timeutil.h"

struct order_repo *order_repo_new(struct db_pool *pool)
{
	struct order_repo *repo = xcalloc(1, sizeof(*repo));

	repo->pool = pool;
	return repo;
}

void order_repo_free(struct order_repo *repo)
{
	free(repo);
}

static void on_job_done(const struct err *err, void *arg)
{
	struct order_op *op = arg;

	op->done(err, op->arg);
}

void order_repo_run(struct order_repo *repo, db_job job, struct order_op *op,
		    db_done done, void *arg)
{
	op->done = done;
	op->arg = arg;
	db_run(repo->pool, job, on_job_done, op);
}

struct str order_db_time(char *dst, int64_t wall_ms)
{
	int len = time_format(dst, wall_ms, true);

	/* "…T…Z" -> "… …": both databases take only the plain form without a warning. */
	dst[10] = ' ';
	dst[len - 1] = '\0';
	return (struct str){dst, (size_t)len - 1};
}

/* ---- look up the key ---- */

void order_lookup_fini(struct order_lookup *lookup)
{
	free(lookup->reply);
	lookup->reply = NULL;
}

static bool lookup_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_lookup *lookup = arg;
	const struct order_wish *wish = lookup->wish;
	struct str reply;
	struct db_rows *rows;

	order_lookup_fini(lookup);
	lookup->found = false;
	if (!db_query(
		    conn, &rows, err,
		    "SELECT UTC_TIMESTAMP(3), k.status, k.body_hash, k.order_id, k.reply"
		    " FROM (SELECT 1 AS one) AS clock LEFT JOIN order_keys k"
		    " ON k.user_id = ? AND k.idempotency_key = ?",
		    DB_I(wish->order.user_id), DB_Z(wish->key)))
		return false;
	lookup->t0 = db_time(rows, 0, 0);
	if (!db_is_null(rows, 0, 1)) {
		reply = db_str(rows, 0, 4);
		lookup->found = true;
		lookup->status = (int)db_int(rows, 0, 1);
		str_copy(lookup->body_hash, sizeof(lookup->body_hash),
			 db_str(rows, 0, 2));
		lookup->order_id = db_int(rows, 0, 3);
		lookup->reply = xstrndup(reply.at, reply.len);
	}
	db_rows_free(rows);
	return true;
}

void order_repo_lookup(struct order_repo *repo, struct order_lookup *lookup, db_done done,
		       void *arg)
{
	order_repo_run(repo, lookup_job, &lookup->op, done, arg);
}

/* ---- parts of a transaction ---- */

bool order_next_turn(struct db_conn *conn, int64_t user_id, struct order_turn *turn,
		     struct err *err)
{
	struct db_rows *rows;

	/* A raised epoch lifts every number at its next use, also of users whose row
	 * a restore took away. 281474976710656 is 2^48. */
	if (!db_exec(conn, err,
		     "INSERT INTO user_seq (user_id, seq) VALUES"
		     " (?, (SELECT epoch FROM seq_epoch) * 281474976710656 + 1)"
		     " ON DUPLICATE KEY UPDATE seq = GREATEST(seq + 1, VALUES(seq))",
		     DB_I(user_id)) ||
	    !db_query(conn, &rows, err,
		      "SELECT seq, UTC_TIMESTAMP(3) FROM user_seq WHERE user_id = ?",
		      DB_I(user_id)))
		return false;
	turn->seq = db_int(rows, 0, 0);
	turn->now = db_time(rows, 0, 1);
	db_rows_free(rows);
	return true;
}

bool order_insert_event(struct db_conn *conn, const struct order *order, const char *type,
			const struct order_turn *turn, const struct trace *trace,
			struct err *err)
{
	char event_id[ID_HEX_LEN + 1], at[ORDER_DB_TIME_MAX];
	struct order_event event = {type, event_id, turn->seq, turn->now};
	struct jw w;
	bool ok;

	id_new(event_id);
	jw_init(&w, ORDER_JSON_MAX);
	order_event_write(&w, order, &event);
	if (jw_ok(&w))
		ok = db_exec(
			conn, err,
			"INSERT INTO outbox (user_id, event_id, payload, traceparent,"
			" request_id, created_at) VALUES (?, ?, ?, ?, ?, ?)",
			DB_I(order->user_id), DB_Z(event_id), DB_S(jw_text(&w)),
			*trace->traceparent ? DB_Z(trace->traceparent) : DB_NULL,
			*trace->request_id ? DB_Z(trace->request_id) : DB_NULL,
			DB_S(order_db_time(at, turn->now)));
	else
		ok = err_set(err, ERR_INTERNAL, "the event of an order is too long");
	jw_fini(&w);
	return ok;
}

/* ---- record ---- */

void order_record_fini(struct order_record *record)
{
	free(record->reply);
	record->reply = NULL;
}

static bool insert_order(struct db_conn *conn, struct order *order, struct err *err)
{
	char total[MONEY_TEXT_MAX], at[ORDER_DB_TIME_MAX];

	money_format(total, order->total);
	if (!db_exec(conn, err,
		     "INSERT INTO orders (user_id, total_price, currency, status,"
		     " reservation_id, seq, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
		     DB_I(order->user_id), DB_Z(total), DB_Z(ORDER_CURRENCY),
		     DB_Z(order_status_name(order->status)), DB_Z(order->reservation_id),
		     DB_I(order->seq), DB_S(order_db_time(at, order->created_at))))
		return false;
	order->id = (int64_t)db_insert_id(conn);
	if (order->id < 1 || order->id > ORDER_MAX_ID)
		return err_set(err, ERR_INTERNAL, "order id %" PRId64 " is out of range",
			       order->id);
	return true;
}

static bool insert_line(struct db_conn *conn, const struct order *order, unsigned i,
			struct err *err)
{
	const struct order_line *line = &order->lines[i];
	char price[MONEY_TEXT_MAX];

	money_format(price, line->unit_price);
	return db_exec(
		conn, err,
		"INSERT INTO order_items (order_id, line, product_id, name, quantity,"
		" unit_price) VALUES (?, ?, ?, ?, ?, ?)",
		DB_I(order->id), DB_I(i + 1), DB_Z(line->product_id), DB_Z(line->name),
		DB_I(line->quantity), DB_Z(price));
}

static bool insert_lines(struct db_conn *conn, const struct order *order, struct err *err)
{
	for (unsigned i = 0; i < order->n_lines; i++) {
		if (!insert_line(conn, order, i, err))
			return false;
	}
	return true;
}

/* true with *taken: somebody else's answer is there. */
static bool insert_key(struct db_conn *conn, const struct order_wish *wish, int status,
		       struct str reply, int64_t order_id, bool *taken, struct err *err)
{
	*taken = false;
	if (!*wish->key)
		return true;
	if (db_exec(conn, err,
		    "INSERT INTO order_keys (user_id, idempotency_key, body_hash, status,"
		    " reply, order_id, created_at) VALUES (?, ?, ?, ?, ?, ?, "
		    "UTC_TIMESTAMP(3))",
		    DB_I(wish->order.user_id), DB_Z(wish->key), DB_Z(wish->hash),
		    DB_I(status), DB_S(reply), order_id ? DB_I(order_id) : DB_NULL))
		return true;
	*taken = db_is_duplicate(conn, NULL);
	return *taken;
}

static bool fill_reply(struct order_record *record, struct err *err)
{
	struct jw w;

	order_record_fini(record);
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &record->wish->order);
	if (jw_ok(&w))
		record->reply = xstrdup(jw_text(&w).at);
	jw_fini(&w);
	return record->reply ||
	       err_set(err, ERR_INTERNAL, "the answer of an order is too long");
}

static enum db_verdict ended(struct order_record *record, enum order_record_end end)
{
	record->end = end;
	return DB_ROLLBACK;
}

/* May run again after a deadlock: everything it fills is filled anew. */
static enum db_verdict record_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_record *record = arg;
	struct order *order = &record->wish->order;
	struct order_turn turn;
	bool taken;

	if (!db_exec(conn, err,
		     "INSERT INTO outcomes (reservation_id, outcome, created_at)"
		     " VALUES (?, 'committed', UTC_TIMESTAMP(3))",
		     DB_Z(order->reservation_id)))
		return db_is_duplicate(conn, NULL) ? ended(record, ORDER_FENCED)
						   : DB_FAIL;
	if (!order_next_turn(conn, order->user_id, &turn, err))
		return DB_FAIL;
	if (turn.now > record->deadline)
		return ended(record, ORDER_TOO_LATE);
	order->status = ORDER_PLACED;
	order->seq = turn.seq;
	order->created_at = turn.now;
	if (!insert_order(conn, order, err) || !fill_reply(record, err) ||
	    !insert_key(conn, record->wish, 201, str_from(record->reply), order->id,
			&taken, err))
		return DB_FAIL;
	if (taken)
		return ended(record, ORDER_KEY_TAKEN);
	if (!insert_lines(conn, order, err) ||
	    !order_insert_event(conn, order, "order.created", &turn, record->trace, err))
		return DB_FAIL;
	if (FAILPOINT("order_before_commit")) {
		err_set(err, ERR_INTERNAL, "failpoint order_before_commit");
		return DB_FAIL;
	}
	record->end = ORDER_RECORDED;
	return DB_COMMIT;
}

static bool record_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_record *record = arg;

	switch (db_tx(conn, record_tx, record, err)) {
	case DB_TX_COMMITTED:
		if (FAILPOINT("order_committed"))
			record->end = ORDER_UNKNOWN;
		return true;
	case DB_TX_ROLLED_BACK: return true;
	case DB_TX_FAILED: return false;
	case DB_TX_UNKNOWN: record->end = ORDER_UNKNOWN; return true;
	}
	return err_set(err, ERR_INTERNAL, "impossible end of a transaction");
}

void order_repo_record(struct order_repo *repo, struct order_record *record, db_done done,
		       void *arg)
{
	order_repo_run(repo, record_job, &record->op, done, arg);
}

/* ---- refuse ---- */

static bool refuse_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_refusal *refusal = arg;

	return insert_key(conn, refusal->wish, refusal->status, refusal->reply, 0,
			  &refusal->taken, err);
}

void order_repo_refuse(struct order_repo *repo, struct order_refusal *refusal,
		       db_done done, void *arg)
{
	order_repo_run(repo, refuse_job, &refusal->op, done, arg);
}

/* ---- settle: commit or fence ---- */

static bool read_outcome(struct db_conn *conn, struct order_settle *settle,
			 struct err *err)
{
	struct db_rows *rows;
	bool found;

	if (!db_query(conn, &rows, err,
		      "SELECT outcome FROM outcomes WHERE reservation_id = ?",
		      DB_Z(settle->reservation_id)))
		return false;
	found = db_rows_count(rows) == 1;
	if (found)
		settle->committed = str_eqz(db_str(rows, 0, 0), "committed");
	db_rows_free(rows);
	/* Gone between the two statements: an old fence was just swept away. */
	return found || err_set(err, ERR_BUSY, "the outcome is being decided; try again");
}

static bool load_by_reservation(struct db_conn *conn, struct order_settle *settle,
				struct err *err)
{
	struct db_rows *rows;
	bool ok;

	if (!db_query(conn, &rows, err,
		      "SELECT " ORDER_COLUMNS " FROM orders WHERE reservation_id = ?",
		      DB_Z(settle->reservation_id)))
		return false;
	if (db_rows_count(rows) == 1)
		ok = order_from_row(settle->order, rows, 0, err) &&
		     order_load_lines(conn, settle->order, err);
	else
		ok = err_set(err, ERR_INTERNAL,
			     "reservation %s is committed without an order",
			     settle->reservation_id);
	db_rows_free(rows);
	return ok;
}

static bool settle_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct order_settle *settle = arg;

	settle->committed = false;
	if (db_exec(conn, err,
		    "INSERT INTO outcomes (reservation_id, outcome, created_at)"
		    " VALUES (?, 'aborted', UTC_TIMESTAMP(3))",
		    DB_Z(settle->reservation_id)))
		return true;
	if (!db_is_duplicate(conn, NULL) || !read_outcome(conn, settle, err))
		return false;
	return !settle->committed || !settle->order ||
	       load_by_reservation(conn, settle, err);
}

void order_repo_settle(struct order_repo *repo, struct order_settle *settle, db_done done,
		       void *arg)
{
	order_repo_run(repo, settle_job, &settle->op, done, arg);
}
