/*
 * db_clock.h - what time it is at the database, without asking it.
 *
 * Whoever has just read the database's clock says so; the time since then is
 * measured with the machine's boot clock, which goes on while it sleeps.  The
 * estimate is never later than the database's own clock (drift of one machine
 * against the other within DB_CLOCK_MAX_AGE_MS aside): a reading was made
 * before its answer arrived, and a machine that was frozen with its clock only
 * falls behind.  When the database's clock is set, or another server takes over, it is
 * wrong by that much for at most DB_CLOCK_MAX_AGE_MS.  Any thread.
 */
#ifndef COMMON_DB_CLOCK_H
#define COMMON_DB_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "db.h"

#define DB_CLOCK_MAX_AGE_MS 10000

struct db_clock {
	_Atomic int64_t ahead_ms; /* the database's wall clock minus our boot clock */
	_Atomic int64_t read_ms;  /* boot clock of the last reading; 0: none */
};

/* The database's clock, at once after the answer came. */
void db_clock_read(struct db_clock *clock, int64_t db_ms);
/* false: there is no reading, or only an old one. */
bool db_clock_now(const struct db_clock *clock, int64_t *db_ms);
/* The same on a worker, which asks when it must. */
bool db_clock_ask(struct db_clock *clock, struct db_conn *conn, int64_t *db_ms,
		  struct err *err);
/* A connection's own, forgotten when that is lost. */
struct db_clock *db_conn_clock(struct db_conn *conn);

#define DB_TIME_TEXT_MAX 32
/* "2025-11-24 21:13:22.123", which both databases take without a warning; dst holds
 * DB_TIME_TEXT_MAX bytes. */
struct str db_time_text(char *dst, int64_t wall_ms);

#endif
