/* test_state.c - examples, and random histories against a simple model. */
/* link: processor/partition_state.c processor/user_state.c */
/* link: processor/window_state.c processor/seq_window.c */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "processor/state.h"

#define T0    1764018780000LL /* the start of a minute */
#define DAY   86400000LL
#define START (T0 / 1000)

static struct applied applied;

static struct order_event order(int64_t user, int64_t id, int64_t cents, int64_t time_ms,
				uint64_t seq)
{
	return (struct order_event){ORDER_CREATED, user, id, cents, time_ms, seq};
}

static void apply(struct state *s, struct order_event event)
{
	state_apply(s, &event, T0 + 30000, &applied);
}

static void counts_and_cancels(void **state)
{
	struct state *s = state_new(3, 100);
	struct order_event cancel = order(1, 10, 500, T0 + 61000, 3);
	const struct window *win;

	(void)state;
	cancel.type = ORDER_CANCELLED;
	apply(s, order(1, 10, 500, T0 + 1000, 1));
	apply(s, order(1, 11, 250, T0 + 2000, 2));
	apply(s, cancel);
	assert_int_equal(state_user(s, 1)->orders, 1);
	assert_int_equal(state_user(s, 1)->cents, 250);
	assert_int_equal(state_user(s, 1)->last_order_ms, T0 + 2000);
	assert_int_equal(state_user(s, 1)->version, 1);
	win = state_window(s, START);
	assert_int_equal(win->orders, 2);
	assert_int_equal(win->revenue, 750);
	assert_int_equal(win->users, 1);
	assert_int_equal(win->cancelled, 0);
	win = state_window(s, START + 60);
	assert_int_equal(win->cancelled, 1);
	assert_int_equal(win->refunded, 500);
	assert_int_equal(state_totals(s)->watermark_ms, T0 + 61000);
	state_commit(s);
	assert_int_equal(state_touched(s), 0);
	apply(s, cancel);
	assert_int_equal(applied.outcome, OUTCOME_DUPLICATE);
	assert_int_equal(state_touched(s), 0);
	state_free(s);
}

static void orders_without_seq(void **state)
{
	struct state *s = state_new(3, 100);
	struct order_event cancel = order(1, 5, 100, T0, 0);

	(void)state;
	cancel.type = ORDER_CANCELLED;
	for (int64_t id = 1; id <= 16; id++)
		apply(s, order(1, id, 100, T0, 0));
	apply(s, order(1, 1, 100, T0, 0));
	assert_int_equal(applied.outcome, OUTCOME_DUPLICATE);
	apply(s, cancel);
	assert_int_equal(applied.outcome, OUTCOME_COUNTED);
	apply(s, cancel);
	assert_int_equal(applied.outcome, OUTCOME_DUPLICATE);
	assert_int_equal(state_user(s, 1)->orders, 15);
	apply(s, order(1, 1, 100, T0, 0)); /* pushed out of the ring by the rest */
	assert_int_equal(applied.outcome, OUTCOME_COUNTED);
	state_free(s);
}

static void final_by_watermark_then_corrected(void **state)
{
	struct state *s = state_new(3, 100);
	const struct window *win;

	(void)state;
	apply(s, order(1, 1, 100, T0, 1));
	state_close(s, T0, false);
	assert_false(state_window(s, START)->final);
	apply(s, order(1, 2, 100, T0 + 69999, 2));
	assert_false(state_close_due(s, T0, false));
	state_commit(s);
	apply(s, order(1, 3, 100, T0 + 70000, 3));
	assert_true(state_close_due(s, T0, false));
	state_close(s, T0, false);
	win = state_window(s, START);
	assert_true(win->final);
	assert_int_equal(win->version, 2);
	state_commit(s);
	apply(s, order(1, 4, 100, T0 + 100, 4));
	assert_false(applied.late);
	assert_true(win->final);
	assert_int_equal(win->orders, 2);
	assert_int_equal(win->version, 3);
	state_free(s);
}

