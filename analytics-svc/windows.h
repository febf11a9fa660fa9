/*
 * windows.h - one-minute windows, each the sum of what the partitions report;
 * and the sums of what has left the windows.  Pure.
 */
#ifndef ANALYTICS_SVC_WINDOWS_H
#define ANALYTICS_SVC_WINDOWS_H

#include <stddef.h>

#include "results.h"

#define WINDOW_S 60
/* The processor folds windows of more than 24 h, in each partition by the time of
 * its own events. So partitions that are quiet since different days may each have
 * a day of windows: enough for 14 of them, about 700 bytes each. */
#define WINDOWS_MAX (14 * 24 * 60)

struct window {
	int64_t start; /* seconds since the epoch */
	struct sums sums;
	int64_t users;
	bool final; /* in every partition that reported it */
};

struct windows;

struct windows *windows_new(void);
void windows_free(struct windows *windows); /* accepts NULL */

/* Takes a RESULT_WINDOW or RESULT_PARTITION. false: the version did not go up;
 * the record counts all the same. */
bool windows_put(struct windows *windows, const struct result *result);

/* Newest first, none that starts before `since`. Returns how many. */
size_t windows_list(const struct windows *windows, int64_t since, struct window *out,
		    size_t max);
/* All windows, folded ones and late events together; of those the late ones. */
struct sums windows_all(const struct windows *windows);
struct sums windows_late(const struct windows *windows);
/* Windows that came too early or late to be kept. */
int64_t windows_dropped(const struct windows *windows);

#endif
