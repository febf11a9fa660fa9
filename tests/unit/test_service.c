/* test_service.c - the end of a process. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "service.h"
#include "silent_server.h"

struct app {
	struct service *service;
	uint16_t admin;
	int client;
	int asked, asked_after_stop;
	bool started, drained, stopped;
};

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(void)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

/* Ends the process at the first question, which stays open. */
static bool never_ready(void *arg, const char **why)
{
	struct app *app = arg;

	*why = "never";
	app->asked++;
	app->asked_after_stop += app->stopped;
	service_fail(app->service, "asked");
	return false;
}

static bool start(void *arg, struct service *service, struct err *err)
{
	static const char ask[] = "GET /readyz?wait=10 HTTP/1.1\r\nHost: shop\r\n\r\n";
	struct app *app = arg;
	struct sockaddr_in addr = loopback(app->admin);

	(void)err;
	app->started = true;
	app->service = service;
	service_add_check(service, "part", never_ready, app);
	app->client = socket(AF_INET, SOCK_STREAM, 0);
	return connect(app->client, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	       write(app->client, ask, sizeof(ask) - 1) == sizeof(ask) - 1;
}

static void stop(void *arg)
{
	struct app *app = arg;

	app->stopped = true;
	usleep(100000); /* the question's next look is due */
}

static void nothing_is_asked_of_what_was_freed(void **state)
{
	const struct config_part parts[] = {{0}};
	struct app app = {.admin = free_port(), .client = -1};
	const struct service_spec spec = {.name = "test",
					  .about = "a test",
					  .parts = parts,
					  .app = &app,
					  .start = start,
					  .stop = stop};
	char program[] = "test", *argv[] = {program, NULL}, listen[32];

	(void)state;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", app.admin);
	setenv("ADMIN_LISTEN", listen, 1);
	assert_int_equal(service_main(&spec, 1, argv), EXIT_FAILURE);
	close(app.client);
	assert_true(app.asked > 0);
	assert_int_equal(app.asked_after_stop, 0);
}

static void drain(void *arg, struct service *service)
{
	struct app *app = arg;

	app->drained = true;
	service_drained(service);
}

/* Where it listens it also hears signals. */
static void *tell_to_stop(void *arg)
{
	const struct app *app = arg;
	struct sockaddr_in addr = loopback(app->admin);
	int client = socket(AF_INET, SOCK_STREAM, 0);

	for (int i = 0; i < 5000; i++) {
		if (connect(client, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
			kill(getpid(), SIGTERM);
			break;
		}
		usleep(1000);
	}
	close(client);
	return NULL;
}

static void a_signal_before_the_start_just_ends_it(void **state)
{
	const struct config_part parts[] = {{0}};
	struct silent_server silent;
	char host[] = "127.0.0.1", *servers = host;
	int64_t port;
	struct app app = {.admin = free_port(), .client = -1};
	const struct service_spec spec = {.name = "test",
					  .about = "a test",
					  .parts = parts,
					  .app = &app,
					  .servers = &servers,
					  .port = &port,
					  .start = start,
					  .drain = drain,
					  .stop = stop};
	char program[] = "test", *argv[] = {program, NULL}, listen[32];
	pthread_t thread;
	int status;

	(void)state;
	assert_true(silent_server_start(&silent));
	port = silent.port;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", app.admin);
	setenv("ADMIN_LISTEN", listen, 1);
	setenv("DRAIN_WAIT_MS", "0", 1);
	pthread_create(&thread, NULL, tell_to_stop, &app);
	status = service_main(&spec, 1, argv);
	pthread_join(thread, NULL);
	unsetenv("DRAIN_WAIT_MS");
	silent_server_stop(&silent);
	assert_int_equal(status, EXIT_SUCCESS);
	assert_false(app.started || app.drained || app.stopped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_before_the_start_just_ends_it),
		cmocka_unit_test(nothing_is_asked_of_what_was_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
