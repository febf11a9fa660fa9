/*
 * results_json.h - the records of analytics-results: keys and JSON values.
 *
 * They are the results for analytics-svc and, because every value is absolute,
 * also the changelog from which the processor restores itself:
 *
 *   u:<user>                 totals and the window of seen numbers
 *   w:<start s>:<partition>  a one-minute window; a tombstone when folded
 *   p:<partition>            watermark, late and folded sums
 */
#ifndef PROCESSOR_RESULTS_JSON_H
#define PROCESSOR_RESULTS_JSON_H

#include "err.h"
#include "jw.h"
#include "state.h"

#define RESULTS_KEY_MAX   48
#define RESULTS_VALUE_MAX 2048 /* 16 recent ids of 20 digits and the rest */

/* dst holds RESULTS_KEY_MAX bytes. */
struct str results_user_key(char *dst, int64_t user_id);
struct str results_window_key(char *dst, int64_t start_s, int32_t partition);
struct str results_totals_key(char *dst, int32_t partition);

void results_user(struct jw *w, const struct user *user);
void results_window(struct jw *w, const struct window *win, int32_t partition);
void results_totals(struct jw *w, const struct totals *totals, int32_t partition);

/* Takes one record into `state`; value.at == NULL is a tombstone. `partitions`
 * is the number of the topic's partitions: users must belong here. Anything
 * unknown, damaged or misplaced is an error that names the key. */
bool results_load(struct state *state, int32_t partitions, struct str key,
		  struct str value, struct err *err) __attribute__((warn_unused_result));

#endif
