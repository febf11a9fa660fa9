/*
 * failpoint.h - make a step fail on purpose, in builds that tests use.
 *
 *   FAILPOINTS=name:probability:action[,...]   action: kill stop error delay:MS
 *   FAILPOINTS_SEED=NUMBER                     the same passes strike
 *
 * FAILPOINT("order_recorded") marks a step.  `kill` and `stop` raise the
 * signal, `delay` sleeps, `error` makes the macro true so that the caller takes
 * its error path.  Compiled out (always false) when RELEASE is defined.
 */
#ifndef COMMON_FAILPOINT_H
#define COMMON_FAILPOINT_H

#include <stdbool.h>

#include "err.h"

#ifdef RELEASE
#define FAILPOINT(name) (false)
static inline bool failpoint_init(struct err *err)
{
	(void)err;
	return true;
}
#else
#define FAILPOINT(name) failpoint_hit(name)
bool failpoint_hit(const char *name);
/* Reads both; what is malformed stops the start. */
bool failpoint_init(struct err *err);
#endif

#endif
