/* test_reach.c - attempts beside each other until one has an outcome. */
#include "reach.h"

#include <event2/dns.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "origin.h"
#include "silent_server.h"

#define SYN_SENT 2 /* in /proc/net/tcp */
#define NXDOMAIN 0x83

struct fixture {
	struct loop *loop;
	struct evdns_base *dns;
	struct loop_timer *timer;
	struct silent_server server;
	unsigned waiting;
	/* a name server */
	int names;
	struct event *asked;
	unsigned questions;
};

static void end(void *arg)
{
	struct fixture *fix = arg;

	loop_stop(fix->loop);
}

/* ---- a name server: silent, or one that knows no name ---- */

static void on_question(evutil_socket_t fd, short what, void *arg)
{
	struct fixture *fix = arg;
	unsigned char message[512];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	ssize_t n;

	(void)what;
	n = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &len);
	if (n < 4)
		return;
	fix->questions++;
	message[2] |= 0x80;
	message[3] = NXDOMAIN;
	sendto(fd, message, (size_t)n, 0, (struct sockaddr *)&from, len);
}

static bool start_names(struct fixture *fix)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	fix->names = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (bind(fix->names, (struct sockaddr *)&addr, len) != 0 ||
	    getsockname(fix->names, (struct sockaddr *)&addr, &len) != 0)
		return false;
	fix->asked = event_new(loop_base(fix->loop), fix->names, EV_READ | EV_PERSIST,
			       on_question, fix);
	evdns_base_clear_nameservers_and_suspend(fix->dns);
	evdns_base_nameserver_sockaddr_add(fix->dns, (struct sockaddr *)&addr, len, 0);
	return evdns_base_resume(fix->dns) == 0;
}

/* ---- */

static int setup(void **state)
{
	static struct fixture fix;

	fix = (struct fixture){.loop = loop_new(NULL)};
	fix.dns = origin_resolver_new(fix.loop);
	*state = &fix;
	return silent_server_start(&fix.server) && start_names(&fix) ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fix = *state;

	silent_server_stop(&fix->server);
	if (fix->timer)
		loop_timer_free(fix->timer);
	event_free(fix->asked);
	close(fix->names);
	origin_resolver_free(fix->dns, fix->loop);
	loop_free(fix->loop);
	return 0;
}

static void later(struct fixture *fix, int64_t after_ms, loop_fn fn)
{
	fix->timer = loop_timer_new(fix->loop, fn, fix);
	loop_timer_start(fix->timer, after_ms);
}

static unsigned reach(struct fixture *fix, const char *servers)
{
	struct reach *reach = reach_new(fix->loop, fix->dns, servers, 1, end, fix);
	unsigned tries;

	assert_non_null(reach);
	loop_run(fix->loop);
	tries = reach_tries(reach);
	reach_free(reach);
	return tries;
}

/* Sockets that wait for an answer from the server. */
static void count_waiting(void *arg)
{
	struct fixture *fix = arg;
	FILE *table = fopen("/proc/net/tcp", "re");
	char line[256];

	assert_non_null(table);
	fix->waiting = 0;
	while (fgets(line, sizeof(line), table)) {
		/* "  0: 0100007F:A1B2 0100007F:C3D4 02 …": own, other, state */
		const char *other = strchr(line, ':');

		other = other ? strchr(other + 1, ':') : NULL;
		other = other ? strchr(other + 1, ':') : NULL;
		if (other && strtoul(other + 1, NULL, 16) == fix->server.port &&
		    strtoul(other + 6, NULL, 16) == SYN_SENT)
			fix->waiting++;
	}
	fclose(table);
}

static void count_and_end(void *arg)
{
	count_waiting(arg);
	end(arg);
}

static void silence_is_asked_again_and_ends(void **state)
{
	struct fixture *fix = *state;
	struct reach *reach = reach_new(fix->loop, fix->dns, fix->server.address, 1,
					count_and_end, fix);

	loop_run(fix->loop);
	assert_int_equal(reach_tries(reach), 0);
	assert_int_equal(fix->waiting, REACH_TRIES);
	reach_free(reach);
}

static void attempts_are_some_time_apart(void **state)
{
	struct fixture *fix = *state;

	later(fix, REACH_STEP_MS * 3 / 2, count_waiting);
	assert_int_equal(reach(fix, fix->server.address), 0);
	assert_in_range(fix->waiting, 1, 2);
}

static void make_room(void *arg)
{
	struct fixture *fix = arg;

	silent_server_make_room(&fix->server);
}

/* By the third attempt, not by what the kernel does for the first one a second later. */
static void who_is_let_in_late_is_noticed(void **state)
{
	struct fixture *fix = *state;

	later(fix, REACH_STEP_MS * 3 / 2, make_room);
	assert_in_range(reach(fix, fix->server.address), 2, 3);
}

/* Nobody listens at port 1; one server of several is enough. */
static void a_refusal_is_an_answer(void **state)
{
	struct fixture *fix = *state;
	char servers[80];

	snprintf(servers, sizeof(servers), "%s, PLAINTEXT://127.0.0.1",
		 fix->server.address);
	assert_in_range(reach(fix, servers), 1, 2);
}

static void an_unknown_name_is_an_answer(void **state)
{
	struct fixture *fix = *state;

	event_add(fix->asked, NULL);
	assert_in_range(reach(fix, "kafka.test:9092"), 1, 2);
	assert_true(fix->questions > 0);
}

/* What was asked is still open when all of it is freed. */
static void silent_name_servers_are_left_alone(void **state)
{
	struct fixture *fix = *state;

	assert_int_equal(reach(fix, "a.test:9092,b.test"), 0);
}

static void without_a_server_there_is_nothing_to_wait_for(void **state)
{
	struct fixture *fix = *state;

	assert_null(reach_new(fix->loop, fix->dns, "a b,,:9", 1, end, fix));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(silence_is_asked_again_and_ends),
		TEST(attempts_are_some_time_apart),
		TEST(who_is_let_in_late_is_noticed),
		TEST(a_refusal_is_an_answer),
		TEST(an_unknown_name_is_an_answer),
		TEST(silent_name_servers_are_left_alone),
		TEST(without_a_server_there_is_nothing_to_wait_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
