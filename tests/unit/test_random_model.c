/* test_random_model.c - are failing sequences found, made small and printed well? */
/* link: tests/unit/random_model.c */
#include "random_model.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

/* A stack that must not hold three numbers above 100, the first of them odd. */
enum { PUSH, POP, LOOK };

static const struct step_kind kinds[] = {
	[PUSH] = {"PUSH", "value weight"},
	[POP] = {"POP", ""},
	[LOOK] = {"LOOK", "at"},
};

static unsigned runs;

static bool run(const struct step *steps, size_t n, char *why)
{
	int64_t held[1000];
	size_t top = 0, large = 0;

	runs++;
	for (size_t i = 0; i < n; i++) {
		if (steps[i].kind == PUSH)
			held[top++] = steps[i].arg[0];
		else if (steps[i].kind == POP && top > 0)
			top--;
	}
	for (size_t i = 0; i < top; i++) {
		if (held[i] > 100 && (large > 0 || held[i] % 2))
			large++;
	}
	return large < 3 || random_wrong(why, "%zu large ones", large);
}

static void make(struct rng *rng, struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		steps[i].kind = (unsigned)rng_below(rng, 3);
		for (unsigned k = 0; k < STEP_ARGS; k++)
			steps[i].arg[k] = rng_between(rng, -1000000, 1000000);
	}
}

static const struct random_test test = {
	.name = "a_stack", .kinds = kinds, .max_steps = 200, .make = make, .run = run};

/* Whatever it began with, the same three steps are left. */
static void made_small(void **state)
{
	unsigned failing = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct rng rng = rng_new(seed);
		struct step steps[200] = {0};
		char why[RANDOM_WHY_MAX];
		size_t n;

		make(&rng, steps, 200);
		if (run(steps, 200, why))
			continue;
		failing++;
		runs = 0;
		n = random_shrink(&test, steps, 200);
		assert_false(run(steps, n, why));
		assert_int_equal(n, 3);
		assert_in_range(runs, 1, 2000);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(steps[i].kind, PUSH);
			assert_int_equal(steps[i].arg[0], 101);
			assert_int_equal(steps[i].arg[1], 0);
		}
	}
	assert_true(failing > 50);
}

static bool always_fails(const struct step *steps, size_t n, char *why)
{
	(void)steps;
	(void)n;
	return random_wrong(why, "always");
}

static void nothing_needed(void **state)
{
	const struct random_test always = {
		.name = "always", .kinds = kinds, .max_steps = 50, .run = always_fails};
	struct step steps[50];
	struct rng rng = rng_new(1);

	(void)state;
	make(&rng, steps, 50);
	assert_int_equal(random_shrink(&always, steps, 50), 0);
}

static void printed_as_c(void **state)
{
	static const struct step steps[] = {
		{PUSH, {101, -7}}, {POP, {0}}, {LOOK, {INT64_MAX}}};
	char text[400] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");

	(void)state;
	random_print(out, &test, steps, 3);
	fclose(out);
	assert_string_equal(text, "static const struct step kept[] = {\n"
				  "\t{PUSH, {101, -7}}, /* value 101, weight -7 */\n"
				  "\t{POP, {}},\n"
				  "\t{LOOK, {9223372036854775807}}, "
				  "/* at 9223372036854775807 */\n"
				  "};\n");
}

static void numbers(void **state)
{
	struct rng a = rng_new(7), b = rng_new(7), split_a, split_b;
	unsigned seen[10] = {0};

	(void)state;
	split_a = rng_split(&a);
	split_b = rng_split(&b);
	for (unsigned i = 0; i < 100; i++)
		rng_next(&split_a); /* moves nothing else */
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t n = rng_next(&a);

		assert_int_equal(n, rng_next(&b));
		assert_int_not_equal(n, rng_next(&split_b));
		seen[rng_between(&a, -5, 4) + 5]++;
		rng_next(&b);
	}
	for (unsigned i = 0; i < 10; i++)
		assert_in_range(seen[i], 60, 150);
}

RUN(cmocka_unit_test(made_small), cmocka_unit_test(nothing_needed),
    cmocka_unit_test(printed_as_c), cmocka_unit_test(numbers))
