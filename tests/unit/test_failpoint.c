/* test_failpoint.c - which passes of a step strike, by FAILPOINTS_SEED. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failpoint.h"
#include "log.h"

#define PASSES 2000

/* The passes of `name` that strike; another step is passed `others` times in between. */
static unsigned play(char *struck, const char *seed, const char *name, int others)
{
	struct err err;
	unsigned n = 0;

	(void)name; /* a release build has none */
	log_init("test", LOG_ERROR);
	setenv("FAILPOINTS", "one:0.2:error,two:0.2:error,half:0.5:error", 1);
	if (seed)
		setenv("FAILPOINTS_SEED", seed, 1);
	else
		unsetenv("FAILPOINTS_SEED");
	assert_true(failpoint_init(&err));
	for (int i = 0; i < PASSES; i++) {
		for (int other = 0; other < others; other++)
			(void)FAILPOINT("half");
		struck[i] = FAILPOINT(name);
		n += struck[i];
	}
	return n;
}

static bool same(const char *seed, const char *name, const char *seed2, const char *name2,
		 int others2)
{
	char a[PASSES], b[PASSES];

	play(a, seed, name, 0);
	play(b, seed2, name2, others2);
	return memcmp(a, b, PASSES) == 0;
}

static void a_seed_decides(void **state)
{
	(void)state;
#ifdef RELEASE
	skip();
#endif
	assert_true(same("7", "one", "7", "one", 0));
	assert_true(same("7", "one", "7", "one", 3));
	assert_false(same("7", "one", "8", "one", 0));
	assert_false(same("7", "one", "7", "two", 0));
	assert_false(same(NULL, "one", NULL, "one", 0));
}

static void as_often_as_told(void **state)
{
	char struck[PASSES];

	(void)state;
#ifdef RELEASE
	skip();
#endif
	for (int seed = 0; seed < 50; seed++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", seed);
		assert_in_range(play(struck, text, "one", 0), PASSES / 5 - 120,
				PASSES / 5 + 120);
	}
}

static void refuses_what_is_no_number(void **state)
{
	struct err err;

	(void)state;
#ifdef RELEASE
	skip();
#endif
	setenv("FAILPOINTS_SEED", "seven", 1);
	assert_false(failpoint_init(&err));
	assert_non_null(strstr(err.text, "FAILPOINTS_SEED"));
}

RUN(cmocka_unit_test(a_seed_decides), cmocka_unit_test(as_often_as_told),
    cmocka_unit_test(refuses_what_is_no_number))
