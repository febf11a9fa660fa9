/* silent_server.h - a server on loopback whose queue is full: who asks to be let in is
 * dropped without a word, as by a firewall. */
#ifndef TESTS_UNIT_SILENT_SERVER_H
#define TESTS_UNIT_SILENT_SERVER_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct silent_server {
	int listener, filler;
	uint16_t port;
	char address[32]; /* host:port */
};

static inline bool silent_server_start(struct silent_server *server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	server->filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server->listener, (struct sockaddr *)&addr, len) != 0 ||
	    listen(server->listener, 0) != 0 ||
	    getsockname(server->listener, (struct sockaddr *)&addr, &len) != 0 ||
	    connect(server->filler, (struct sockaddr *)&addr, len) != 0)
		return false;
	server->port = ntohs(addr.sin_port);
	snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", server->port);
	return true;
}

/* From now on one more gets in. */
static inline void silent_server_make_room(const struct silent_server *server)
{
	close(accept(server->listener, NULL, NULL));
}

static inline void silent_server_stop(const struct silent_server *server)
{
	close(server->filler);
	close(server->listener);
}

#endif
