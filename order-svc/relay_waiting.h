/*
 * relay_waiting.h - users whose events did not arrive lately.  Pure.
 *
 * A partition without a leader must not hold up everybody: its users are left out
 * for a while.  Each waits as a whole, so the order of his events stays.
 */
#ifndef ORDER_SVC_RELAY_WAITING_H
#define ORDER_SVC_RELAY_WAITING_H

#include <stddef.h>
#include <stdint.h>

#define RELAY_WAITING_MAX 1000

struct relay_waiting {
	struct {
		int64_t user_id, until_ms;
	} users[RELAY_WAITING_MAX];
	size_t n;
	char text[RELAY_WAITING_MAX * 21]; /* of relay_waiting_text() */
};

/* When there are too many already, this one does not wait. */
void relay_waiting_add(struct relay_waiting *waiting, int64_t user_id, int64_t until_ms);
/* Lets go whose time is over. The others with commas between, for FIND_IN_SET(); valid
 * until the next call. */
const char *relay_waiting_text(struct relay_waiting *waiting, int64_t now_ms);

#endif
