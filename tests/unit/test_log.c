/* test_log.c - batches of lines: prompt when alone, whole, none lost. */
#include "check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "timeutil.h"

static int pipe_fd[2], real_stderr;

static int catch_stderr(void **state)
{
	(void)state;
	real_stderr = dup(STDERR_FILENO);
	return pipe2(pipe_fd, O_NONBLOCK) || dup2(pipe_fd[1], STDERR_FILENO) < 0;
}

static int let_go(void **state)
{
	(void)state;
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	return 0;
}

/* What was written since; every byte belongs to a whole line. */
static unsigned lines_written(void)
{
	static char text[65536];
	ssize_t n = read(pipe_fd[0], text, sizeof(text));
	unsigned lines = 0;

	if (n <= 0)
		return 0;
	assert_true(text[0] == '{' && text[n - 1] == '\n');
	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

static void put(struct log_batch *batch, const char *value)
{
	log_batch_write(batch, LOG_INFO, "x",
			(const struct log_field[]){LOG_STR("value", value),
						   LOG_MS("ms", 1234567),
						   {.key = NULL}});
}

static void milliseconds(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} cases[] = {{0, ":0.000}"},      {7, ":0.007}"},
		     {1000, ":1.000}"},   {1234567, ":1234.567}"},
		     {10020, ":10.020}"}, {UINT32_MAX, ":4294967.295}"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct log_batch batch = {0};
		const struct log_field fields[] = {LOG_MS("ms", cases[i].us),
						   {.key = NULL}};

		log_batch_write(&batch, LOG_INFO, "x", fields);
		if (!strstr(batch.text, cases[i].text))
			fail_msg("%s", batch.text);
	}
}

static void alone_at_once(void **state)
{
	struct log_batch batch = {0};

	(void)state;
	put(&batch, "a");
	assert_int_equal(lines_written(), 1);
	usleep(3000);
	put(&batch, "b");
	assert_int_equal(lines_written(), 1);
}

static void many_together(void **state)
{
	struct log_batch batch = {0};
	unsigned lines = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		batch.flushed_us = time_mono_us(); /* not alone */
		put(&batch, "one of many");
		assert_true(batch.len <= LOG_BATCH_BYTES);
	}
	for (unsigned more = 1; more; lines += more)
		more = lines_written();
	assert_true(lines > 100 && lines < 200);
	log_batch_flush(&batch);
	assert_int_equal(lines + lines_written(), 200);
}

/* A line larger than the batch goes out by itself, behind those before it. */
static void too_long(void **state)
{
	struct log_batch batch = {0};
	char value[6001];

	(void)state;
	memset(value, 'v', sizeof(value));
	value[2000] = '\0';
	for (int i = 0; i < 3; i++)
		put(&batch, value);
	log_batch_write(&batch, LOG_INFO, "x",
			(const struct log_field[]){LOG_STR("a", value),
						   LOG_STR("b", value),
						   LOG_STR("c", value),
						   {.key = NULL}});
	log_batch_flush(&batch);
	assert_int_equal(lines_written(), 4);
}

RUN(cmocka_unit_test_setup_teardown(alone_at_once, catch_stderr, let_go),
    cmocka_unit_test_setup_teardown(many_together, catch_stderr, let_go),
    cmocka_unit_test_setup_teardown(milliseconds, catch_stderr, let_go),
    cmocka_unit_test_setup_teardown(too_long, catch_stderr, let_go))
