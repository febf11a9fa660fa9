/* views.h - what analytics looks like as JSON, the same for REST and the stream. */
#ifndef ANALYTICS_SVC_VIEWS_H
#define ANALYTICS_SVC_VIEWS_H

#include "feed.h"
#include "jw.h"

#define VIEW_MAX_BYTES    (1 << 20)
#define VIEW_MAX_WINDOWS  1440    /* a day */
#define VIEW_TIER_VIP     1000000 /* cents spent, above which … */
#define VIEW_TIER_PREMIUM 500000

/* Each writes one complete object, or nothing when it fails. */
void view_top(struct jw *w, struct feed *feed, size_t limit);
/* A user that has never ordered is all zeros. false: who is not in the table may have
 * been forgotten. */
bool view_user(struct jw *w, struct feed *feed, int64_t user_id, struct err *err);
/* Newest first; none that starts before `since` (seconds since the epoch). */
void view_windows(struct jw *w, struct feed *feed, int64_t since, size_t limit);
void view_summary(struct jw *w, struct feed *feed);

/* "VIP", "Premium" or "Regular". */
const char *view_tier(int64_t spent);

#endif
