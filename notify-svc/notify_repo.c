/*
 * notify_repo.c - SQL for notifications.
 *
 * Claiming is to choose, to UPDATE what is still as it was, and to SELECT by the lease:
 * it works on MariaDB and MySQL, and two instances never get the same row.  The choice
 * sees one snapshot, so that nobody has two mails under way.  `next_try_at` of a row that
 * is being sent is the end of its lease, so the same condition finds what is due and what
 * a dead instance left behind.
 */
#include "notify_repo.h"

#include <stdlib.h>

#include "failpoint.h"

#define COLUMNS                                                                \
	"id, user_id, order_id, event_id, type, subject, body, state, tries, " \
	"last_error,"                                                          \
	" created_at, sent_at"

static struct notice row_notice(const struct db_rows *rows, size_t row)
{
	struct str subject = db_str(rows, row, 5), body = db_str(rows, row, 6);
	struct notice notice = {
		.id = db_int(rows, row, 0),
		.user_id = db_int(rows, row, 1),
		.order_id = db_is_null(rows, row, 2) ? 0 : db_int(rows, row, 2),
		.subject = xstrndup(subject.at, subject.len),
		.body = xstrndup(body.at, body.len),
		.tries = db_int(rows, row, 8),
		.created_at = db_time(rows, row, 10),
		.sent_at = db_is_null(rows, row, 11) ? 0 : db_time(rows, row, 11),
	};

	str_copy(notice.event_id, sizeof(notice.event_id), db_str(rows, row, 3));
	str_copy(notice.type, sizeof(notice.type), db_str(rows, row, 4));
	notice_state_parse(db_str(rows, row, 7), &notice.state);
	str_copy(notice.last_error, sizeof(notice.last_error), db_str(rows, row, 9));
	return notice;
}

/* `op` is the first member of the operation, which is the job's argument. */
static void on_job_done(const struct err *err, void *arg)
{
	struct repo_op *op = arg;

	op->done(err, op->arg);
}

static void run(struct db_pool *db, db_job job, struct repo_op *op, db_done done,
		void *arg)
{
	op->done = done;
	op->arg = arg;
	db_run(db, job, on_job_done, op);
}

/* ---- store ---- */

#define COLUMNS_NEW 6 /* parameters of a row of `insert` */

/* A row that is there already is left alone and not counted as affected; any other
 * error stays one.  Not "id = id": MySQL refuses that beside new rows (1869). */
static const struct db_many insert = {
	.head = "INSERT INTO notifications (user_id, event_id, channel, type, order_id,"
		" subject, body, state, next_try_at, created_at) VALUES ",
	.row = "(?, ?, 'email', ?, ?, ?, ?, 'pending', NOW(3), NOW(3))",
	.tail = " ON DUPLICATE KEY UPDATE user_id = user_id"};

static void bind_notice(const struct notice *notice, struct db_arg *arg)
{
	arg[0] = DB_I(notice->user_id);
	arg[1] = DB_Z(notice->event_id);
	arg[2] = DB_Z(notice->type);
	arg[3] = notice->order_id ? DB_I(notice->order_id) : DB_NULL;
	arg[4] = DB_Z(notice->subject);
	arg[5] = DB_Z(notice->body);
}

static enum db_verdict store_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_store *store = arg;
	struct db_arg *args = xcalloc(store->n * COLUMNS_NEW, sizeof(*args));
	uint64_t stored = 0;
	bool ok;

	for (size_t i = 0; i < store->n; i++)
		bind_notice(&store->notices[i], args + i * COLUMNS_NEW);
	ok = db_exec_many(conn, &insert, args, COLUMNS_NEW, store->n, &stored, err);
	free(args);
	store->stored = (size_t)stored;
	if (ok && FAILPOINT("notify_before_commit"))
		ok = err_set(err, ERR_INTERNAL, "failpoint notify_before_commit");
	return ok ? DB_COMMIT : DB_FAIL;
}

