/*
 * order_repo.c - the repository itself, what its transactions share, and settling.
 *
 * Every transaction takes its locks in the same order: outcomes of reservations,
 * rows of user_seq by user, the order that is cancelled or keys by user and key, then
 * rows that nobody else can see yet.  The same holds for the tables: an ALTER that
 * waits for one of two makes a circle of transactions that take them the other way round.
 */
#include <stdlib.h>

#include "order_repo_internal.h"
#include "timeutil.h"

/* ---- the stages ---- */

static struct batch_stage *stage_new(struct order_repo *repo, struct batch_config stage,
				     const struct order_repo_config *cfg,
				     struct metrics *metrics, struct err *err)
{
	stage.max_batch = (unsigned)cfg->max_batch;
	stage.max_queue = (unsigned)cfg->max_queue;
	return batch_new(repo->loop, repo->pool, &stage, metrics, err);
}

struct order_repo *order_repo_new(struct loop *loop, struct db_pool *pool,
				  const struct order_repo_config *cfg,
				  struct metrics *metrics, struct err *err)
{
	struct batch_config record = {.name = "record",
				      .run = order_record_many,
				      .transactions = true,
				      .lanes = (unsigned)cfg->record_lanes};
	struct batch_config lookup = {.name = "lookup",
				      .run = order_lookup_many,
				      .lanes = (unsigned)cfg->key_lanes};
	/* Apart from the lookups, which must not wait for the commit of a refusal. */
	struct batch_config refuse = {.name = "refuse",
				      .run = order_refuse_many,
				      .lanes = (unsigned)cfg->key_lanes};
	struct order_repo *repo = xcalloc(1, sizeof(*repo));

	repo->loop = loop;
	repo->pool = pool;
	repo->records = stage_new(repo, record, cfg, metrics, err);
	if (repo->records)
		repo->lookups = stage_new(repo, lookup, cfg, metrics, err);
	if (repo->lookups)
		repo->refusals = stage_new(repo, refuse, cfg, metrics, err);
	if (repo->refusals)
		return repo;
	order_repo_free(repo);
	return NULL;
}

void order_repo_free(struct order_repo *repo)
{
	if (!repo)
		return;
	batch_free(repo->lookups);
	batch_free(repo->refusals);
	batch_free(repo->records);
	free(repo);
}

static void on_done(const struct err *err, void *arg)
{
	struct order_op *op = arg;

	op->done(err, op->arg);
}

void order_repo_run(struct order_repo *repo, db_job job, struct order_op *op,
		    db_done done, void *arg)
{
	*op = (struct order_op){repo, done, arg};
	db_run(repo->pool, job, on_done, op);
}

void order_repo_add(struct order_repo *repo, struct batch_stage *stage, int64_t user_id,
		    struct order_op *op, db_done done, void *arg)
{
	*op = (struct order_op){repo, done, arg};
	batch_add(stage, (uint64_t)user_id, op, on_done, op);
}

void order_repo_record(struct order_repo *repo, struct order_record *record, db_done done,
		       void *arg)
{
	order_repo_add(repo, repo->records, record->wish->order.user_id, &record->op,
		       done, arg);
}

void order_repo_refuse(struct order_repo *repo, struct order_refusal *refusal,
		       db_done done, void *arg)
{
	order_repo_add(repo, repo->refusals, refusal->wish->order.user_id, &refusal->op,
		       done, arg);
}

static void on_clock_known(void *arg)
{
	on_done(NULL, arg);
}

void order_repo_lookup(struct order_repo *repo, struct order_lookup *lookup, db_done done,
		       void *arg)
{
	if (*lookup->wish->key || !db_clock_now(&repo->clock, &lookup->t0)) {
		order_repo_add(repo, repo->lookups, lookup->wish->order.user_id,
			       &lookup->op, done, arg);
		return;
	}
	lookup->op = (struct order_op){repo, done, arg};
	lookup->found = false;
	loop_defer(repo->loop, on_clock_known, &lookup->op);
}

/* ---- parts of transactions ---- */

bool order_event_row_init(struct order_event_row *row, const struct order *order,
			  const char *type, const struct order_turn *turn,
			  const struct trace *trace, struct err *err)
{
	struct order_event event = {type, row->event_id, turn->seq, turn->now};

	row->user_id = order->user_id;
	row->trace = trace;
	id_new(row->event_id);
	db_time_text(row->at, turn->now);
	jw_init(&row->payload, ORDER_JSON_MAX);
	order_event_write(&row->payload, order, &event);
	return jw_ok(&row->payload) ||
	       err_set(err, ERR_INTERNAL, "the event of an order is too long");
}

void order_event_row_fini(struct order_event_row *row)
{
	jw_fini(&row->payload);
}

bool order_insert_events(struct db_conn *conn, const struct order_event_row *rows,
			 size_t n, struct err *err)
{
	static const struct db_many insert = {
		.head = "INSERT INTO outbox (user_id, event_id, payload, traceparent,"
			" request_id, created_at) VALUES ",
		.row = "(?, ?, ?, ?, ?, ?)",
	};
	struct db_arg args[BATCH_MAX * 6], *arg = args;

	for (size_t i = 0; i < n; i++) {
		const struct trace *trace = rows[i].trace;

		*arg++ = DB_I(rows[i].user_id);
		*arg++ = DB_Z(rows[i].event_id);
		*arg++ = DB_S(((struct str){rows[i].payload.buf, rows[i].payload.len}));
		*arg++ = *trace->traceparent ? DB_Z(trace->traceparent) : DB_NULL;
		*arg++ = *trace->request_id ? DB_Z(trace->request_id) : DB_NULL;
		*arg++ = DB_Z(rows[i].at);
	}
	return db_exec_many(conn, &insert, args, 6, n, NULL, err);
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

/* On the pool, one at a time: it follows a failure or comes from the janitor, and
 * must not wait behind the orders whose trouble it ends. */
void order_repo_settle(struct order_repo *repo, struct order_settle *settle, db_done done,
		       void *arg)
{
	order_repo_run(repo, settle_job, &settle->op, done, arg);
}
