/*
 * hist.h - latencies in a fixed amount of memory, each known to 1.6 %.
 *
 * Values are microseconds.  64 steps between a power of two and the next.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>

#define HIST_BITS    6
#define HIST_BUCKETS ((64 - HIST_BITS) << HIST_BITS)

struct hist {
	uint64_t count, max;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *hist, uint64_t us);
/* The value that `share` (0.99) of all do not pass, in milliseconds; 0 when empty. */
double hist_ms(const struct hist *hist, double share);

#endif
