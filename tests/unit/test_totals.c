/* test_totals.c - users and their top list, windows and their sums, each against
 * a slow and obvious model. */
/* link: analytics-svc/users.c analytics-svc/windows.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "analytics-svc/users.h"
#include "analytics-svc/windows.h"
#include "str.h"

#define MODEL 3000

static struct user user(int64_t id, int64_t version, int64_t orders, int64_t spent)
{
	return (struct user){
		.id = id, .version = version, .orders = orders, .spent = spent};
}

static bool put(struct users *users, struct user u)
{
	return users_put(users, &u);
}

static void absolute_values_replace(void **state)
{
	struct users *users = users_new(100, 10);
	const struct user *top[3];

	(void)state;
	assert_true(put(users, user(1, 1, 1, 500)));
	assert_true(put(users, user(2, 1, 1, 700)));
	assert_true(put(users, user(1, 2, 2, 900)));
	assert_int_equal(users_orders(users), 3);
	assert_int_equal(users_spent(users), 1600);
	assert_int_equal(users_top(users, top, 3), 2);
	assert_int_equal(top[0]->id, 1);
	assert_int_equal(top[1]->id, 2);
	/* A version that does not go up is told, and counts. */
	assert_false(put(users, user(1, 2, 1, 100)));
	assert_int_equal(users_spent(users), 800);
	assert_int_equal(users_top(users, top, 1), 1);
	assert_int_equal(top[0]->id, 2);
	/* Everything cancelled: known, but not in the list. */
	assert_true(put(users, user(1, 3, 0, 0)));
	assert_int_equal(users_top(users, top, 3), 1);
	assert_int_equal(users_find(users, 1)->orders, 0);
	assert_null(users_find(users, 3));
	users_free(users);
}

static void equal_spenders_stand_by_id(void **state)
{
	struct users *users = users_new(100, 10);
	const struct user *top[4];

	(void)state;
	for (int64_t id = 4; id > 0; id--)
		put(users, user(id, 1, 1, 100));
	assert_int_equal(users_top(users, top, 4), 4);
	for (int64_t i = 0; i < 4; i++)
		assert_int_equal(top[i]->id, i + 1);
	users_free(users);
}