static bool store_job(struct db_conn *conn, void *arg, struct err *err)
{
	switch (db_tx(conn, store_tx, arg, err)) {
	case DB_TX_COMMITTED:
	case DB_TX_ROLLED_BACK: return true;
	case DB_TX_FAILED: return false;
	case DB_TX_UNKNOWN: break;
	}
	/* Storing again is harmless, so it counts as not done. */
	return err_set(err, ERR_BUSY, "the notifications may not have been stored");
}

void notify_repo_store(struct db_pool *db, struct notice_store *store, db_done done,
		       void *arg)
{
	run(db, store_job, &store->op, done, arg);
}

/* ---- add ---- */

static bool read_stored(struct db_conn *conn, struct notice_add *add, struct err *err)
{
	struct db_rows *rows;
	bool found;

	if (!db_query(conn, &rows, err,
		      "SELECT " COLUMNS " FROM notifications"
		      " WHERE event_id = ? AND channel = 'email'",
		      DB_Z(add->notice->event_id)))
		return false;
	found = db_rows_count(rows) == 1;
	if (found)
		add->stored = row_notice(rows, 0);
	db_rows_free(rows);
	return found || err_set(err, ERR_INTERNAL, "the notification has vanished");
}

static enum db_verdict add_tx(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_add *add = arg;
	struct db_arg args[COLUMNS_NEW];
	uint64_t stored;

	notice_fini(&add->stored);
	bind_notice(add->notice, args);
	if (!db_exec_many(conn, &insert, args, COLUMNS_NEW, 1, &stored, err))
		return DB_FAIL;
	add->fresh = stored == 1;
	return read_stored(conn, add, err) ? DB_COMMIT : DB_FAIL;
}

static bool add_job(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, add_tx, arg, err), err);
}

void notify_repo_add(struct db_pool *db, struct notice_add *add, db_done done, void *arg)
{
	run(db, add_job, &add->op, done, arg);
}

/* ---- list ---- */

void notice_list_fini(struct notice_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		notice_fini(&list->notices[i]);
	free(list->notices);
	list->notices = NULL;
	list->n = 0;
}

/* One row more than asked for tells whether there is a next page. */
static bool query_page(struct db_conn *conn, const struct notice_list *list,
		       struct db_rows **rows, struct err *err)
{
	if (list->user_id)
		return db_query(conn, rows, err,
				"SELECT " COLUMNS " FROM notifications"
				" WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
				DB_I(list->user_id), DB_I(list->before_id),
				DB_I(list->limit + 1));
	return db_query(conn, rows, err,
			"SELECT " COLUMNS " FROM notifications"
			" WHERE id < ? ORDER BY id DESC LIMIT ?",
			DB_I(list->before_id), DB_I(list->limit + 1));
}

static bool list_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_list *list = arg;
	struct db_rows *rows;
	size_t n;

	if (!query_page(conn, list, &rows, err))
		return false;
	n = db_rows_count(rows);
	list->more = n > (size_t)list->limit;
	list->n = list->more ? (size_t)list->limit : n;
	list->notices = xcalloc(list->n + 1, sizeof(*list->notices));
	for (size_t i = 0; i < list->n; i++)
		list->notices[i] = row_notice(rows, i);
	db_rows_free(rows);
	return true;
}

void notify_repo_list(struct db_pool *db, struct notice_list *list, db_done done,
		      void *arg)
{
	run(db, list_job, &list->op, done, arg);
}

/* ---- claim ---- */

static bool read_claimed(struct db_conn *conn, struct notice_claim *claim,
			 struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT " COLUMNS " FROM notifications WHERE lease_owner = ?"
		      " ORDER BY id LIMIT 16",
		      DB_Z(claim->lease)))
		return false;
	for (size_t i = 0; i < db_rows_count(rows); i++)
		claim->notices[claim->n++] = row_notice(rows, i);
	db_rows_free(rows);
	return true;
}

