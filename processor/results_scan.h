/* results_scan.h - the quick way to read a user's record; results_json.h is the way in.
 */
#ifndef PROCESSOR_RESULTS_SCAN_H
#define PROCESSOR_RESULTS_SCAN_H

#include "state.h"
#include "str.h"

/* true: `user` is what the general reading would give, without recent ids.
 * false: it may be a good record or none, and `user` is undefined. */
bool results_scan_user(struct str value, struct user *user)
	__attribute__((warn_unused_result));
/* The map of seen numbers, 16 hex digits. */
bool results_seen(struct str hex, uint64_t *seen) __attribute__((warn_unused_result));

#endif
