/*
 * client.h - the client's half: a connection that sends requests one after the
 * other.
 *
 *   HEAD -> BUSY (an exchange has it) -> HEAD ...
 *                                     -> FLUSHING -> LINGERING -> gone
 *
 * Lingering: after the last answer our side is shut, and what the client still
 * sends is read and dropped for a moment; closing at once would reset the
 * connection and could destroy the answer.
 */
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#include "app.h"
#include "exchange.h"
#include "sock.h"

#define CLIENT_PEER_MAX INET6_ADDRSTRLEN

enum client_state {
	CLIENT_HEAD,
	CLIENT_BUSY,
	CLIENT_FLUSHING,
	CLIENT_LINGERING,
	CLIENT_GONE
};

struct client {
	TAILQ_ENTRY(client) link; /* in worker->clients */
	struct worker *worker;
	enum listener_kind listener;
	enum client_state state;
	struct sock sock;
	struct exchange *x;  /* CLIENT_BUSY */
	size_t scanned;      /* of the head, see http_head_end() */
	int64_t deadline_ms; /* all states but CLIENT_BUSY; moves on while output waits */
	bool head_begun;     /* the deadline is that of the whole head */
	bool half_closed;    /* it sends no more, but may read */
	bool parsing;        /* client_parse() is on the stack */
	unsigned n_requests;
	size_t lingered; /* bytes dropped */
	char peer[CLIENT_PEER_MAX];
	bool speaks_for_others; /* the peer is a trusted proxy */
};

struct client *client_new(struct worker *worker, enum listener_kind listener, int fd,
			  const char *peer);
/* Answers what was never read, and ends the connection. */
void client_refuse(struct client *client, int status);
/* The exchange is over; `keep`: another request may follow. */
void client_finish(struct client *client, bool keep);
/* Closes at once, with whatever is still unsent. */
void client_cut(struct client *client);
void client_tick(struct client *client, int64_t now_ms);
/* Draining: goes soon if idle, else after its answer. */
void client_drain(struct client *client);

#endif
