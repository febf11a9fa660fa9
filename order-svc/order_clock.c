/* order_clock.c - one number kept: how far the database's clock is ahead of ours. */
#include "order_clock.h"

#include <time.h>

static int64_t boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void order_clock_read(struct order_clock *clock, int64_t db_ms)
{
	int64_t now = boot_ms();

	/* 1: both are cut to whole ms. Two threads may mix their readings: each number
	 * is right on its own. */
	atomic_store(&clock->ahead_ms, db_ms - now - 1);
	atomic_store(&clock->read_ms, now);
}

bool order_clock_now(const struct order_clock *clock, int64_t *db_ms)
{
	int64_t read = atomic_load(&clock->read_ms), now = boot_ms();

	if (!read || now - read > ORDER_CLOCK_MAX_AGE_MS)
		return false;
	*db_ms = now + atomic_load(&clock->ahead_ms);
	return true;
}
