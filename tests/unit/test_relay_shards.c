/* test_relay_shards.c - shares of the outbox. */
/* link: order-svc/relay_shards.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay_shards.h"

static void test_alone_takes_all(void **state)
{
	struct relay_move move = relay_shards_move(0, RELAY_ALL_SHARDS, 1, 0);

	(void)state;
	assert_int_equal(move.take, RELAY_ALL_SHARDS);
	assert_int_equal(move.give, 0);
}

static void test_only_what_nobody_holds(void **state)
{
	struct relay_move move = relay_shards_move(1u << 3, 1u << 3 | 1u << 5, 3, 1);

	(void)state;
	assert_int_equal(move.take, 1u << 5);
	assert_int_equal(move.give, 0);
}

static void test_gives_up_what_is_too_much(void **state)
{
	struct relay_move move = relay_shards_move(RELAY_ALL_SHARDS, 0, 7, 0);

	(void)state;
	assert_int_equal(relay_shards_count(move.give), 5);
	assert_int_equal(move.take, 0);
}

/* Relays come and go in any order: everything is held in the end, by nobody twice,
 * and nobody has less than a fair share. */
static void test_settles(void **state)
{
	relay_shards held[RELAY_SHARDS] = {0};
	unsigned seed = 7;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned members = 1 + (unsigned)rand_r(&seed) % RELAY_SHARDS;

		for (unsigned i = members; i < RELAY_SHARDS; i++)
			held[i] = 0; /* died */
		for (unsigned turn = 0; turn < 2 * members; turn++) {
			unsigned i = turn % members;
			relay_shards others = 0;
			struct relay_move move;

			for (unsigned k = 0; k < RELAY_SHARDS; k++)
				others |= k == i ? 0 : held[k];
			move = relay_shards_move(held[i],
						 RELAY_ALL_SHARDS & ~others & ~held[i],
						 (1u << members) - 1, i);
			assert_int_equal(move.take & others, 0);
			held[i] = (held[i] & ~move.give) | move.take;
		}
		relay_shards all = 0;
		for (unsigned k = 0; k < members; k++) {
			assert_int_equal(all & held[k], 0);
			assert_true(relay_shards_count(held[k]) >=
				    RELAY_SHARDS / members);
			all |= held[k];
		}
		assert_int_equal(all, RELAY_ALL_SHARDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone_takes_all),
		cmocka_unit_test(test_only_what_nobody_holds),
		cmocka_unit_test(test_gives_up_what_is_too_much),
		cmocka_unit_test(test_settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