static int by_rank(const void *a, const void *b)
{
	const struct user *x = a, *y = b;

	if (x->spent != y->spent)
		return x->spent > y->spent ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void check_top(struct users *users, const struct user *model)
{
	static struct user sorted[MODEL];
	const struct user *top[USERS_TOP];
	size_t n = 0;

	for (size_t i = 0; i < MODEL; i++)
		if (model[i].orders > 0)
			sorted[n++] = model[i];
	qsort(sorted, n, sizeof(*sorted), by_rank);
	n = n < USERS_TOP ? n : USERS_TOP;
	assert_int_equal(users_top(users, top, USERS_TOP), n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(top[i]->id, sorted[i].id);
}

static void the_top_list_is_the_sorted_table(void **state)
{
	struct users *users = users_new(MODEL, 10);
	static struct user model[MODEL];

	(void)state;
	srand(7);
	for (int64_t step = 1; step <= 40000; step++) {
		size_t i = (size_t)(rand() % MODEL);
		int64_t orders = rand() % 4;
		model[i] = user((int64_t)i + 1, step, orders, orders * (rand() % 50));
		assert_true(users_put(users, &model[i]));
		if (step % 1000 == 0)
			check_top(users, model);
	}
	assert_true(users_complete(users));
	users_free(users);
}

static void a_full_table_keeps_the_best(void **state)
{
	struct users *users = users_new(1000, 100);
	const struct user *top[100];

	(void)state;
	for (int64_t id = 1; id <= 1000; id++)
		put(users, user(id, 1, 1, id * 10));
	assert_true(users_complete(users));
	put(users, user(1001, 1, 1, 5));
	assert_false(users_complete(users));
	assert_int_equal(users_count(users), 101);
	assert_int_equal(users_top(users, top, 100), 100);
	assert_int_equal(top[0]->id, 1000);
	assert_int_equal(top[99]->id, 901);
	assert_null(users_find(users, 900));
	assert_int_equal(users_find(users, 1001)->spent, 5);
	users_free(users);
}

/* ---- windows ---- */

static struct result part(int64_t start, int32_t partition, int64_t version,
			  int64_t orders, bool final)
{
	return (struct result){.type = RESULT_WINDOW,
			       .start = start,
			       .partition = partition,
			       .version = version,
			       .sums = {orders, orders * 100, 1, 30},
			       .users = orders,
			       .final = final};
}

static bool put_w(struct windows *windows, struct result r)
{
	return windows_put(windows, &r);
}

static void partitions_add_up(void **state)
{
	struct windows *windows = windows_new();
	struct window list[4];

	(void)state;
	assert_true(put_w(windows, part(120, 3, 1, 5, true)));
	assert_true(put_w(windows, part(120, 0, 1, 2, false)));
	assert_true(put_w(windows, part(60, 0, 1, 1, true)));
	assert_int_equal(windows_list(windows, 0, list, 4), 2);
	assert_int_equal(list[0].start, 120);
	assert_int_equal(list[0].sums.orders, 7);
	assert_int_equal(list[0].sums.revenue, 700);
	assert_int_equal(list[0].sums.cancelled, 2);
	assert_int_equal(list[0].users, 7);
	assert_false(list[0].final);
	assert_true(list[1].final);
	assert_true(put_w(windows, part(120, 0, 2, 3, true)));
	assert_false(put_w(windows, part(120, 0, 2, 3, true)));
	assert_int_equal(windows_list(windows, 61, list, 4), 1);
	assert_int_equal(list[0].sums.orders, 8);
	assert_true(list[0].final);
	assert_int_equal(windows_all(windows).orders, 9);
	windows_free(windows);
}

static void a_folded_window_stays_in_the_sums(void **state)
{
	struct windows *windows = windows_new();
	struct result gone = {.type = RESULT_WINDOW, .gone = true, .start = 60};
	struct result fold = {.type = RESULT_PARTITION,
			      .version = 1,
			      .folded = {4, 400, 1, 30},
			      .late = {1, 10, 0, 0}};
	struct window list[2];

	(void)state;
	put_w(windows, part(60, 0, 1, 4, true));
	assert_int_equal(windows_all(windows).orders, 4);
	assert_true(windows_put(windows, &fold));
	assert_true(windows_put(windows, &gone));
	assert_int_equal(windows_list(windows, 0, list, 2), 0);
	assert_int_equal(windows_all(windows).orders, 5);
	assert_int_equal(windows_all(windows).revenue, 410);
	assert_int_equal(windows_late(windows).orders, 1);
	assert_true(windows_put(windows, &gone));
	fold.version = 2;
	fold.folded.orders = 6;
	assert_true(windows_put(windows, &fold));
	assert_false(windows_put(windows, &fold));
	assert_int_equal(windows_all(windows).orders, 7);
	windows_free(windows);
}

/* A partition folds by its own events: one without orders for days still has a
 * whole day of windows, and they belong to the sums. */
static void quiet_partitions_keep_their_day(void **state)
{
	struct windows *windows = windows_new();
	const int64_t day = 24 * 60;

	(void)state;
	for (int32_t p = 0; p < 12; p++)
		for (int64_t i = 0; i < day; i++)
			put_w(windows, part((p * day + i) * 60, p, 1, 1, true));
	assert_int_equal(windows_dropped(windows), 0);
	assert_int_equal(windows_all(windows).orders, 12 * day);
	windows_free(windows);
}

static void windows_are_bounded(void **state)
{
	struct windows *windows = windows_new();
	struct window list[2];

	(void)state;
	for (int64_t i = 1; i <= WINDOWS_MAX; i++)
		put_w(windows, part(i * 60, 1, 1, 1, true));
	assert_int_equal(windows_dropped(windows), 0);
	put_w(windows, part(0, 1, 1, 1, true)); /* older than all: not taken */
	assert_int_equal(windows_all(windows).orders, WINDOWS_MAX);
	put_w(windows, part((WINDOWS_MAX + 1) * 60, 1, 1, 1, true));
	assert_int_equal(windows_dropped(windows), 2);
	assert_int_equal(windows_all(windows).orders, WINDOWS_MAX);
	assert_int_equal(windows_list(windows, 0, list, 1), 1);
	assert_int_equal(list[0].start, (WINDOWS_MAX + 1) * 60);
	windows_free(windows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absolute_values_replace),
		cmocka_unit_test(equal_spenders_stand_by_id),
		cmocka_unit_test(the_top_list_is_the_sorted_table),
		cmocka_unit_test(a_full_table_keeps_the_best),
		cmocka_unit_test(partitions_add_up),
		cmocka_unit_test(a_folded_window_stays_in_the_sums),
		cmocka_unit_test(quiet_partitions_keep_their_day),
		cmocka_unit_test(windows_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
