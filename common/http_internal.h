/*
 * http_internal.h - what the files of the HTTP server share.
 *
 * A connection is read by our strict parser (http_guard.c), never by libevhtp's:
 * that one splits targets wrongly at read boundaries, takes 23 ambiguous framings
 * for good and stalls on pipelining.  libevhtp is handed one whole request at a
 * time in a form it cannot misread, and runs its life from there.
 *
 *   socket -> guard (filter) -> libevhtp -> on_request() -> handler
 *   handler -> http_reply*() -> next loop turn -> libevhtp -> guard -> socket
 */
#ifndef COMMON_HTTP_INTERNAL_H
#define COMMON_HTTP_INTERNAL_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <evhtp/evhtp.h>
#include <time.h>

#include "http.h"
#include "http_date.h"
#include "http_parse.h"

/* More than this waits in the socket, not in our memory. Above the largest head. */
#define HTTP_READ_AHEAD  65536
#define HTTP_WRITE_AHEAD 65536
/* A client that takes nothing of its answer for so long is gone. */
#define HTTP_WRITE_S 30
/* Draining: a request that is already on its way still gets its answer. */
#define HTTP_LAST_CALL_S 1

/* A request's head, with the text that its slices point into. */
struct http_message {
	struct http_head head;
	char text[];
};

enum http_conn_state {
	HTTP_CONN_HEAD,   /* waits for a request, or reads its head */
	HTTP_CONN_LENGTH, /* reads a body of known length */
	HTTP_CONN_CHUNKS, /* reads a chunked body */
	HTTP_CONN_BUSY,   /* libevhtp has the request */
	HTTP_CONN_ENDING, /* its last answer is written; the timer frees it */
};

/* One client connection. It belongs to libevhtp's connection until that is
 * freed, then to the filter, whose destructor frees it. */
struct http_conn {
	struct http_server *server; /* NULL: the server is gone */
	evhtp_connection_t *ev;     /* NULL: freed */
	struct bufferevent *filter, *under;
	bufferevent_data_cb evhtp_read, evhtp_write;
	bufferevent_event_cb evhtp_event;
	struct loop_timer *timer;
	enum http_conn_state state;
	size_t scanned; /* of the head, see http_head_end() */
	bool begun;     /* the first byte of a request is there */
	bool eof;       /* the client sends no more */
	bool streaming;
	struct http_message *msg; /* being read; then it moves to the request */
	struct evbuffer *body;
	uint64_t left; /* HTTP_CONN_LENGTH */
	struct http_chunks chunks;
	struct http_req *req;
	struct http_conn *prev, *next;
};

/* What is left of a connection while its last bytes go out. */
struct http_linger {
	struct http_server *server;
	struct bufferevent *under;
	struct loop_timer *timer;
	bool flushed;
	struct http_linger *prev, *next;
};

struct http_stats; /* of one route */

struct http_server {
	struct loop *loop;
	evhtp_t *evhtp;
	const struct http_route *routes;
	void *app;
	struct http_limits limits;
	struct metrics *metrics;
	struct http_stats *stats; /* one for each route, and one more for no route */
	uint16_t port;
	struct http_conn *conns;
	struct http_linger *lingers;
	unsigned n_conns, n_lingers;
	bool draining;
	loop_fn drained; /* NULL: told already */
	void *drained_arg;
	struct loop_timer *turn; /* tells `drained` on a turn of its own */
	struct http_date date;
};

struct http_alloc_block {
	struct http_alloc_block *next;
	max_align_t data[];
};

struct http_done {
	loop_fn fn;
	void *arg;
	struct http_done *next;
};

/* Lives until it is answered *and* libevhtp has freed its own request. */
struct http_req {
	struct http_conn *conn; /* NULL: the connection is gone */
	evhtp_request_t *ev;
	struct loop *loop;
	struct http_message *msg;
	struct str path;                /* normalised */
	const struct http_route *route; /* NULL: none matches */
	struct http_stats *stats;
	struct str body;
	json_t *json;
	const char *action;
	uint64_t start_us;
	char id[68];
	struct http_alloc_block *blocks;
	struct http_done *done;
	char *headers; /* set by the handler, as lines */
	size_t headers_len;
	struct evbuffer *out; /* the whole answer */
	int status;
	bool replied;
	bool sending; /* the deferred call that sends it is due */
	struct http_stream *stream;
};

