/* hist.c - the buckets. */
#include "hist.h"

#include <math.h>

static unsigned bucket_of(uint64_t us)
{
	unsigned shift;

	if (us < (2u << HIST_BITS))
		return (unsigned)us;
	shift = 63u - (unsigned)__builtin_clzll(us) - HIST_BITS;
	return (shift << HIST_BITS) + (unsigned)(us >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	unsigned shift;

	if (bucket < (2u << HIST_BITS))
		return bucket;
	shift = (bucket >> HIST_BITS) - 1;
	return ((uint64_t)(bucket - (shift << HIST_BITS) + 1) << shift) - 1;
}

void hist_add(struct hist *hist, uint64_t us)
{
	hist->count++;
	hist->bucket[bucket_of(us)]++;
	if (us > hist->max)
		hist->max = us;
}

double hist_ms(const struct hist *hist, double share)
{
	uint64_t wanted = (uint64_t)ceil((double)hist->count * share), sum = 0;

	if (hist->count == 0)
		return 0;
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		sum += hist->bucket[i];
		if (sum >= wanted) {
			uint64_t end = bucket_end(i);

			return (double)(end < hist->max ? end : hist->max) / 1000;
		}
	}
	return (double)hist->max / 1000;
}
