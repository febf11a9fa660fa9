/* test_reach.c - attempts beside each other until one has an outcome. */
#include "reach.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "silent_server.h"

#define SYN_SENT 2 /* in /proc/net/tcp */

struct fixture {
	struct loop *loop;
	struct loop_timer *timer;
	struct silent_server server;
};

static void end(void *arg)
{
	struct fixture *fix = arg;

	loop_stop(fix->loop);
}

static void take_filler(void *arg)
{
	struct fixture *fix = arg;

	silent_server_make_room(&fix->server);
}

static int setup(void **state)
{
	static struct fixture fix;

	fix.loop = loop_new(NULL);
	fix.timer = loop_timer_new(fix.loop, take_filler, &fix);
	*state = &fix;
	return silent_server_start(&fix.server) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	silent_server_stop(&fix->server);
	loop_timer_free(fix->timer);
	loop_free(fix->loop);
	return 0;
}

/* Sockets of this machine that wait for an answer from `port`. */
static unsigned waiting_for(uint16_t port)
{
	FILE *table = fopen("/proc/net/tcp", "re");
	char line[256];
	unsigned remote, status, n = 0;

	assert_non_null(table);
	while (fgets(line, sizeof(line), table)) {
		const char *colon = strchr(line, ':'); /* of the line's number */

		colon = colon ? strchr(colon + 1, ':') : NULL; /* of the own port */
		colon = colon ? strchr(colon + 1, ':') : NULL;
		if (!colon)
			continue;
		remote = (unsigned)strtoul(colon + 1, NULL, 16);
		status = (unsigned)strtoul(colon + 6, NULL, 16);
		n += remote == port && status == SYN_SENT;
	}
	fclose(table);
	return n;
}

static void silence_is_asked_again_and_ends(void **state)
{
	struct fixture *fix = *state;
	struct reach *reach = reach_new(fix->loop, fix->server.address, 1, end, fix);

	loop_run(fix->loop);
	assert_int_equal(reach_tries(reach), 0);
	assert_int_equal(waiting_for(fix->server.port), REACH_TRIES);
	reach_free(reach);
}

static void who_is_let_in_late_is_noticed(void **state)
{
	struct fixture *fix = *state;
	struct reach *reach = reach_new(fix->loop, fix->server.address, 1, end, fix);

	loop_timer_start(fix->timer, REACH_STEP_MS * 3 / 2);
	loop_run(fix->loop);
	assert_in_range(reach_tries(reach), 2, REACH_TRIES);
	reach_free(reach);
}

static void a_refusal_is_an_answer(void **state)
{
	struct fixture *fix = *state;
	char servers[160];
	struct reach *reach;

	/* Nobody listens at port 1; one of several is enough. */
	snprintf(servers, sizeof(servers), "%s, PLAINTEXT://x, 127.0.0.1",
		 fix->server.address);
	reach = reach_new(fix->loop, servers, 1, end, fix);
	loop_run(fix->loop);
	assert_in_range(reach_tries(reach), 1, REACH_TRIES);
	reach_free(reach);
}

static void nobody_to_ask_ends_at_once(void **state)
{
	struct fixture *fix = *state;
	struct reach *reach = reach_new(fix->loop, "a b,,:9", 1, end, fix);

	loop_run(fix->loop);
	assert_int_equal(reach_tries(reach), 0);
	reach_free(reach);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(silence_is_asked_again_and_ends, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_is_let_in_late_is_noticed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_refusal_is_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_to_ask_ends_at_once, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
