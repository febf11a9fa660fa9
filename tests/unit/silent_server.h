/* silent_server.h - a server on loopback whose queue is full: the kernel drops who asks
 * to be let in without a word, as a firewall does. */
#ifndef TESTS_UNIT_SILENT_SERVER_H
#define TESTS_UNIT_SILENT_SERVER_H

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct silent_server {
	int listener;
	uint16_t port;
	char address[32]; /* host:port */
};

/* Connections that nobody accepts, until the kernel drops SYNs; false: it never does. */
static inline bool silent_server_fill(int listener)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	bool dropped = false;

	if (getsockname(listener, (struct sockaddr *)&addr, &len) != 0 ||
	    listen(listener, 0) != 0)
		return false;
	for (int i = 0; !dropped && i < 16; i++) {
		struct pollfd one = {.events = POLLOUT};

		one.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(one.fd, (struct sockaddr *)&addr, len);
		dropped = poll(&one, 1, 100) == 0;
		close(one.fd);
	}
	return dropped;
}

static inline bool silent_server_start(struct silent_server *server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(server->listener, (struct sockaddr *)&addr, len) != 0 ||
	    !silent_server_fill(server->listener) ||
	    getsockname(server->listener, (struct sockaddr *)&addr, &len) != 0)
		return false;
	server->port = ntohs(addr.sin_port);
	snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", server->port);
	return true;
}

/* From now on one gets in. */
static inline void silent_server_make_room(const struct silent_server *server)
{
	for (int fd; (fd = accept(server->listener, NULL, NULL)) >= 0;)
		close(fd);
}

static inline void silent_server_stop(const struct silent_server *server)
{
	close(server->listener);
}

#endif
