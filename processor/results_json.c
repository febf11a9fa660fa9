/* results_json.c - writing the records. */
#include "results_json.h"

#include <inttypes.h>
#include <stdio.h>

struct str results_user_key(char *dst, int64_t user_id)
{
	int len = snprintf(dst, RESULTS_KEY_MAX, "u:%" PRId64, user_id);

	return (struct str){dst, (size_t)len};
}

struct str results_window_key(char *dst, int64_t start_s, int32_t partition)
{
	int len = snprintf(dst, RESULTS_KEY_MAX, "w:%" PRId64 ":%" PRId32, start_s,
			   partition);

	return (struct str){dst, (size_t)len};
}

struct str results_totals_key(char *dst, int32_t partition)
{
	int len = snprintf(dst, RESULTS_KEY_MAX, "p:%" PRId32, partition);

	return (struct str){dst, (size_t)len};
}

void results_user(struct jw *w, const struct user *user)
{
	char seen[17];

	snprintf(seen, sizeof(seen), "%016" PRIx64, user->seq.seen);
	jw_object(w);
	jw_kint(w, "v", user->version);
	jw_kint(w, "user_id", user->user_id);
	jw_kint(w, "orders", user->orders);
	jw_kmoney(w, "spent", user->cents);
	jw_key(w, "last_order_at");
	if (user->last_order_ms < 0)
		jw_null(w);
	else
		jw_time(w, user->last_order_ms, true);
	jw_kint(w, "seq", (int64_t)user->seq.seq);
	jw_kstrz(w, "seen", seen);
	if (user->recent) {
		jw_key(w, "recent");
		jw_array(w);
		for (unsigned i = 0; i < user->recent->n; i++)
			jw_int(w, user->recent->id[i]);
		jw_end(w);
	}
	jw_kint(w, "window", user->window_s);
	jw_end(w);
}

void results_window(struct jw *w, const struct window *win, int32_t partition)
{
	jw_object(w);
	jw_kint(w, "v", win->version);
	jw_kint(w, "start", win->start_s);
	jw_kint(w, "partition", partition);
	jw_kint(w, "orders", win->orders);
	jw_kmoney(w, "revenue", win->revenue);
	jw_kint(w, "cancelled", win->cancelled);
	jw_kmoney(w, "refunded", win->refunded);
	jw_kint(w, "users", win->users);
	jw_kbool(w, "final", win->final);
	jw_end(w);
}

void results_totals(struct jw *w, const struct totals *totals, int32_t partition)
{
	jw_object(w);
	jw_kint(w, "v", totals->version);
	jw_kint(w, "partition", partition);
	jw_kint(w, "next", totals->next);
	jw_kint(w, "watermark", totals->watermark_ms);
	jw_kint(w, "late_orders", totals->late.orders);
	jw_kmoney(w, "late_revenue", totals->late.revenue);
	jw_kint(w, "late_cancelled", totals->late.cancelled);
	jw_kmoney(w, "late_refunded", totals->late.refunded);
	jw_kint(w, "folded_orders", totals->folded.orders);
	jw_kmoney(w, "folded_revenue", totals->folded.revenue);
	jw_kint(w, "folded_cancelled", totals->folded.cancelled);
	jw_kmoney(w, "folded_refunded", totals->folded.refunded);
	jw_end(w);
}
