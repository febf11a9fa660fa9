/* test_processor_slot.c - the slot of an instance, from its setting or its host's name.
 */
/* link: processor/settings.c */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "processor/settings.h"

static void is(const char *hostname, int64_t want)
{
	int64_t slot = -1;

	assert_true(settings_slot_of(hostname, &slot));
	assert_int_equal(slot, want);
}

static void is_none(const char *hostname)
{
	int64_t slot = -1;

	assert_false(settings_slot_of(hostname, &slot));
	assert_int_equal(slot, -1);
}

static void ordinals(void **state)
{
	(void)state;
	is("processor-0", 0);
	is("shop-processor-11", 11);
	is("processor-9999", 9999);
	is_none("processor-10000");
	is_none("processor-");
	is_none("processor");
	is_none("processor1");
	/* What docker calls a container, what a Deployment calls a pod. */
	is_none("3f2a9c1b2d4e");
	is_none("processor-7d9f8b6c5-x2x4z");
	is_none("-1");
	is_none("processor-+1");
	is_none("");
	is_none(NULL);
}

static void the_setting_goes_first(void **state)
{
	struct settings cfg = {.slot = 3};
	struct err err = {0};

	(void)state;
	setenv("HOSTNAME", "processor-7", 1);
	assert_true(settings_check(&cfg, &err));
	assert_int_equal(cfg.slot, 3);
	cfg.slot = -1;
	assert_true(settings_check(&cfg, &err));
	assert_int_equal(cfg.slot, 7);
	cfg.slot = -1;
	setenv("HOSTNAME", "somewhere", 1);
	assert_false(settings_check(&cfg, &err));
	assert_non_null(strstr(err.text, "PROCESSOR_SLOT"));
	assert_non_null(strstr(err.text, "somewhere"));
	unsetenv("HOSTNAME");
	assert_false(settings_check(&cfg, &err));
	assert_non_null(strstr(err.text, "PROCESSOR_SLOT"));
}

RUN(cmocka_unit_test(ordinals), cmocka_unit_test(the_setting_goes_first))
