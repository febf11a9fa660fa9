/*
 * db.h - MySQL and MariaDB, written as straight code on worker threads.
 *
 * A `struct db_pool` is a work pool whose workers each own one connection.
 * Repository code runs on a worker, blocks as it likes, and its answer comes
 * back on the loop:
 *
 *   db_run(pool, find_job, find_done, arg);   // loop
 *   find_job(conn, arg)                       // worker: db_query(), db_tx()
 *   find_done(err, arg)                       // loop
 *
 * Why threads and not libmariadb's non-blocking calls: see docs/DESIGN.md.
 *
 * Statements are prepared once per connection and kept (by the address of their
 * text, which must be a literal).  Parameters are always bound.  Sessions run
 * READ COMMITTED, strict SQL mode, time zone UTC, utf8mb4.  The server ends a
 * session, with its locks, after 15 s of silence.
 */
#ifndef COMMON_DB_H
#define COMMON_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "err.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"

struct db_settings {
	char *migrate_user, *migrate_password; /* of --migrate, with DDL rights */
	char *host, *socket, *user, *password, *name, *ssl_ca;
	char *migrations_dir; /* by the program's own table: each has its default */
	int64_t port, max_conns, max_queue, queue_ms, timeout_ms;
	bool ssl_required;
	/* No setting. NULL, or what a pool beside the program's own is called: its
	 * threads, and the label `pool` of its gauges. A literal of at most 10 bytes. */
	const char *pool;
};
extern const struct config_entry db_config[]; /* DB_HOST DB_PORT … */

struct db_pool;
struct db_conn; /* one connection, used by one thread */

/* A failed start of the database is no error: the pool keeps trying and
 * db_ready() says no. `cfg` must outlive it. Pools of one program count their errors and
 * times together. */
struct db_pool *db_pool_new(struct loop *loop, const struct db_settings *cfg,
			    struct metrics *metrics, struct err *err);
/* Takes no more jobs, and runs those it has to their end; then it may only be freed,
 * which lets queued jobs fail otherwise. */
void db_pool_finish(struct db_pool *pool); /* accepts NULL */
void db_pool_free(struct db_pool *pool);
/* Did a worker reach the database within the last seconds, and has the schema all
 * migrations of this program? `why` names the trouble otherwise (valid until the next
 * call, same thread). */
bool db_ready(struct db_pool *pool, const char **why);

/* Runs on a worker. Returns false with `err` filled. Database errors come as
 * ERR_BUSY (away, pool full), ERR_TIMEOUT or ERR_INTERNAL. */
typedef bool (*db_job)(struct db_conn *conn, void *arg, struct err *err);
/* Runs on the loop; `err` is NULL on success, valid during the call. When the
 * queue is full, or the wait for a worker passed DB_QUEUE_MS, the job did not
 * run and `err` is ERR_BUSY with retry_after_s. */
typedef void (*db_done)(const struct err *err, void *arg);
void db_run(struct db_pool *pool, db_job job, db_done done, void *arg);

/* ---- on a worker (or on a thread with a connection of its own) ---- */

/* A connection outside a pool, for the outbox relay and --migrate.
 * Owned by the caller. */
struct db_conn *db_conn_open(const struct db_settings *cfg, struct err *err);
void db_conn_free(struct db_conn *conn);
bool db_conn_ping(struct db_conn *conn);

struct db_arg {
	enum { DB_ARG_NULL, DB_ARG_INT, DB_ARG_STR } type;
	int64_t i;
	struct str s;
};
#define DB_I(n)  ((struct db_arg){.type = DB_ARG_INT, .i = (int64_t)(n)})
#define DB_S(sl) ((struct db_arg){.type = DB_ARG_STR, .s = (sl)}) /* text or bytes */
#define DB_Z(z)  ((struct db_arg){.type = DB_ARG_STR, .s = str_from(z)})
#define DB_NULL  ((struct db_arg){.type = DB_ARG_NULL})
/* A slice, or NULL when its pointer is NULL. */
#define DB_OPT(sl) ((sl).at ? DB_S(sl) : DB_NULL)

/* All rows of a result, held in memory. */
struct db_rows;
size_t db_rows_count(const struct db_rows *rows);
bool db_is_null(const struct db_rows *rows, size_t row, unsigned col);
/* Zero-terminated as well; valid until db_rows_free(). NULL column: "". */
struct str db_str(const struct db_rows *rows, size_t row, unsigned col);
int64_t db_int(const struct db_rows *rows, size_t row, unsigned col);
int64_t db_cents(const struct db_rows *rows, size_t row, unsigned col); /* DECIMAL */
int64_t db_time(const struct db_rows *rows, size_t row, unsigned col);  /* wall ms */
void db_rows_free(struct db_rows *rows);                                /* accepts NULL */

/* `sql` must be a string literal (it is the key of the statement cache). */
bool db_query_v(struct db_conn *conn, const char *sql, const struct db_arg *args,
		size_t n, struct db_rows **rows, struct err *err)
	__attribute__((warn_unused_result));
bool db_exec_v(struct db_conn *conn, const char *sql, const struct db_arg *args, size_t n,
	       struct err *err) __attribute__((warn_unused_result));

#define DB_ARGS(...)            \
	(const struct db_arg[]) \
	{                       \
		__VA_ARGS__     \
	}
#define DB_COUNT(...) (sizeof(DB_ARGS(__VA_ARGS__)) / sizeof(struct db_arg))
/* db_query(conn, &rows, err, "SELECT … WHERE id = ?", DB_I(id)); at least one argument.
 */