/* Of those that are due the first. Where they bring too little, one user has many, and
 * a longer walk passes them over while one of them is under way; but an end it has. */
#define NEAR 100
#define FAR  10000

/* Of each user the first that is due, and none of whom one is being sent. One state at
 * a time, so that the index gives the order. */
static bool choose(struct db_conn *conn, const char *state, int64_t among, size_t max,
		   struct db_arg ids[REPO_MAX_CLAIM], size_t *n, struct err *err)
{
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT MIN(id), MIN(next_try_at) AS since FROM"
		      " (SELECT id, user_id, next_try_at FROM notifications"
		      "  WHERE state = ? AND next_try_at <= NOW(3)"
		      "  ORDER BY next_try_at LIMIT ?) AS due"
		      " WHERE ? = 'sending' OR user_id NOT IN"
		      " (SELECT user_id FROM notifications WHERE state = 'sending')"
		      " GROUP BY user_id ORDER BY since, MIN(id) LIMIT ?",
		      DB_Z(state), DB_I(among), DB_Z(state), DB_I(max)))
		return false;
	*n = db_rows_count(rows);
	for (size_t i = 0; i < REPO_MAX_CLAIM; i++)
		ids[i] = DB_I(i < *n ? db_int(rows, i, 0) : 0);
	db_rows_free(rows);
	return true;
}

/* Of two that chose the same, the later one gets nothing, and so no user's second mail
 * either. By the primary key, so that both lock in the same order. */
static bool take(struct db_conn *conn, struct notice_claim *claim, const char *state,
		 size_t *taken, struct err *err)
{
	struct db_arg args[REPO_MAX_CLAIM + 3] = {DB_Z(claim->lease),
						  DB_I(claim->lease_s), DB_Z(state)};
	size_t want = claim->max - *taken, n;

	if (!choose(conn, state, NEAR, want, args + 3, &n, err))
		return false;
	if (n < want && !choose(conn, state, FAR, want, args + 3, &n, err))
		return false;
	if (n == 0)
		return true;
	if (!db_exec_v(conn,
		       "UPDATE notifications FORCE INDEX (PRIMARY)"
		       " SET state = 'sending', tries = tries + 1,"
		       " lease_owner = ?, next_try_at = NOW(3) + INTERVAL ? SECOND"
		       " WHERE state = ? AND next_try_at <= NOW(3) AND id IN"
		       " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		       args, ARRAY_LEN(args), err))
		return false;
	claim->missed += n - (size_t)db_affected(conn);
	*taken += (size_t)db_affected(conn);
	return true;
}

static bool claim_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_claim *claim = arg;
	size_t taken = 0;

	_Static_assert(REPO_MAX_CLAIM == 16, "the statement of take() has 16 places");
	claim->n = claim->missed = 0;
	id_new(claim->lease);
	/* What a dead instance left behind first: its users' other mails wait for it. */
	if (!take(conn, claim, "sending", &taken, err))
		return false;
	if (taken < claim->max && !take(conn, claim, "pending", &taken, err))
		return false;
	return taken == 0 || read_claimed(conn, claim, err);
}

void notify_repo_claim(struct db_pool *db, struct notice_claim *claim, db_done done,
		       void *arg)
{
	run(db, claim_job, &claim->op, done, arg);
}

/* ---- renew ---- */

static bool renew_job(struct db_conn *conn, void *arg, struct err *err)
{
	const struct notice_renewal *renewal = arg;

	for (size_t i = 0; i < renewal->n; i++) {
		if (!db_exec(conn, err,
			     "UPDATE notifications SET next_try_at = NOW(3) + INTERVAL ? "
			     "SECOND WHERE id = ? AND lease_owner = ?",
			     DB_I(renewal->lease_s), DB_I(renewal->of[i].id),
			     DB_Z(renewal->of[i].lease)))
			return false;
	}
	return true;
}

void notify_repo_renew(struct db_pool *db, struct notice_renewal *renewal, db_done done,
		       void *arg)
{
	run(db, renew_job, &renewal->op, done, arg);
}

/* ---- settle ---- */

static bool settle_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_outcome *outcome = arg;
	const char *state = notice_state_name(outcome->state);
	struct db_arg error = outcome->error[0] ? DB_Z(outcome->error) : DB_NULL;
	struct db_arg args[] = {DB_Z(state),
				DB_Z(state),
				DB_I(outcome->pause_ms * 1000),
				DB_I(outcome->untried),
				error,
				DB_I(outcome->id),
				DB_Z(outcome->lease)};

	if (!db_exec_v(conn,
		       "UPDATE notifications SET state = ?,"
		       " sent_at = IF(? = 'sent', NOW(3), NULL),"
		       " next_try_at = NOW(3) + INTERVAL ? MICROSECOND,"
		       " tries = tries - ?, last_error = ?, lease_owner = NULL"
		       " WHERE id = ? AND lease_owner = ?",
		       args, ARRAY_LEN(args), err))
		return false;
	outcome->lost = db_affected(conn) == 0;
	return true;
}

