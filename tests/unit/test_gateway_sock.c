/* link: gateway/sock.c */
/* test_gateway_sock.c - who reads so little that nobody can wait for him? What do all
 * hold? */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "sock.h"

#define PENDING (16 << 20) /* more than the kernel holds */

static void on_any(void *arg)
{
	(void)arg;
}

static void on_shed(void *arg)
{
	++*(int *)arg;
}

static void on_end(void *arg, enum sock_end end)
{
	(void)arg;
	(void)end;
	fail_msg("the connection ended");
}

static const struct sock_ops ops = {on_any, on_any, on_end};

/* Ours with `sock` on it, and a peer whose small buffer shows every read. */
struct pair {
	struct event_base *base;
	struct sock sock;
	int peer;
	struct sock_shared shared;
	int sheds;
};

static int make_pair(void **state)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pair *pair = calloc(1, sizeof(*pair));
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
	int peer = socket(AF_INET, SOCK_STREAM, 0), small = 65536;

	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (!pair || bind(listener, (struct sockaddr *)&at, len) != 0 ||
	    listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &len) != 0 ||
	    connect(peer, (struct sockaddr *)&at, len) != 0)
		return -1;
	fd = accept(listener, NULL, NULL);
	close(listener);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	pair->peer = peer;
	pair->shared.max = 64 << 20;
	pair->shared.shed = on_shed;
	pair->shared.arg = &pair->sheds;
	pair->base = event_base_new();
	sock_init(&pair->sock, pair->base, fd, &pair->shared, &ops, pair);
	*state = pair;
	return 0;
}

static int free_pair(void **state)
{
	struct pair *pair = *state;

	sock_close(&pair->sock);
	assert_int_equal(pair->shared.held, 0);
	event_base_free(pair->base);
	close(pair->peer);
	free(pair);
	return 0;
}

static void give(struct pair *pair, size_t len)
{
	char *bytes = calloc(1, len);

	evbuffer_add(pair->sock.out, bytes, len);
	free(bytes);
	sock_flush(&pair->sock);
}

static void take(struct pair *pair, size_t len)
{
	char buf[16384];

	while (len > 0) {
		ssize_t n = read(pair->peer, buf, len < sizeof(buf) ? len : sizeof(buf));

		assert_true(n > 0);
		len -= (size_t)n;
		event_base_loop(pair->base, EVLOOP_NONBLOCK);
	}
}

static bool stuck_at(struct pair *pair, int64_t now_ms)
{
	sock_tick(&pair->sock, now_ms);
	return pair->sock.stuck;
}

static void who_reads_nothing(void **state)
{
	struct pair *pair = *state;

	give(pair, PENDING);
	assert_false(stuck_at(pair, 1000));
	assert_false(stuck_at(pair, 1000 + SOCK_STUCK_MS));
	assert_true(stuck_at(pair, 1001 + SOCK_STUCK_MS));
}

/* Of what waits in the buffer nothing may leave for minutes: the kernel has enough. */
static void who_reads_slowly(void **state)
{
	struct pair *pair = *state;
	int64_t now_ms = 1000;

	give(pair, PENDING);
	for (int i = 0; i < 8; i++) {
		assert_false(stuck_at(pair, now_ms));
		now_ms += SOCK_STUCK_MS - 1000;
		take(pair, 300000);
	}
	assert_false(stuck_at(pair, now_ms));
	take(pair, 1000);
	assert_true(stuck_at(pair, now_ms + SOCK_STUCK_MS + 1));
}

static void who_has_read_all(void **state)
{
	struct pair *pair = *state;

	give(pair, PENDING);
	assert_false(stuck_at(pair, 1000));
	take(pair, PENDING);
	assert_int_equal(sock_pending(&pair->sock), 0);
	assert_false(stuck_at(pair, 2000));
	give(pair, PENDING);
	assert_false(stuck_at(pair, 3000 + 2 * SOCK_STUCK_MS));
	assert_true(stuck_at(pair, 3001 + 3 * SOCK_STUCK_MS));
}

static void say(struct pair *pair, size_t len)
{
	char bytes[1000] = {0};

	assert_int_equal(write(pair->peer, bytes, len), len);
	event_base_loop(pair->base, EVLOOP_ONCE);
}

static void what_is_held(void **state)
{
	struct pair *pair = *state;

	sock_read_on(&pair->sock, true);
	say(pair, 1000);
	assert_int_equal(pair->shared.held, 1000);
	sock_keeps(&pair->sock, 500);
	assert_int_equal(pair->shared.held, 1500);
	give(pair, PENDING);
	assert_int_equal(pair->shared.held, 1500 + sock_pending(&pair->sock));
	take(pair, PENDING);
	evbuffer_drain(pair->sock.in, 300);
	sock_read_on(&pair->sock, true);
	assert_int_equal(pair->shared.held, 1200);
	assert_int_equal(pair->sock.held, 1200);
}

static void nobody_reads_when_all_is_full(void **state)
{
	struct pair *pair = *state;

	pair->shared.max = 1500;
	sock_read_on(&pair->sock, true);
	say(pair, 1000);
	say(pair, 1000); /* passes it */
	assert_int_equal(pair->sheds, 0);
	say(pair, 1000); /* one more, or nothing might ever move */
	assert_int_equal(pair->sheds, 1);
	assert_int_equal(pair->shared.held, 3000);
	say(pair, 1000);
	assert_int_equal(pair->shared.held, 3000);
	evbuffer_drain(pair->sock.in, 3000);
	sock_keeps(&pair->sock, 0);
	pair->shared.shedding = false;
	event_base_loop(pair->base, EVLOOP_ONCE);
	assert_int_equal(pair->shared.held, 1000);
	assert_int_equal(pair->sheds, 1);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, make_pair, free_pair)

RUN(WITH_PAIR(who_reads_nothing), WITH_PAIR(who_reads_slowly),
    WITH_PAIR(who_has_read_all), WITH_PAIR(what_is_held),
    WITH_PAIR(nobody_reads_when_all_is_full))
