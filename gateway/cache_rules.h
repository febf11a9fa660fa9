/* cache_rules.h - what may be stored, and what may be answered from it (RFC 9111),
 * for the few kinds of messages that are worth it.  Pure. */
#ifndef GATEWAY_CACHE_RULES_H
#define GATEWAY_CACHE_RULES_H

#include "http_parse.h"

#define CACHE_BODY_MAX 65536

/* What a request says about stored answers. */
struct cache_wish {
	bool passes_by; /* neither answered from what is stored, nor stored */
	bool exact;     /* must be fetched, and may be stored */
	uint64_t max_age_us;
};
struct cache_wish cache_wish(const struct http_head *request);

/* May this answer to a plain GET be stored? `*lifetime_us` comes as the most that the
 * route allows, and is cut to what the answer allows. `no-cache` is for those behind us:
 * the route's file says for how long we may repeat an answer without asking. */
bool cache_may_store(const struct http_head *answer, uint64_t *lifetime_us);

/* Fields that a 304 repeats (RFC 9110 section 15.4.5). */
bool cache_repeats_in_304(struct str name);
/* Fields of a request that is sent to fill the cache go without these: whoever asks, the
 * answer is to be the same and whole. */
bool cache_fetch_drops(struct str name);

#endif
