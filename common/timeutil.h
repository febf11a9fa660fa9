/*
 * timeutil.h - clocks and RFC 3339 times.
 *
 * Wall times are int64 milliseconds since the epoch, UTC.  Deadlines use the
 * monotonic clock.
 */
#ifndef COMMON_TIMEUTIL_H
#define COMMON_TIMEUTIL_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

#define TIME_TEXT_MAX 32

int64_t time_now_ms(void);  /* wall clock */
int64_t time_mono_ms(void); /* for deadlines and durations */
uint64_t time_mono_us(void);

/* "2025-11-24T21:13:22Z"; with_ms adds ".123". dst holds TIME_TEXT_MAX bytes.
 * Years outside of 1 to 9999 are shown as the nearest of them. */
int time_format(char *dst, int64_t wall_ms, bool with_ms);
/* RFC 3339 with 'Z' or an offset, 0 to 9 fractional digits; also accepts
 * MySQL's "2025-11-24 21:13:22[.ffffff]" taken as UTC. */
bool time_parse(struct str text, int64_t *wall_ms);

#endif
