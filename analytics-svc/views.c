/* views.c - users, windows and sums as JSON. */
#include "views.h"

#include "money.h"

const char *view_tier(int64_t spent)
{
	if (spent > VIEW_TIER_VIP)
		return "VIP";
	return spent > VIEW_TIER_PREMIUM ? "Premium" : "Regular";
}

static void write_as_of(struct jw *w, struct feed *feed)
{
	jw_ktime(w, "as_of", feed_as_of(feed), true);
}

/* The members of a user, inside an object. */
static void write_user(struct jw *w, const struct user *user)
{
	jw_kint(w, "user_id", user->id);
	jw_kint(w, "total_orders", user->orders);
	jw_kmoney(w, "total_spent", user->spent);
	jw_kmoney(w, "average_order_value", money_average(user->spent, user->orders));
	jw_kstrz(w, "customer_tier", view_tier(user->spent));
	if (user->last_order_ms)
		jw_ktime(w, "last_order_at", user->last_order_ms, false);
	else
		jw_kstrz(w, "last_order_at", NULL);
}

void view_top(struct jw *w, struct feed *feed, size_t limit)
{
	const struct user *top[USERS_TOP];
	size_t n =
		users_top(feed_users(feed), top, limit < USERS_TOP ? limit : USERS_TOP);

	jw_object(w);
	jw_key(w, "top_users");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		write_user(w, top[i]);
		jw_end(w);
	}
	jw_end(w);
	write_as_of(w, feed);
	jw_end(w);
}

bool view_user(struct jw *w, struct feed *feed, int64_t user_id, struct err *err)
{
	const struct user nobody = {.id = user_id};
	const struct users *users = feed_users(feed);
	const struct user *user = users_find(users, user_id);

	if (!user && !users_complete(users))
		return err_slug(
			err, ERR_NOT_FOUND, "user_not_kept",
			"there are too many users to keep the totals of this one");
	jw_object(w);
	write_user(w, user ? user : &nobody);
	write_as_of(w, feed);
	jw_end(w);
	return true;
}

static void write_sums(struct jw *w, const struct sums *sums)
{
	jw_kint(w, "orders", sums->orders);
	jw_kmoney(w, "revenue", sums->revenue);
	jw_kint(w, "cancelled", sums->cancelled);
	jw_kmoney(w, "refunded", sums->refunded);
}

static void write_window(struct jw *w, const struct window *window)
{
	jw_object(w);
	jw_ktime(w, "start", window->start * 1000, false);
	jw_ktime(w, "end", (window->start + WINDOW_S) * 1000, false);
	write_sums(w, &window->sums);
	jw_kint(w, "users", window->users);
	jw_kbool(w, "final", window->final);
	jw_end(w);
}

void view_windows(struct jw *w, struct feed *feed, int64_t since, size_t limit)
{
	struct window list[VIEW_MAX_WINDOWS];
	size_t n = windows_list(feed_windows(feed), since, list,
				limit < VIEW_MAX_WINDOWS ? limit : VIEW_MAX_WINDOWS);

	jw_object(w);
	jw_key(w, "windows");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		write_window(w, &list[i]);
	jw_end(w);
	write_as_of(w, feed);
	jw_end(w);
}

/*
 * The same sums known in two ways: by user, and by window with what has left the
 * windows.  Both are shown so that anybody can compare them.  When users had to
 * be forgotten only the second is whole.
 */
void view_summary(struct jw *w, struct feed *feed)
{
	const struct users *users = feed_users(feed);
	struct sums all = windows_all(feed_windows(feed));
	struct sums late = windows_late(feed_windows(feed));
	bool whole = users_complete(users);
	int64_t orders = whole ? users_orders(users) : all.orders - all.cancelled;
	int64_t spent = whole ? users_spent(users) : all.revenue - all.refunded;

	jw_object(w);
	jw_kint(w, "total_orders", orders);
	jw_kmoney(w, "total_revenue", spent);
	jw_kint(w, "total_users", (int64_t)users_count(users));
	jw_kbool(w, "users_complete", whole);
	jw_kmoney(w, "average_order_value", money_average(spent, orders));
	jw_key(w, "by_window");
	jw_object(w);
	write_sums(w, &all);
	jw_end(w);
	jw_key(w, "late");
	jw_object(w);
	write_sums(w, &late);
	jw_end(w);
	write_as_of(w, feed);
	jw_end(w);
}
