/*
 * db_tx.c - transactions: BEGIN (nothing on a connection without autocommit), the
 * caller's function, COMMIT.
 *
 * Run again when nothing can have happened: after a deadlock or a lock time-out
 * (the server took everything back; but a lane decides by itself what to do about
 * a locked row), and once when the connection was lost
 * before COMMIT was sent.  A loss during COMMIT is nobody's to guess.
 */
#include <mysqld_error.h>
#include <unistd.h>

#include "db_internal.h"
#include "id.h"
#include "timeutil.h"

#define MAX_TRIES     6
#define PAUSE_MIN_US  500
#define PAUSE_DICE_US 4000 /* random part, doubled with every try */

enum attempt { DONE, AGAIN };

struct tx {
	struct db_conn *conn;
	db_tx_fn fn;
	void *arg;
	struct err *err;
	unsigned tries;
	bool reconnected;
	int64_t give_up_ms;
	enum db_tx_end end;
};

static void pause_before_retry(unsigned tries)
{
	uint16_t dice;

	id_random(&dice, sizeof(dice));
	usleep(PAUSE_MIN_US + (PAUSE_DICE_US * (useconds_t)dice / UINT16_MAX
			       << (tries < 5 ? tries : 5)));
}

/* May the transaction run again after the last failure? */
static bool may_retry(struct tx *tx)
{
	const struct db_conn *conn = tx->conn;

	if (!conn->failed || tx->tries >= MAX_TRIES || time_mono_ms() >= tx->give_up_ms)
		return false;
	if (conn->fault == DB_FAULT_LOST && !tx->reconnected && conn->health) {
		tx->reconnected = true;
		return true;
	}
	return conn->fault == DB_FAULT_CONFLICT &&
	       !(conn->lane && conn->errnum == ER_LOCK_WAIT_TIMEOUT);
}

static enum attempt ended(struct tx *tx, enum db_tx_end end)
{
	tx->conn->in_tx = false;
	tx->end = end;
	return DONE;
}

static enum attempt fail(struct tx *tx)
{
	struct db_conn *conn = tx->conn;
	bool retry = may_retry(tx);
	struct err ignored;

	conn->in_tx = false;
	/* Whatever state a connection is in that cannot even undo: away with it. */
	if (conn->my && mysql_query(conn->my, "ROLLBACK") != 0)
		db_conn_close(conn);
	if (!retry || !db_conn_ensure(conn, &ignored)) {
		tx->end = DB_TX_FAILED;
		return DONE;
	}
	return AGAIN;
}

static enum attempt commit(struct tx *tx)
{
	struct db_conn *conn = tx->conn;

	/* Without this, a function that overlooked an error would commit nothing. */
	if (conn->tx_broken) {
		if (tx->err && tx->err->code == ERR_NONE)
			err_set(tx->err, ERR_BUSY, "the transaction was taken back");
		return fail(tx);
	}
	if (db_conn_command(conn, "COMMIT", tx->err))
		return ended(tx, DB_TX_COMMITTED);
	if (conn->fault == DB_FAULT_LOST || conn->fault == DB_FAULT_TIMEOUT)
		return ended(tx, DB_TX_UNKNOWN);
	return fail(tx);
}

static enum attempt rollback(struct tx *tx)
{
	struct db_conn *conn = tx->conn;

	/* The answer was found; a failing ROLLBACK undoes by closing. */
	if (conn->my && mysql_query(conn->my, "ROLLBACK") != 0)
		db_conn_close(conn);
	return ended(tx, DB_TX_ROLLED_BACK);
}

static bool begin(struct db_conn *conn, struct err *err)
{
	if (!conn->implicit)
		return db_conn_command(conn, "BEGIN", err);
	conn->failed = false;
	return db_conn_ensure(conn, err);
}

static enum attempt run_once(struct tx *tx)
{
	struct db_conn *conn = tx->conn;
	enum db_verdict verdict;

	if (tx->err)
		*tx->err = (struct err){0};
	conn->tx_broken = false;
	if (!begin(conn, tx->err))
		return fail(tx);
	conn->in_tx = true;
	verdict = tx->fn(conn, tx->arg, tx->err);
	switch (verdict) {
	case DB_COMMIT: return commit(tx);
	case DB_ROLLBACK: return rollback(tx);
	case DB_FAIL: break;
	}
	return fail(tx);
}

enum db_tx_end db_tx(struct db_conn *conn, db_tx_fn fn, void *arg, struct err *err)
{
	struct tx tx = {
		.conn = conn,
		.fn = fn,
		.arg = arg,
		.err = err,
		.give_up_ms = time_mono_ms() + conn->cfg->timeout_ms,
	};

	while (run_once(&tx) == AGAIN) {
		tx.tries++;
		pause_before_retry(tx.tries);
	}
	return tx.end;
}

bool db_tx_ok(enum db_tx_end end, struct err *err)
{
	if (end == DB_TX_UNKNOWN)
		return err_set(err, ERR_TIMEOUT,
			       "the database went away while the change was stored; "
			       "look whether it happened");
	return end != DB_TX_FAILED;
}
