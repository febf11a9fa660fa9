/* test_config.c - settings from the environment, with errors that name them. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

struct sample {
	char *name, *secret, *listen;
	int64_t n;
	bool on;
	int mode;
};

static const char *const modes[] = {"red", "blue", NULL};
static const struct config_entry table[] = {
	CFG_STR(struct sample, name, "T_NAME", "x", "a name"),
	CFG_SECRET(struct sample, secret, "T_SECRET", "", "a secret"),
	CFG_LISTEN(struct sample, listen, "T_LISTEN", "127.0.0.1:80", "where"),
	CFG_INT(struct sample, n, "T_N", "7", 1, 9, "a number"),
	CFG_BOOL(struct sample, on, "T_ON", "yes", "a switch"),
	CFG_ENUM(struct sample, mode, "T_MODE", "blue", modes, "a colour"),
	CFG_STR(struct sample, name, "T_NEEDED", NULL, "must be there"),
	CFG_END,
};

static struct sample into;
static const struct config_part parts[] = {{table, &into}, {NULL, NULL}};

static int fresh(void **state)
{
	(void)state;
	unsetenv("T_NAME");
	unsetenv("T_SECRET_FILE");
	unsetenv("T_SECRET");
	unsetenv("T_N");
	unsetenv("T_MODE");
	unsetenv("T_LISTEN");
	setenv("T_NEEDED", "here", 1);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	config_free(parts);
	return 0;
}

static void defaults(void **state)
{
	struct err err = {0};

	(void)state;
	assert_true(config_load(parts, &err));
	assert_int_equal(into.n, 7);
	assert_true(into.on);
	assert_int_equal(into.mode, 1);
	assert_string_equal(into.name, "here");
}

static void refuses(const char *name, const char *value)
{
	struct err err = {0};

	setenv(name, value, 1);
	assert_false(config_load(parts, &err));
	assert_non_null(strstr(err.text, name));
	unsetenv(name);
}

static void wrong(void **state)
{
	(void)state;
	refuses("T_N", "10");
	refuses("T_N", "1x");
	refuses("T_MODE", "green");
	refuses("T_LISTEN", "nowhere");
	refuses("T_SECRET_FILE", "/does/not/exist");
	unsetenv("T_NEEDED");
	assert_false(config_load(parts, NULL));
}

static void by_file(void **state)
{
	char path[] = "/tmp/test_config_XXXXXX";
	struct err err = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(write(fd, "hidden\n", 7) == 7);
	close(fd);
	setenv("T_SECRET_FILE", path, 1);
	assert_true(config_load(parts, &err));
	assert_string_equal(into.secret, "hidden");
	setenv("T_SECRET", "both", 1);
	assert_false(config_load(parts, &err));
	unlink(path);
}

RUN(cmocka_unit_test_setup_teardown(defaults, fresh, finish),
    cmocka_unit_test_setup_teardown(wrong, fresh, finish),
    cmocka_unit_test_setup_teardown(by_file, fresh, finish))
