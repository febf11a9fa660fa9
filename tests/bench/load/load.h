/*
 * load.h - what the files of orderload share: options, counters, connections.
 *
 * One thread, one event loop.  An order is due at a time that does not depend on
 * any answer; when no connection is free it waits in line, and its latency counts
 * from the time it was due.  With rate 0 every connection sends its next order as
 * soon as it has an answer (closed loop).
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "hist.h"

#define LOAD_MAX_SECONDS 900
#define LOAD_MAX_LINE    65536 /* orders in line for a connection */
#define LOAD_MAX_STATUS  600
#define LOAD_MAX_CONNS   4096
#define LOAD_REPLY_MAX   16384

struct options {
	const char *host;
	int port, connections, seconds, warm, drain;
	double rate; /* orders a second; 0: closed loop */
	long first_user, last_user, products;
	bool plain; /* product ids are bare numbers */
};

/* What became of the orders that were due in one second of the run. */
struct second {
	uint64_t due, accepted, refused;
};

struct counts {
	uint64_t due, sent, broken, dropped, connects;
	uint64_t status[LOAD_MAX_STATUS];
	struct hist accepted, refused;
	struct second second[LOAD_MAX_SECONDS];
	double late_max; /* how late the generator itself was, seconds */
};

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_IDLE, CONN_BUSY };

struct load;

struct conn {
	struct load *load;
	enum conn_state state;
	int fd;
	struct event *readable, *writable;
	struct conn *next; /* in the list of idle ones */
	double due;        /* of the order on its way */
	size_t have;
	char reply[LOAD_REPLY_MAX];
};

struct load {
	struct options opt;
	struct counts counts;
	struct event_base *base;
	struct event *tick;
	struct sockaddr_in address;
	struct conn *conns, *idle;
	double begin, count_from, end; /* count_from: after the warm-up */
	double reconnect_at;           /* when to look for connections that are down */
	uint64_t made;                 /* orders that were due so far */
	double line[LOAD_MAX_LINE];    /* due times of orders in line, a ring */
	unsigned line_at, line_len;
	unsigned busy;
	uint64_t random, number;
	char prefix[17]; /* of this run's idempotency keys */
};

double load_now(void);

/* ---- orderload.c ---- */

/* An answer or a failure (status 0) of the order on `conn`; the connection is free after
 * it. */
void load_answered(struct load *load, struct conn *conn, int status);

/* ---- conn.c ---- */

void conn_init(struct conn *conn, struct load *load);
void conn_fini(struct conn *conn);
/* Only for one that is down. */
void conn_connect(struct conn *conn);
/* Only for an idle one: sends a new order which was due at `due`. */
void conn_send(struct conn *conn, double due);

#endif