static void final_when_idle(void **state)
{
	struct state *s = state_new(3, 100);

	(void)state;
	apply(s, order(1, 1, 100, T0, 1));
	state_commit(s);
	assert_false(state_close_due(s, T0 + 59999, true));
	assert_false(state_close_due(s, T0 + 60000, false));
	assert_true(state_close_due(s, T0 + 60000, true));
	state_close(s, T0 + 60000, true);
	assert_true(state_window(s, START)->final);
	assert_int_equal(state_totals(s)->touched, false);
	state_free(s);
}

static unsigned tombstones;

static void see_user(const struct user *user, void *arg)
{
	(void)user;
	(void)arg;
}

static void see_window(const struct window *win, int32_t partition, void *arg)
{
	(void)partition;
	(void)arg;
	tombstones += win->folded;
}

static void see_totals(const struct totals *totals, int32_t partition, void *arg)
{
	(void)totals;
	(void)partition;
	(void)arg;
}

static void folds_after_a_day(void **state)
{
	const struct state_visitor visitor = {see_user, see_window, see_totals, NULL};
	struct state *s = state_new(3, 100);
	struct order_event late = order(1, 3, 70, T0 + 5, 3);

	(void)state;
	apply(s, order(1, 1, 100, T0, 1));
	state_commit(s);
	late.time_ms = T0 + 60000 + DAY;
	late.seq = 2;
	state_apply(s, &late, T0 + 2 * DAY, &applied);
	state_close(s, T0 + 2 * DAY, false);
	tombstones = 0;
	state_each_touched(s, &visitor);
	assert_int_equal(tombstones, 1);
	assert_false(state_close_due(s, T0 + 2 * DAY, false)); /* done, not committed */
	assert_int_equal(state_totals(s)->folded.orders, 1);
	assert_int_equal(state_totals(s)->folded.revenue, 100);
	state_rollback(s);
	assert_int_equal(state_windows(s), 1);
	assert_int_equal(state_totals(s)->folded.orders, 0);
	state_apply(s, &late, T0 + 2 * DAY, &applied);
	state_close(s, T0 + 2 * DAY, false);
	state_commit(s);
	assert_null(state_window(s, START));
	apply(s, order(1, 3, 70, T0 + 5, 3));
	assert_true(applied.late);
	assert_int_equal(state_totals(s)->late.revenue, 70);
	assert_int_equal(state_user(s, 1)->orders, 3);
	assert_int_equal(state_windows(s), 1);
	state_free(s);
}

static void clocks_ahead(void **state)
{
	struct state *s = state_new(3, 100);

	(void)state;
	apply(s, order(1, 1, 100, T0 + 30000 + STATE_AHEAD_MS + 1, 1));
	assert_int_equal(state_totals(s)->watermark_ms, -1);
	assert_int_equal(state_window(s, START)->orders, 1);
	assert_int_equal(state_user(s, 1)->last_order_ms, T0 + 30000);
	apply(s, order(1, 2, 100, T0 + 30000 + STATE_AHEAD_MS, 2));
	assert_int_equal(state_totals(s)->watermark_ms, T0 + 30000 + STATE_AHEAD_MS);
	state_free(s);
}

static void refuses(void **state)
{
	struct state *s = state_new(3, 1);
	struct order_event other = {.type = ORDER_OTHER};

	(void)state;
	apply(s, order(1, 1, 100, T0, 1));
	apply(s, order(2, 1, 100, T0, 1));
	assert_int_equal(applied.outcome, OUTCOME_FULL);
	assert_null(state_user(s, 2));
	apply(s, order(1, 2, 100, T0, 5000000));
	assert_int_equal(applied.outcome, OUTCOME_JUMP);
	assert_int_equal(state_user(s, 1)->orders, 1);
	apply(s, other);
	assert_int_equal(applied.outcome, OUTCOME_IGNORED);
	/* An unknown type fills its place in the numbering and nothing else. */
	other.user_id = 1;
	other.seq = 2;
	apply(s, other);
	assert_int_equal(applied.outcome, OUTCOME_IGNORED);
	assert_int_equal(state_user(s, 1)->seq.seq, 2);
	assert_int_equal(state_user(s, 1)->orders, 1);
	state_free(s);
}

/* ---- a random history: duplicates, reordering, aborted transactions ---- */

#define USERS   6
#define EVENTS  400
#define MINUTES 8

