/* sock.c - a non-blocking connection with two buffers. */
#include "sock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

static ssize_t read_some(struct sock *sock)
{
	char *scratch = sock->shared->scratch;
	ssize_t n = read(sock->fd, scratch, SOCK_READ_BYTES);

	if (n > 0)
		evbuffer_add(sock->in, scratch, (size_t)n);
	return n;
}

static int write_some(struct sock *sock)
{
	int n = evbuffer_write(sock->out, sock->fd);

	if (n > 0)
		sock->sent += (uint64_t)n;
	return n;
}

/* What the peer's kernel took. Ours may hold megabytes for it, and takes no more before
 * a good part of them is gone: so `sent` alone stands still for minutes. */
static uint64_t taken(const struct sock *sock)
{
	int waits = 0;

	ioctl(sock->fd, SIOCOUTQ, &waits);
	return sock->sent - (uint64_t)waits;
}

static bool try_again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

void sock_nodelay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* ---- the budget ---- */

static void hold(struct sock *sock, size_t now)
{
	sock->shared->held += now - sock->held;
	sock->held = now;
}

static void settle(struct sock *sock)
{
	hold(sock, evbuffer_get_length(sock->in) + evbuffer_get_length(sock->out) +
			   sock->beside);
}

void sock_keeps(struct sock *sock, size_t beside)
{
	if (sock->fd < 0)
		return;
	sock->beside = beside;
	settle(sock);
}

/* false: not now. The event comes again, after room was made. The first one reads all
 * the same, so that something moves where no room can be made. */
static bool may_read(struct sock_shared *shared)
{
	if (shared->held <= shared->max)
		return true;
	if (shared->shedding)
		return false;
	shared->shedding = true;
	shared->shed(shared->arg);
	return true;
}

/* ---- reading ---- */

static void end_input(struct sock *sock, enum sock_end end)
{
	sock_read_on(sock, false);
	sock->no_more_in = true;
	sock->ops->ended(sock->arg, end);
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
	struct sock *sock = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	if (!may_read(sock->shared))
		return;
	n = read_some(sock);
	settle(sock);
	if (n > 0)
		sock->ops->readable(sock->arg);
	else if (n == 0)
		end_input(sock, SOCK_EOF);
	else if (!try_again())
		end_input(sock, SOCK_FAILED);
}

void sock_read_on(struct sock *sock, bool on)
{
	if (sock->fd < 0)
		return;
	settle(sock);
	if (sock->reading == on || (on && sock->no_more_in))
		return;
	sock->reading = on;
	if (on)
		event_add(&sock->read_event, NULL);
	else
		event_del(&sock->read_event);
}

/* ---- writing ---- */

static void write_failed(struct sock *sock)
{
	sock->write_dead = true;
	evbuffer_drain(sock->out, evbuffer_get_length(sock->out));
}

/* false: cannot send any more. */
static bool push(struct sock *sock)
{
	while (evbuffer_get_length(sock->out) > 0) {
		if (write_some(sock) >= 0)
			continue;
		if (!try_again()) {
			write_failed(sock);
			return false;
		}
		event_add(&sock->write_event, NULL);
		break;
	}
	return true;
}

void sock_flush(struct sock *sock)
{
	if (sock->fd < 0)
		return;
	if (sock->write_dead)
		evbuffer_drain(sock->out, evbuffer_get_length(sock->out));
	/* The failure is told by the event, never from in here. */
	else if (!sock->connecting &&
		 !event_pending(&sock->write_event, EV_WRITE, NULL) && !push(sock))
		event_active(&sock->write_event, EV_WRITE, 0);
	settle(sock);
}

void sock_tick(struct sock *sock, int64_t now_ms)
{
	uint64_t now_taken;

	sock->stuck = false;
	if (sock_pending(sock) == 0) {
		sock->judged_ms = 0;
		return;
	}
	now_taken = taken(sock);
	if (sock->judged_ms && now_taken - sock->judged_taken < SOCK_STUCK_BYTES) {
		sock->stuck = now_ms - sock->judged_ms > SOCK_STUCK_MS;
		return;
	}
	sock->judged_ms = now_ms;
	sock->judged_taken = now_taken;
}

static void on_connected(struct sock *sock)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	sock->connecting = false;
	if (error) {
		end_input(sock, SOCK_FAILED);
		return;
	}
	sock_nodelay(sock->fd);
	sock_read_on(sock, true);
	sock->ops->writable(sock->arg);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
	struct sock *sock = arg;

	(void)fd;
	(void)what;
	if (sock->connecting) {
		on_connected(sock);
		return;
	}
	if (sock->write_dead || !push(sock)) {
		sock->ops->ended(sock->arg, SOCK_WRITE_FAILED);
		return;
	}
	settle(sock);
	if (sock_pending(sock) < SOCK_LOW)
		sock->ops->writable(sock->arg);
}

/* ---- life ---- */

void sock_init(struct sock *sock, struct event_base *base, int fd,
	       struct sock_shared *shared, const struct sock_ops *ops, void *arg)
{
	*sock = (struct sock){.fd = fd, .shared = shared, .ops = ops, .arg = arg};
	sock->in = evbuffer_new();
	sock->out = evbuffer_new();
	if (!sock->in || !sock->out)
		abort();
	event_assign(&sock->read_event, base, fd, EV_READ | EV_PERSIST, on_read, sock);
	event_assign(&sock->write_event, base, fd, EV_WRITE, on_write, sock);
}

bool sock_connect(struct sock *sock, struct event_base *base, const struct sockaddr *addr,
		  int addr_len, struct sock_shared *shared, const struct sock_ops *ops,
		  void *arg)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	if (connect(fd, addr, (socklen_t)addr_len) != 0 && errno != EINPROGRESS) {
		close(fd);
		return false;
	}
	sock_init(sock, base, fd, shared, ops, arg);
	sock->connecting = true;
	event_add(&sock->write_event, NULL);
	return true;
}

void sock_close(struct sock *sock)
{
	if (sock->fd < 0)
		return;
	event_del(&sock->read_event);
	event_del(&sock->write_event);
	close(sock->fd);
	sock->fd = -1;
	evbuffer_free(sock->in);
	evbuffer_free(sock->out);
	hold(sock, 0);
	sock->in = sock->out = NULL;
}
