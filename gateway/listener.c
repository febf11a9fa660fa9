/*
 * listener.c - one listening socket a thread and address (SO_REUSEPORT): the
 * kernel spreads connections over the threads.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "client.h"

#define BACKLOG      4096
#define ACCEPT_BATCH 64 /* then others get their turn */

static struct addrinfo *resolve(const char *listen, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	const char *colon = strrchr(listen, ':');
	char host[256];
	size_t len = colon ? (size_t)(colon - listen) : 0;
	int rc;

	if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	}
	if (!colon || !str_copy(host, sizeof(host), (struct str){listen, len})) {
		err_set(err, ERR_INPUT, "bad address");
		return NULL;
	}
	rc = getaddrinfo(host, colon + 1, &hints, &found);
	if (rc != 0)
		err_set(err, ERR_INPUT, "%s", gai_strerror(rc));
	return found;
}

static int bind_one(const struct addrinfo *at)
{
	int one = 1;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	close(fd);
	return -1;
}

bool listener_bind(struct worker *worker, enum listener_kind kind, const char *listen,
		   struct err *err)
{
	struct addrinfo *found = resolve(listen, err);

	if (found)
		worker->listen_fd[kind] = bind_one(found);
	if (found && worker->listen_fd[kind] < 0)
		err_set(err, ERR_INPUT, "%s", strerror(errno));
	if (found)
		freeaddrinfo(found);
	if (worker->listen_fd[kind] < 0)
		return err_wrap(err, "cannot listen on %s", listen);
	return true;
}

uint16_t listener_port(const struct worker *worker, enum listener_kind kind)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} at;
	socklen_t len = sizeof(at);

	memset(&at, 0, sizeof(at));
	getsockname(worker->listen_fd[kind], &at.any, &len);
	return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

static void peer_text(const struct sockaddr_storage *at, char *dst)
{
	const void *addr =
		at->ss_family == AF_INET6
			? (const void *)&((const struct sockaddr_in6 *)at)->sin6_addr
			: (const void *)&((const struct sockaddr_in *)at)->sin_addr;

	if (!inet_ntop(at->ss_family, addr, dst, CLIENT_PEER_MAX))
		snprintf(dst, CLIENT_PEER_MAX, "unknown");
}

static void refuse(struct worker *worker, int fd, const char *peer, unsigned max)
{
	metric_add(worker->app->metrics.refused_connections, 1);
	/* Even saying so has its limit. */
	if (worker->n_clients >= 2 * max)
		close(fd);
	else
		client_refuse(client_new(worker, LISTENER_PUBLIC, fd, peer), 503);
}

/* Without descriptors the kernel would call us again and again: wait a tick. */
static bool accept_failed(struct worker *worker, enum listener_kind kind)
{
	if (errno == ECONNABORTED || errno == EINTR)
		return true;
	if (errno != EAGAIN && errno != EWOULDBLOCK && worker->accepting[kind])
		event_del(worker->accepting[kind]);
	return false;
}

static bool accept_one(struct worker *worker, enum listener_kind kind)
{
	const struct app *app = worker->app;
	unsigned max = (unsigned)app->settings.max_clients / app->n_workers + 1;
	struct sockaddr_storage at = {0};
	socklen_t len = sizeof(at);
	char peer[CLIENT_PEER_MAX];
	int fd = accept4(worker->listen_fd[kind], (struct sockaddr *)&at, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return accept_failed(worker, kind);
	peer_text(&at, peer);
	/* Our own services are few and must always get in. */
	if (kind == LISTENER_PUBLIC && worker->n_clients >= max)
		refuse(worker, fd, peer, max);
	else
		client_new(worker, kind, fd, peer);
	return true;
}

static void accept_batch(struct worker *worker, enum listener_kind kind, unsigned max)
{
	while (max-- > 0 && accept_one(worker, kind))
		;
}

static void on_public(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_batch(arg, LISTENER_PUBLIC, ACCEPT_BATCH);
}

static void on_internal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_batch(arg, LISTENER_INTERNAL, ACCEPT_BATCH);
}

void listener_start(struct worker *worker, enum listener_kind kind)
{
	worker->accepting[kind] = event_new(
		loop_base(worker->loop), worker->listen_fd[kind], EV_READ | EV_PERSIST,
		kind == LISTENER_PUBLIC ? on_public : on_internal, worker);
	event_add(worker->accepting[kind], NULL);
}

void listener_tick(struct worker *worker)
{
	for (int kind = 0; kind < LISTENER_KINDS; kind++) {
		if (worker->accepting[kind])
			event_add(worker->accepting[kind], NULL);
	}
}

void listener_stop(struct worker *worker, enum listener_kind kind)
{
	if (worker->accepting[kind]) {
		/* Closing resets what waits in this socket's own queue. */
		accept_batch(worker, kind, BACKLOG);
		event_free(worker->accepting[kind]);
		worker->accepting[kind] = NULL;
	}
	if (worker->listen_fd[kind] >= 0)
		close(worker->listen_fd[kind]);
	worker->listen_fd[kind] = -1;
}