struct model {
	int64_t orders[USERS + 1], cents[USERS + 1];
	int64_t win_orders[MINUTES], win_revenue[MINUTES];
	int64_t win_cancelled[MINUTES], win_refunded[MINUTES];
	bool bought[MINUTES][USERS + 1];
};

static struct order_event history[EVENTS];
static struct model model;

static void make_history(bool in_order)
{
	uint64_t seq[USERS + 1] = {0};

	memset(&model, 0, sizeof(model));
	for (int i = 0; i < EVENTS; i++) {
		int64_t user = rand() % USERS + 1;
		int minute = i * MINUTES / EVENTS;
		struct order_event *e = &history[i];

		*e = order(user, i + 1, rand() % 100000,
			   T0 + minute * 60000 + rand() % 60000, ++seq[user]);
		if (rand() % 5 == 0) {
			e->type = ORDER_CANCELLED;
			model.orders[user]--;
			model.cents[user] -= e->cents;
			model.win_cancelled[minute]++;
			model.win_refunded[minute] += e->cents;
		} else {
			model.orders[user]++;
			model.cents[user] += e->cents;
			model.bought[minute][user] = true;
			model.win_orders[minute]++;
			model.win_revenue[minute] += e->cents;
		}
	}
	/* Neighbours change places: at most some 20 apart per user. */
	for (int i = 0; i < EVENTS - 20 && !in_order; i++) {
		int j = i + rand() % 20;
		struct order_event swap = history[i];

		history[i] = history[j];
		history[j] = swap;
	}
}

static void check_users(const struct window *win, int minute, bool in_order)
{
	int64_t users = 0;

	for (int u = 1; u <= USERS; u++)
		users += model.bought[minute][u];
	if (in_order)
		assert_int_equal(win->users, users);
	else
		assert_true(win->users <= users);
}

static void check_model(const struct state *s, bool in_order)
{
	for (int64_t u = 1; u <= USERS; u++) {
		assert_int_equal(state_user(s, u)->orders, model.orders[u]);
		assert_int_equal(state_user(s, u)->cents, model.cents[u]);
		assert_int_equal(state_user(s, u)->seq.seen, 0);
	}
	for (int m = 0; m < MINUTES; m++) {
		const struct window *win = state_window(s, START + m * 60);

		assert_int_equal(win->orders, model.win_orders[m]);
		assert_int_equal(win->revenue, model.win_revenue[m]);
		assert_int_equal(win->cancelled, model.win_cancelled[m]);
		assert_int_equal(win->refunded, model.win_refunded[m]);
		check_users(win, m, in_order);
	}
}

/* As the engine does it: apply up to a commit; an abort goes back to where the
 * transaction began, or further (a repeated delivery of counted events). */
static void random_histories(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct state *s = state_new(0, 100);
		bool in_order = seed % 2 == 0;
		int committed = 0, next = 0;

		srand(seed);
		make_history(in_order);
		while (committed < EVENTS) {
			int until = next + rand() % 30;

			for (; next < EVENTS && next < until; next++) {
				state_apply(s, &history[next], T0 + MINUTES * 60000,
					    &applied);
				state_consumed(s, next + 1);
			}
			state_close(s, T0, false);
			if (rand() % 3 == 0) {
				state_rollback(s);
				next = committed;
				assert_int_equal(state_totals(s)->next,
						 next > 0 ? next : -1);
				continue;
			}
			state_commit(s);
			committed = next;
			assert_int_equal(state_totals(s)->next, next > 0 ? next : -1);
			if (rand() % 4 == 0) /* the producer repeats itself */
				for (int i = next > 10 ? next - 10 : 0; i < next; i++) {
					apply(s, history[i]);
					assert_int_equal(applied.outcome,
							 OUTCOME_DUPLICATE);
				}
		}
		check_model(s, in_order);
		state_free(s);
	}
}

RUN(cmocka_unit_test(counts_and_cancels), cmocka_unit_test(orders_without_seq),
    cmocka_unit_test(final_by_watermark_then_corrected),
    cmocka_unit_test(final_when_idle), cmocka_unit_test(folds_after_a_day),
    cmocka_unit_test(clocks_ahead), cmocka_unit_test(refuses),
    cmocka_unit_test(random_histories))
