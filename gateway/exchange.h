/*
 * exchange.h - one request and its answer: the session that joins a client with
 * an upstream connection.
 *
 *   request_begin (request.c)   route -> who may -> limits -> 100 Continue ->
 *                               collect a small body
 *   cached_begin (cached.c)     answer from what is stored
 *   dispatch (dispatch.c)       pick an endpoint -> connection -> send
 *   relay (relay.c)             bodies both ways, the answer's head
 *   exchange_over (exchange.c)  give both sides back, log
 *
 * Owned by its client while it lasts.  exchange_over() and exchange_abandon()
 * end it; the memory goes on the loop's next turn, so a caller up the stack may
 * still look at `state`.
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "app.h"
#include "auth.h"
#include "body.h"
#include "http_parse.h"
#include "sock.h"

enum exchange_state {
	X_CHECKING,
	X_COLLECTING, /* a small body, before any connection is taken */
	X_WAITING,    /* for a free connection */
	X_SHARING,    /* for an answer that another exchange fetches */
	X_CONNECTING, /* nothing sent yet */
	X_SENT,       /* the request is on its way, no final answer's head yet */
	X_FILLING,    /* the answer is read whole, to be stored */
	X_ANSWERING,  /* the answer's head has gone to the client */
	X_OVER
};

struct flight;

#define REQUEST_ID_MAX  64
#define TRACEPARENT_LEN 55

struct exchange {
	/* X_WAITING: in a list of worker->waiting; X_SHARING: in its flight's; over: in
	 * worker->spare */
	TAILQ_ENTRY(exchange) link;
	struct worker *worker;
	struct client *client;
	struct upstream_conn *up;        /* X_CONNECTING and later */
	struct routes *routes;           /* one reference: `route` points into it */
	const struct route *route;       /* NULL until known */
	const struct upstream *upstream; /* the route's, or a variant of it */
	enum exchange_state state;

	/* the request */
	char *head_text; /* owned; `head` points into it */
	size_t head_len;
	char *path; /* owned; normalised and encoded again, as forwarded */
	/* Who asks: the peer, or whom it speaks for when it is a trusted proxy. */
	char from[INET6_ADDRSTRLEN];
	char request_id[REQUEST_ID_MAX + 1];
	char traceparent[TRACEPARENT_LEN + 1];
	bool trace_kept; /* came from the client */
	struct caller caller;
	struct body request;
	struct evbuffer *replay; /* body collected or sent so far, to send it again */
	bool cannot_replay;
	bool fresh;     /* was sent on a dead kept connection: open a new one */
	uint64_t tried; /* endpoints of the upstream that refused, by place */
	unsigned round; /* how often all of them were tried in vain */

	/* the cache */
	enum cache_use cache_use;
	bool fills;            /* the answer is to be stored if it may */
	struct flight *flight; /* that it leads, or whose answer it waits for */
	struct generation_tag tag;
	struct evbuffer *body; /* X_FILLING */

	/* the answer */
	int status;        /* 0: none yet */
	char *answer_text; /* owned; `answer_head` points into it */
	size_t answer_scanned;
	unsigned n_info; /* 1xx answers */
	struct body answer;
	bool close; /* the client's connection ends after the answer */

	/* time, monotonic */
	uint64_t start_us, sent_us, answer_us;
	int64_t deadline_ms;    /* X_WAITING, X_SHARING, X_CONNECTING */
	int64_t queue_until_ms; /* set when it first had to wait; 0: never */
	int64_t connects_ms;    /* since when it looks for a connection; 0: not yet */
	int64_t progress_ms;    /* a byte moved */

	uint64_t bytes_in, bytes_out;
	const char *why; /* why it failed: a literal for the log */

	/* Large, and set whole by the parser: what follows is not zeroed. */
	struct http_head head, answer_head;
};

/* ---- exchange.c ---- */

struct exchange *exchange_new(struct client *client, struct str head_text);
/* Frees what is kept for reuse. */
void exchange_free_spare(struct worker *worker);
/* The answer is in the client's output. `keep_up`: the upstream connection is
 * clean and may serve again. */
void exchange_over(struct exchange *x, bool keep_up);
/* The client is gone, or the answer cannot be finished. */
void exchange_abandon(struct exchange *x, const char *why);
/* Answers with a problem, or cuts the connection when the answer has begun. */
void exchange_fail(struct exchange *x, int status, const char *slug, const char *detail);
void exchange_fail_err(struct exchange *x, const struct err *err);
/* 503 with Retry-After: nothing was done. Not said of a write that was sent once. */
void exchange_unavailable(struct exchange *x, const char *slug, const char *detail);
/* It was sent, and nobody knows what became of it. */
void exchange_unanswered(struct exchange *x);
/* Looks at the deadlines. */
void exchange_tick(struct exchange *x, int64_t now_ms);
/* Counts itself, and what it keeps beside its connections' buffers: when that grew. */
void exchange_settle(struct exchange *x);
/* Must the client's connection end with this answer? */
bool exchange_must_close(const struct exchange *x);
/* Does its method change something? */
static inline bool exchange_writes(const struct exchange *x)
{
	return x->head.method != HTTP_GET && x->head.method != HTTP_HEAD &&
	       x->head.method != HTTP_OPTIONS;
}

/* ---- request.c ---- */

/* Judges a request whose head is parsed; answers it or dispatches it. */
void request_begin(struct exchange *x);
/* X_COLLECTING: more of the body is there. */
void request_collect(struct exchange *x);

/* ---- dispatch.c ---- */

/* Finds a connection and sends the request; may be called again for another try. */
void dispatch(struct exchange *x);
/* The variant cannot be reached: the request is for the stable version then. */
void dispatch_fall_back(struct exchange *x);
/* Refuses: too many wait already. */
void dispatch_overloaded(struct exchange *x);
void dispatch_connected(struct exchange *x);
void dispatch_refused(struct exchange *x, bool timed_out);
/* The kept connection was dead before any byte of the answer: send it again if
 * that is safe. false: it is not. */
bool dispatch_again(struct exchange *x);

/* ---- relay.c ---- */

/* Request body: from the client's input to the upstream. */
void relay_request(struct exchange *x);
/* Answer: from the upstream's input to the client. */
void relay_answer(struct exchange *x);
void relay_upstream_ended(struct exchange *x, enum sock_end end);
/* Draining: streams do not end by themselves, and their clients come back. */
void relay_end_stream(struct exchange *x);
/* One side can take more again. */
void relay_client_writable(struct exchange *x);
void relay_upstream_writable(struct exchange *x);

#endif
