/* test_seq_window.c - the window against examples, and against a set. */
/* link: processor/seq_window.c */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "processor/seq_window.h"

static struct seq_lost lost;
static bool beyond;

static enum seq_verdict take(struct seq_window *win, uint64_t number)
{
	return seq_window_take(win, number, &lost, &beyond);
}

static void in_order(void **state)
{
	struct seq_window win = {0};

	(void)state;
	for (uint64_t n = 1; n <= 200; n++) {
		assert_int_equal(take(&win, n), SEQ_NEW);
		assert_int_equal(take(&win, n), SEQ_DUPLICATE);
		assert_int_equal(lost.n, 0);
	}
	assert_int_equal(win.seq, 200);
	assert_int_equal(win.seen, 0);
	assert_int_equal(take(&win, 1), SEQ_DUPLICATE);
}

static void reordered(void **state)
{
	struct seq_window win = {0};

	(void)state;
	for (uint64_t n = 64; n >= 1; n--)
		assert_int_equal(take(&win, n), SEQ_NEW);
	assert_int_equal(win.seq, 64);
	assert_int_equal(lost.n, 0);
	for (uint64_t n = 64; n >= 1; n--)
		assert_int_equal(take(&win, n), SEQ_DUPLICATE);
}

static void hole_is_given_up(void **state)
{
	struct seq_window win = {0};
	char text[64];

	(void)state;
	take(&win, 1);
	for (uint64_t n = 4; n <= 65; n++) { /* 2 and 3 are missing */
		assert_int_equal(take(&win, n), SEQ_NEW);
		assert_int_equal(lost.n, 0);
	}
	assert_int_equal(win.seq, 1);
	assert_int_equal(take(&win, 66), SEQ_NEW);
	assert_int_equal(lost.total, 1); /* 2 left the window, 3 is its edge */
	assert_int_equal(lost.range[0].first, 2);
	assert_int_equal(win.seq, 2);
	assert_int_equal(take(&win, 2), SEQ_DUPLICATE);
	assert_int_equal(take(&win, 67), SEQ_NEW);
	seq_lost_text(&lost, text, sizeof(text));
	assert_string_equal(text, "3");
	assert_int_equal(win.seq, 67);
	assert_int_equal(win.seen, 0);
}

static void far_jump_loses_a_range(void **state)
{
	struct seq_window win = {0};
	char text[32];

	(void)state;
	take(&win, 1);
	take(&win, 3);
	assert_int_equal(take(&win, 1000), SEQ_NEW);
	seq_lost_text(&lost, text, sizeof(text));
	assert_string_equal(text, "2, 4-936");
	assert_int_equal(lost.total, 934);
	assert_int_equal(take(&win, 999), SEQ_NEW);
	assert_int_equal(take(&win, 936), SEQ_DUPLICATE);
	assert_int_equal(take(&win, 937), SEQ_NEW);
}

static void unbelievable_jump(void **state)
{
	struct seq_window win = {.seq = 5, .seen = 6}, before = win;

	(void)state;
	assert_int_equal(take(&win, 5 + SEQ_MAX_JUMP + 1), SEQ_JUMP);
	assert_memory_equal(&win, &before, sizeof(win));
	assert_int_equal(take(&win, 5 + SEQ_MAX_JUMP), SEQ_NEW);
}

static void first_seen(void **state)
{
	struct seq_window win = {0};

	(void)state;
	assert_int_equal(take(&win, 64), SEQ_NEW);
	assert_false(beyond);
	assert_int_equal(take(&win, 1), SEQ_NEW);

	win = (struct seq_window){0};
	assert_int_equal(take(&win, 5000000), SEQ_NEW);
	assert_true(beyond);
	assert_int_equal(lost.n, 0);
	assert_int_equal(win.seq, 5000000);
	assert_int_equal(take(&win, 4999999), SEQ_DUPLICATE);
	assert_int_equal(take(&win, 5000001), SEQ_NEW);
	assert_false(beyond);
}

static void epochs(void **state)
{
	uint64_t epoch = (uint64_t)1 << SEQ_EPOCH_SHIFT;
	struct seq_window win = {0};
	char text[64];

	(void)state;
	take(&win, 1);
	take(&win, 3);
	assert_int_equal(take(&win, epoch + 2), SEQ_NEW);
	seq_lost_text(&lost, text, sizeof(text));
	assert_string_equal(text, "2");
	assert_false(beyond);
	assert_int_equal(take(&win, epoch + 1), SEQ_NEW);
	assert_int_equal(take(&win, 4), SEQ_DUPLICATE);
	assert_int_equal(win.seq, epoch + 2);
	assert_int_equal(take(&win, 2 * epoch + 500), SEQ_NEW);
	assert_true(beyond);
	assert_int_equal(take(&win, 2 * epoch + 501), SEQ_NEW);
}

static void text_is_cut(void **state)
{
	struct seq_window win = {0};
	char text[24];

	(void)state;
	for (uint64_t n = 2; n <= 64; n += 2)
		take(&win, n);
	take(&win, 200);
	assert_int_equal(lost.n, 33);
	seq_lost_text(&lost, text, sizeof(text));
	assert_true(strlen(text) < sizeof(text));
	assert_string_equal(text + strlen(text) - 3, "...");
}

/* Random steps: each number is NEW at most once, and each is either taken or
 * reported as lost once the window has passed it. */
static void against_a_set(void **state)
{
	enum { TOP = 4000 };
	static unsigned char taken[TOP + 1], gone[TOP + 1];

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct seq_window win = {0};
		int64_t base = 1;

		srand(seed);
		memset(taken, 0, sizeof(taken));
		memset(gone, 0, sizeof(gone));
		while (base <= TOP - 200) {
			int64_t n = base + rand() % 90 - 30;
			enum seq_verdict verdict;

			base += rand() % 2;
			if (rand() % 200 == 0)
				base += rand() % 100;
			if (n < 1)
				continue;
			verdict = take(&win, (uint64_t)n);
			for (unsigned i = 0; i < lost.n; i++)
				for (uint64_t k = lost.range[i].first;
				     k <= lost.range[i].last; k++)
					assert_int_equal(taken[k] + gone[k]++, 0);
			assert_int_equal(verdict,
					 taken[n] || gone[n] ? SEQ_DUPLICATE : SEQ_NEW);
			if (verdict == SEQ_NEW)
				taken[n] = 1;
			assert_int_equal(win.seen & 1, 0);
		}
		for (uint64_t k = 1; k <= win.seq; k++)
			assert_int_equal(taken[k] + gone[k], 1);
	}
}

RUN(cmocka_unit_test(in_order), cmocka_unit_test(reordered),
    cmocka_unit_test(hole_is_given_up), cmocka_unit_test(far_jump_loses_a_range),
    cmocka_unit_test(unbelievable_jump), cmocka_unit_test(first_seen),
    cmocka_unit_test(epochs), cmocka_unit_test(text_is_cut),
    cmocka_unit_test(against_a_set))