/* ---- http_conn.c ---- */
evhtp_res http_conn_accept(evhtp_connection_t *ev, void *server);
struct http_conn *http_conn_of(evhtp_connection_t *ev);
/* Frees it on the next turn, after what is written has gone out. */
void http_conn_end(struct http_conn *conn);
void http_conn_timer(struct http_conn *conn, int seconds);
/* Idle now: no byte of a request is there. */
bool http_conn_idle(const struct http_conn *conn);
/* The client sends no more, and nothing that it sent is left. */
bool http_conn_at_end(const struct http_conn *conn);
void http_conn_drop(struct http_conn *conn); /* frees it with the server */

/* ---- http_guard.c ---- */
enum bufferevent_filter_result http_guard_in(struct evbuffer *src, struct evbuffer *dst,
					     ev_ssize_t limit,
					     enum bufferevent_flush_mode mode,
					     void *conn);
enum bufferevent_filter_result http_guard_out(struct evbuffer *src, struct evbuffer *dst,
					      ev_ssize_t limit,
					      enum bufferevent_flush_mode mode,
					      void *conn);
/* Answers with a problem from outside any request and ends the connection. */
void http_guard_refuse(struct http_conn *conn, int status);

/* ---- http_linger.c ---- */
void http_linger_start(struct http_server *server, struct bufferevent *under);
void http_linger_free(struct http_linger *linger);

/* ---- http_server.c ---- */
void http_server_check_drained(struct http_server *server);

/* ---- http_route.c ---- */
struct http_match {
	const struct http_route *route; /* NULL: no such path, or not that method */
	bool path_known;
};
void http_route_find(const struct http_route *routes, struct str method, struct str path,
		     struct http_match *match);
/* Writes "GET, HEAD" for the path; dst is big enough for all methods. */
void http_route_allow(const struct http_route *routes, struct str path, char *dst,
		      size_t size);
struct str http_route_param(const struct http_route *route, struct str path,
			    const char *name);

/* ---- http_stats.c ---- */
struct http_stats *http_stats_new(struct metrics *metrics,
				  const struct http_route *routes);
void http_stats_free(struct http_stats *stats);
/* `route` may be NULL. NULL when there are no metrics. */
struct http_stats *http_stats_of(struct http_server *server,
				 const struct http_route *route);
void http_stats_count(struct http_server *server, struct http_stats *stats, int status,
		      uint64_t us);

/* ---- http_request.c ---- */
void http_request_start(struct http_conn *conn, evhtp_request_t *ev);
/* libevhtp frees its request: ours goes too, or waits for its answer. */
void http_request_gone(struct http_req *req);
void http_request_free(struct http_req *req);

/* ---- http_reply.c ---- */
struct http_fields {
	const char *content_type; /* NULL: none */
	int64_t length;           /* Content-Length, negative: none */
	bool chunked, close;
};
/* Status line and header, with those of the handler. */
void http_reply_head(struct http_req *req, int status, const struct http_fields *fields);
bool http_reply_closes(const struct http_req *req);
bool http_reply_to_head(const struct http_req *req);

/* The answer in req->out is complete: send it on the next turn. */
void http_reply_finish(struct http_req *req, int status);

/* ---- http_stream.c ---- */
void http_stream_gone(struct http_stream *stream); /* frees it */
/* The head is written: let the client be heard again. */
void http_stream_begin(struct http_stream *stream);

/* ---- http_problem.c ---- */
struct http_problem {
	int status;
	const char *code, *detail; /* detail may be NULL */
	const char *field;         /* NULL or "": none */
	struct str request_id;
};
void http_problem_write(struct jw *w, const struct http_problem *problem);
/* Name of a status that the server answers by itself. */
const char *http_problem_code(int status);

#endif