#define db_query(conn, rows, err, sql, ...) \
	db_query_v(conn, sql, DB_ARGS(__VA_ARGS__), DB_COUNT(__VA_ARGS__), rows, err)
#define db_exec(conn, err, sql, ...) \
	db_exec_v(conn, sql, DB_ARGS(__VA_ARGS__), DB_COUNT(__VA_ARGS__), err)
#define db_query0(conn, rows, err, sql) db_query_v(conn, sql, NULL, 0, rows, err)
#define db_exec0(conn, err, sql)        db_exec_v(conn, sql, NULL, 0, err)

/* SQL text that is not a literal (lists of a length known only now): not kept
 * as a prepared statement, parameters still bound. */
bool db_query_text(struct db_conn *conn, const char *sql, const struct db_arg *args,
		   size_t n, struct db_rows **rows, struct err *err)
	__attribute__((warn_unused_result));
bool db_exec_text(struct db_conn *conn, const char *sql, const struct db_arg *args,
		  size_t n, struct err *err) __attribute__((warn_unused_result));

/* One statement about many things, made of literals:
 *
 *   head, then `row` n times with `between` (NULL: ", ") between, then, when
 *   `again` is not NULL, `again` and the first parameter of each row once more
 *   as "?, ?, …", then `tail`
 *
 *   {.head = "INSERT INTO lines (order_id, line) VALUES ", .row = "(?, ?)", .tail = ""}
 *   {.head = "SELECT id FROM products WHERE id IN (", .row = "?", .tail = ")"}
 *   {.head = "UPDATE products SET stock = stock - CASE id ", .row = "WHEN ? THEN ?",
 *    .between = " ", .again = " END WHERE id IN (", .tail = ")"}
 *
 * `args` holds the parameters of all rows in turn.  Kept as prepared statements
 * (by the address of `sql`, which must be static) for 1 … 16 rows and for
 * multiples of 8 up to DB_MANY_MAX rows. */
#define DB_MANY_MAX 64
struct db_many {
	const char *head, *row, *between, *again, *tail;
};
/* Any n: runs as often as it must (so: inside a transaction). `affected`, when
 * not NULL, gets the sum over all rows. */
bool db_exec_many(struct db_conn *conn, const struct db_many *sql,
		  const struct db_arg *args, unsigned per_row, size_t n,
		  uint64_t *affected, struct err *err)
	__attribute__((warn_unused_result));
/* The same for INSERT into a table with AUTO_INCREMENT; the ids go to
 * ids[0 … n-1]. Only for plain INSERT … VALUES, whose ids are consecutive. */
bool db_insert_many(struct db_conn *conn, const struct db_many *sql,
		    const struct db_arg *args, unsigned per_row, size_t n, int64_t *ids,
		    struct err *err) __attribute__((warn_unused_result));
/* One execution of n <= DB_MANY_MAX rows; the last row's parameters are repeated
 * to fill up, which "IN (…)" does not mind.  `first`: parameters before those of
 * the rows (NULL: none). */
bool db_query_many(struct db_conn *conn, const struct db_many *sql,
		   const struct db_arg *first, unsigned n_first,
		   const struct db_arg *args, unsigned per_row, size_t n,
		   struct db_rows **rows, struct err *err)
	__attribute__((warn_unused_result));

/* Of the last statement. */
uint64_t db_affected(const struct db_conn *conn);
uint64_t db_insert_id(const struct db_conn *conn);
/* Was the last failure a duplicate key (1062)? `key`: on this index only (its
 * name, "PRIMARY" for the primary key), NULL: any. */
bool db_is_duplicate(const struct db_conn *conn, const char *key);

/* How a transaction function ended. */
enum db_verdict {
	DB_COMMIT,   /* commit, please */
	DB_ROLLBACK, /* undo; the job itself is fine (an answer was found) */
	DB_FAIL      /* undo; `err` says why. Deadlock and lock time-out (1213,
			1205) are retried, at most 5 times */
};
typedef enum db_verdict (*db_tx_fn)(struct db_conn *conn, void *arg, struct err *err);

enum db_tx_end {
	DB_TX_COMMITTED,
	DB_TX_ROLLED_BACK, /* on the function's own wish */
	DB_TX_FAILED,      /* nothing was changed; `err` is filled */
	DB_TX_UNKNOWN      /* the connection broke during COMMIT: re-read what
			      happened, never run it again blindly */
};
/* Begins, runs fn, COMMIT. `fn` may run several times: it must reset what it fills. */
enum db_tx_end db_tx(struct db_conn *conn, db_tx_fn fn, void *arg, struct err *err)
	__attribute__((warn_unused_result));
/* How a job ends that leaves the unknown to whoever asked for the change: ERR_TIMEOUT
 * then, never ERR_BUSY, which says that nothing was done. */
bool db_tx_ok(enum db_tx_end end, struct err *err) __attribute__((warn_unused_result));

/* --migrate: applies DIR/NNNN_name.sql in order under a named lock, records
 * them in `schema_migrations` with their checksum; a changed old file is an
 * error. Statements are separated by ";" at the end of a line. */
bool db_migrate(struct db_conn *conn, const char *dir, struct err *err)
	__attribute__((warn_unused_result));

/* The command --migrate: connects (as DB_MIGRATE_USER when that is set; waits a minute
 * for a server that is not there yet), migrates, logs; returns the exit status. `arg` is
 * the struct db_settings. */
int db_migrate_command(void *arg, int argc, char **argv);

#endif
