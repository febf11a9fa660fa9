/* db_clock.c - one number kept: how far the database's clock is ahead of ours. */
#include "db_clock.h"

#include <time.h>

#include "db_internal.h"
#include "timeutil.h"

static int64_t boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void db_clock_read(struct db_clock *clock, int64_t db_ms)
{
	int64_t now = boot_ms();

	/* 1: both are cut to whole ms. Two threads may mix their readings: each number
	 * is right on its own. */
	atomic_store(&clock->ahead_ms, db_ms - now - 1);
	atomic_store(&clock->read_ms, now);
}

bool db_clock_now(const struct db_clock *clock, int64_t *db_ms)
{
	int64_t read = atomic_load(&clock->read_ms), now = boot_ms();

	if (!read || now - read > DB_CLOCK_MAX_AGE_MS)
		return false;
	*db_ms = now + atomic_load(&clock->ahead_ms);
	return true;
}

bool db_clock_ask(struct db_clock *clock, struct db_conn *conn, int64_t *db_ms,
		  struct err *err)
{
	struct db_rows *rows;

	if (db_clock_now(clock, db_ms))
		return true;
	if (!db_query0(conn, &rows, err, "SELECT UTC_TIMESTAMP(3)"))
		return false;
	*db_ms = db_time(rows, 0, 0);
	db_clock_read(clock, *db_ms);
	db_rows_free(rows);
	return true;
}

struct db_clock *db_conn_clock(struct db_conn *conn)
{
	return &conn->clock;
}

struct str db_time_text(char *dst, int64_t wall_ms)
{
	int len = time_format(dst, wall_ms, true);

	/* "…T…Z" -> "… …" */
	dst[10] = ' ';
	dst[len - 1] = '\0';
	return (struct str){dst, (size_t)len - 1};
}
