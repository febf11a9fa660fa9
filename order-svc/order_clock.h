/*
 * order_clock.h - what time it is at the database, without asking it.
 *
 * Whoever has just read the database's clock says so; the time since then is
 * measured with the machine's boot clock, which goes on while it sleeps.  The
 * estimate is never later than the database's own clock (drift of one machine
 * against the other within ORDER_CLOCK_MAX_AGE_MS aside): a reading was made
 * before its answer arrived, and a machine that was frozen with its clock only
 * falls behind.  Any thread.
 */
#ifndef ORDER_SVC_ORDER_CLOCK_H
#define ORDER_SVC_ORDER_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ORDER_CLOCK_MAX_AGE_MS 60000

struct order_clock {
	_Atomic int64_t ahead_ms; /* the database's wall clock minus our boot clock */
	_Atomic int64_t read_ms;  /* boot clock of the last reading; 0: none */
};

/* The database's clock, at once after the answer came. */
void order_clock_read(struct order_clock *clock, int64_t db_ms);
/* false: there is no reading, or only an old one. */
bool order_clock_now(const struct order_clock *clock, int64_t *db_ms);

#endif