void notify_repo_settle(struct db_pool *db, struct notice_outcome *outcome, db_done done,
			void *arg)
{
	run(db, settle_job, &outcome->op, done, arg);
}

/* ---- backlog ---- */

/* Every part is a bounded walk along the index on (state, next_try_at). */
static bool backlog_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_backlog *backlog = arg;
	struct db_rows *rows;

	if (!db_query(conn, &rows, err,
		      "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM notifications"
		      "  WHERE state = 'pending' LIMIT ?) AS waiting),"
		      " (SELECT COUNT(*) FROM notifications WHERE state = 'sending'),"
		      " (SELECT COUNT(*) FROM (SELECT 1 FROM notifications"
		      "  WHERE state = 'failed' LIMIT ?) AS given_up),"
		      " (SELECT MIN(next_try_at) FROM notifications"
		      "  WHERE state = 'pending'), NOW(3)",
		      DB_I(backlog->max), DB_I(backlog->max)))
		return false;
	backlog->pending = db_int(rows, 0, 0) + db_int(rows, 0, 1);
	backlog->failed = db_int(rows, 0, 2);
	backlog->overdue_ms =
		db_is_null(rows, 0, 3) ? 0 : db_time(rows, 0, 4) - db_time(rows, 0, 3);
	if (backlog->overdue_ms < 0)
		backlog->overdue_ms = 0;
	db_rows_free(rows);
	return true;
}

void notify_repo_backlog(struct db_pool *db, struct notice_backlog *backlog, db_done done,
			 void *arg)
{
	run(db, backlog_job, &backlog->op, done, arg);
}

/* ---- sweep ---- */

#define SWEEP_ROWS 500

/* next_try_at is set for the last time when the mail was sent or given up, to some
 * minutes later at most, and is in an index beside the state. */
static bool sweep_state(struct db_conn *conn, struct notice_sweep *sweep,
			const char *state, struct err *err)
{
	if (!db_exec(conn, err,
		     "DELETE FROM notifications WHERE state = ?"
		     " AND next_try_at < NOW(3) - INTERVAL ? DAY"
		     " ORDER BY next_try_at LIMIT ?",
		     DB_Z(state), DB_I(sweep->keep_days), DB_I(SWEEP_ROWS)))
		return false;
	sweep->deleted += db_affected(conn);
	sweep->more = sweep->more || db_affected(conn) == SWEEP_ROWS;
	return true;
}

static bool sweep_job(struct db_conn *conn, void *arg, struct err *err)
{
	struct notice_sweep *sweep = arg;

	sweep->deleted = 0;
	sweep->more = false;
	return sweep_state(conn, sweep, "sent", err) &&
	       sweep_state(conn, sweep, "failed", err);
}

void notify_repo_sweep(struct db_pool *db, struct notice_sweep *sweep, db_done done,
		       void *arg)
{
	run(db, sweep_job, &sweep->op, done, arg);
}
