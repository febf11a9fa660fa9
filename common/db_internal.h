/*
 * db_internal.h - what the db_*.c files share.
 *
 * A connection is made on first use and after a loss, but never inside a
 * transaction and never for one opened with db_conn_open(): its owner may hold
 * locks (GET_LOCK) that would silently be gone.
 */
#ifndef COMMON_DB_INTERNAL_H
#define COMMON_DB_INTERNAL_H

#include <mysql.h>
#include <stdatomic.h>

#include "db.h"
#include "db_clock.h"
#include "work.h"

#define DB_STMT_SLOTS 512 /* a power of two */
#define DB_STMT_MAX   384 /* kept statements of one connection */

struct db_health {
	_Atomic int64_t ok_ms;     /* monotonic; a worker last heard from the server */
	_Atomic int64_t lost_ms;   /* first loss or failed try after that */
	_Atomic(const char *) why; /* of the last failure; a literal */
	int64_t schema_version;    /* of our newest migration; 0: none known */
	_Atomic bool schema_old;   /* it is not applied yet */
};

/* For how long a statement waits for a table (the servers' own limit is a day or a
 * year): that of a migration shorter, so that to the others it is a pause and no failure.
 */
#define DB_TABLE_WAIT_S     "3"
#define DB_MIGRATION_WAIT_S "2"

/* For how long one waits for a row: in a lane, where others wait behind, one second (the
 * least there is) and once. */
#define DB_ROW_WAIT_S      "5"
#define DB_ROW_WAIT_LANE_S "1"

enum db_fault {
	DB_FAULT_LOST,     /* the connection is gone, or the server refuses work */
	DB_FAULT_TIMEOUT,  /* no answer in time; the connection was closed */
	DB_FAULT_CONFLICT, /* deadlock, lock time-out: run the transaction again */
	DB_FAULT_DUPLICATE,
	DB_FAULT_FULL, /* no room for the data; nothing was changed */
	DB_FAULT_OTHER
};
#define DB_FAULTS 6

/* A statement's name: the address of its literal text, or of a db_many and for
 * how many rows. */
struct db_stmt_key {
	const void *sql;
	unsigned rows; /* 0: `sql` is text */
};

struct db_stmt {
	struct db_stmt_key key; /* .sql NULL: free slot */
	MYSQL_STMT *handle;
};

struct db_conn {
	const struct db_settings *cfg;
	struct db_health *health;            /* of the pool, or NULL */
	struct metric *errors[DB_FAULTS];    /* of the pool, or NULL */
	MYSQL *my;                           /* NULL: not connected */
	struct db_stmt stmts[DB_STMT_SLOTS]; /* open addressing */
	unsigned n_stmts;
	bool implicit; /* autocommit is off: a transaction needs no BEGIN */
	bool lane;     /* of a batch_stage: others wait behind */
	bool in_tx;
	bool tx_broken; /* the server has rolled it back, or the connection is gone */
	/* of the last statement */
	enum db_fault fault;
	bool failed;
	unsigned errnum;
	char errtext[ERR_TEXT_MAX];
	uint64_t affected, insert_id;
	int64_t id_step; /* between ids of one INSERT; 0: not asked yet */
	struct db_clock clock;
	/* reconnecting */
	unsigned tries;    /* failed ones in a row */
	int64_t failed_ms; /* monotonic, of the last one */
	int64_t retry_ms;  /* not before */
	int64_t ping_ms;   /* when it was last known to be alive */
};

/* db_conn.c */
struct db_conn *db_conn_new(const struct db_settings *cfg, struct db_health *health);
/* Ends what a statement outside of db_tx() has begun, if autocommit is off. `ok`: did
 * it succeed? false: it did not, or its COMMIT failed and `err` says why. */
bool db_conn_end_implicit(struct db_conn *conn, bool ok, struct err *err);
/* Connected? If allowed, tries to. false: `err` is ERR_BUSY. */
bool db_conn_ensure(struct db_conn *conn, struct err *err);
/* Closes it at once if the server has hung up in the meantime; never blocks. */
void db_conn_drop_stale(struct db_conn *conn);
void db_conn_close(struct db_conn *conn);
/* Records a failure, closes the connection if it is of no use any more, and
 * fills `err`. `started_us`: when the call began. Returns false. */
bool db_conn_fault(struct db_conn *conn, unsigned errnum, const char *text,
		   uint64_t started_us, struct err *err);
void db_conn_alive(struct db_conn *conn);
/* Plain text without parameters or a result. */
bool db_conn_command(struct db_conn *conn, const char *sql, struct err *err);

/* db_pool.c: for a lane, a connection like those of the pool's workers, made on its
 * thread.  `implicit`: for one that does little but transactions. */
struct db_conn *db_pool_conn_new_lane(struct db_pool *pool, bool implicit);
void db_pool_conn_free(void *conn);
void db_pool_conn_idle(void *conn);
const struct db_settings *db_pool_settings(const struct db_pool *pool);

/* db_stmt.c */
void db_stmt_forget_all(struct db_conn *conn);
bool db_stmt_run(struct db_conn *conn, struct db_stmt_key key, const struct db_arg *args,
		 size_t n, struct db_rows **rows, struct err *err);

/* db_many.c: the text for so many rows, to be freed. */
char *db_many_text(const struct db_many *sql, unsigned rows);

/* db_rows.c */
/* Reads the whole result of an executed statement. NULL: errno in `stmt`, or
 * `err` is filled when it is too large. */
struct db_rows *db_rows_read(MYSQL_STMT *stmt, struct err *err);

/* ---- db_migrate.c ---- */

/* Number of the newest file in `dir`; 0: there is none, or no such folder. */
int64_t db_migrations_newest(const char *dir);
/* Asks, until the answer was yes, whether the schema has our newest migration. */
void db_schema_look(struct db_conn *conn);

#endif
