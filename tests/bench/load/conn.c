/* conn.c - one connection: connect, send an order, take the answer apart, again. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_readable(evutil_socket_t fd, short what, void *arg);

void conn_init(struct conn *conn, struct load *load)
{
	conn->load = load;
	conn->state = CONN_DOWN;
	conn->fd = -1;
}

static void drop_socket(struct conn *conn)
{
	if (conn->readable)
		event_free(conn->readable);
	if (conn->writable)
		event_free(conn->writable);
	conn->readable = conn->writable = NULL;
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

void conn_fini(struct conn *conn)
{
	drop_socket(conn);
}

static void become_idle(struct conn *conn)
{
	conn->state = CONN_IDLE;
	conn->have = 0;
	conn->next = conn->load->idle;
	conn->load->idle = conn;
}

static void unlink_idle(struct conn *conn)
{
	struct conn **at = &conn->load->idle;

	while (*at && *at != conn)
		at = &(*at)->next;
	if (*at)
		*at = conn->next;
}

/* The tick connects it again. */
static void go_down(struct conn *conn)
{
	bool busy = conn->state == CONN_BUSY;

	if (conn->state == CONN_IDLE)
		unlink_idle(conn);
	drop_socket(conn);
	conn->state = CONN_DOWN;
	if (busy)
		load_answered(conn->load, conn, 0);
}

void conn_connect(struct conn *conn)
{
	struct load *load = conn->load;
	int on = 1;

	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return;
	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn->readable =
		event_new(load->base, conn->fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->writable = event_new(load->base, conn->fd, EV_WRITE, on_writable, conn);
	conn->state = CONN_CONNECTING;
	load->counts.connects++;
	if (connect(conn->fd, (struct sockaddr *)&load->address, sizeof(load->address)) !=
		    0 &&
	    errno != EINPROGRESS) {
		go_down(conn);
		return;
	}
	event_add(conn->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		go_down(conn);
		return;
	}
	event_add(conn->readable, NULL);
	become_idle(conn);
}

/* ---- the order ---- */

static uint64_t next_random(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random;
}

static int write_body(struct load *load, char *dst, size_t size)
{
	const struct options *opt = &load->opt;
	long users = opt->last_user - opt->first_user + 1;
	long user = opt->first_user + (long)(next_random(load) % (uint64_t)users);
	long product = 1 + (long)(next_random(load) % (uint64_t)opt->products);

	return snprintf(dst, size,
			opt->plain ? "{\"user_id\":%ld,\"product_id\":%ld,\"quantity\":1}"
				   : "{\"user_id\":%ld,\"product_id\":\"BENCH-%04ld\","
				     "\"quantity\":1}",
			user, product);
}

void conn_send(struct conn *conn, double due)
{
	struct load *load = conn->load;
	char body[128], text[512];
	int body_len = write_body(load, body, sizeof(body)), len;

	unlink_idle(conn);
	conn->state = CONN_BUSY;
	conn->due = due;
	load->busy++;
	len = snprintf(text, sizeof(text),
		       "POST /api/orders HTTP/1.1\r\nHost: shop\r\n"
		       "Content-Type: application/json\r\n"
		       "Idempotency-Key: %s-%llu\r\nContent-Length: %d\r\n\r\n%s",
		       load->prefix, (unsigned long long)load->number++, body_len, body);
	/* An idle connection has room for so few bytes; one that has not is broken. */
	if (send(conn->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		go_down(conn);
}

/* ---- the answer ---- */

/* Length of the whole answer; 0: not all of its head is there; -1: not understood. */
static long answer_len(struct conn *conn)
{
	char *end, *field;

	conn->reply[conn->have] = '\0';
	end = strstr(conn->reply, "\r\n\r\n");
	if (!end)
		return 0;
	*end = '\0';
	field = strcasestr(conn->reply, "\r\ncontent-length:");
	*end = '\r';
	if (!field)
		return -1;
	return end + 4 - conn->reply +
	       strtol(field + strlen("\r\ncontent-length:"), NULL, 10);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	ssize_t n = read(fd, conn->reply + conn->have, LOAD_REPLY_MAX - 1 - conn->have);
	long len;

	(void)what;
	if (n < 0 && errno == EAGAIN)
		return;
	/* Closed, broken, or an answer that nobody asked for. */
	if (n <= 0 || conn->state != CONN_BUSY) {
		go_down(conn);
		return;
	}
	conn->have += (size_t)n;
	len = answer_len(conn);
	if (len < 0 || len >= LOAD_REPLY_MAX || (size_t)len < conn->have * (len > 0)) {
		go_down(conn);
		return;
	}
	if (len > 0 && conn->have == (size_t)len) {
		int status = (int)strtol(conn->reply + strlen("HTTP/1.1 "), NULL, 10);

		become_idle(conn);
		load_answered(conn->load, conn, status);
	}
}
