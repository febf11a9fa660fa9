/*
 * http_client_internal.h - what http_client.c (calls and the queue) and
 * http_client_conn.c (one connection) know of each other.
 *
 * A call is on exactly one of: client->waiting, or a connection. A connection
 * is on exactly one of: client->idle, client->busy.
 */
#ifndef COMMON_HTTP_CLIENT_INTERNAL_H
#define COMMON_HTTP_CLIENT_INTERNAL_H

#include <event2/bufferevent.h>
#include <sys/queue.h>

#include "http_client.h"
#include "http_parse.h"
#include "origin.h"

/* CLIENT_PAUSING: could not connect, holds the call's place until its next attempt. */
enum client_conn_state {
	CLIENT_PAUSING,
	CLIENT_CONNECTING,
	CLIENT_HEAD,
	CLIENT_BODY,
	CLIENT_IDLE
};

struct client_call {
	TAILQ_ENTRY(client_call) link; /* in client->waiting while conn is NULL */
	struct http_client *client;
	struct client_conn *conn;
	struct loop_timer *deadline;
	char *request; /* head and body as they go out; owned */
	size_t request_len;
	bool idempotent, to_head, malformed;
	bool again; /* was sent on a dead kept connection: only a new one will do */
	unsigned attempts; /* connections that could not be made */
	const char *label;
	uint64_t started_us;
	http_client_cb cb;
	void *arg;
};
TAILQ_HEAD(client_calls, client_call);

struct client_conn {
	TAILQ_ENTRY(client_conn) link;
	struct http_client *client;
	struct bufferevent *bev;  /* NULL: pausing */
	struct loop_timer *timer; /* connecting or idle too long, the pause's end */
	enum client_conn_state state;
	struct client_call *call; /* NULL when idle */
	bool reused;              /* an earlier call was answered on it */
	bool got_bytes;           /* of the answer to `call` */
	unsigned n_info;          /* 1xx answers to `call` */
	size_t scanned;           /* of the head, see http_head_end() */
	char *head_text;          /* owned; head's slices point into it */
	struct http_head head;
	struct http_chunks chunks;
	uint64_t left; /* HTTP_LENGTH: bytes to come */
	char *body;    /* owned, grows up to max_body */
	size_t body_len, body_cap;
};
TAILQ_HEAD(client_conns, client_conn);

/* Of the calls with one label: five classes of status, and what may go wrong. */
#define CALL_RESULTS 10
struct call_series {
	struct call_series *next;
	const char *label;
	struct metric *seconds;
	struct {
		const char *name;
		struct metric *count;
	} results[CALL_RESULTS];
};

struct http_client {
	struct loop *loop;
	struct origin origin;
	struct evdns_base *dns; /* NULL when the origin is an address */
	struct http_client_config cfg;
	struct metrics *metrics; /* may be NULL */
	struct call_series *series;
	struct client_calls waiting;
	unsigned n_waiting, n_conns;
	struct client_conns idle, busy; /* idle: last used first */
	struct loop_timer *kick;        /* runs the queue on the next turn */
};

/* ---- http_client_conn.c ---- */

/* Opens a connection for `call`. */
void client_conn_open(struct client_call *call);
/* Sends `call` on an idle connection. */
void client_conn_send(struct client_conn *conn, struct client_call *call);
/* Closes it; a call on it is only detached. */
void client_conn_free(struct client_conn *conn);
/* Has any of its call gone out? */
bool client_conn_sent(const struct client_conn *conn);

/* ---- http_client.c ---- */

/* Ends a call: exactly one of `conn` (its answer is there) and `err`. */
void client_call_answered(struct client_call *call, const struct client_conn *conn);
void client_call_failed(struct client_call *call, const struct err *err);
/* Back to the front of the queue; `sent`: it was sent. */
void client_call_again(struct client_call *call, bool sent);
void client_kick(struct http_client *client);

#endif
