/*
 * http_conn.c - one client connection: set up, timed and torn down.
 *
 *   accept -> filter put over libevhtp's bufferevent -> requests
 *   -> libevhtp frees its connection -> the filter's destructor hands the socket
 *   to http_linger.c and frees ours
 *
 * Every layer keeps its callbacks deferred: libevhtp frees connections inside
 * its callbacks and goes on using them.
 */
#include <errno.h>
#include <stdlib.h>

#include "http_internal.h"

struct http_conn *http_conn_of(evhtp_connection_t *ev)
{
	return ev->hooks->on_connection_fini_arg;
}

void http_conn_timer(struct http_conn *conn, int seconds)
{
	loop_timer_start(conn->timer, (int64_t)seconds * 1000);
}

void http_conn_end(struct http_conn *conn)
{
	conn->state = HTTP_CONN_ENDING;
	http_conn_timer(conn, 0);
}

static size_t unread(const struct http_conn *conn)
{
	return evbuffer_get_length(bufferevent_get_input(conn->under));
}

bool http_conn_at_end(const struct http_conn *conn)
{
	return conn->eof && unread(conn) == 0;
}

bool http_conn_idle(const struct http_conn *conn)
{
	return conn->state == HTTP_CONN_HEAD && !conn->begun && unread(conn) == 0;
}

/* Answered: on to the next request. It may wait in the buffer already, but must
 * not start inside libevhtp's callback. */
static void go_on(struct http_conn *conn)
{
	if (conn->state != HTTP_CONN_BUSY)
		return;
	conn->state = HTTP_CONN_HEAD;
	if (unread(conn) > 0 || conn->eof)
		http_conn_timer(conn, 0);
	else
		http_conn_timer(conn, conn->server->draining
					      ? HTTP_LAST_CALL_S
					      : conn->server->limits.idle_s);
}

static void read_on(struct http_conn *conn)
{
	http_conn_timer(conn, conn->server->limits.head_s);
	bufferevent_enable(conn->filter, EV_READ);
	bufferevent_flush(conn->filter, EV_READ, BEV_NORMAL);
	if (evbuffer_get_length(bufferevent_get_input(conn->filter)) > 0)
		bufferevent_trigger(conn->filter, EV_READ, 0);
}

static void on_timer(void *arg)
{
	struct http_conn *conn = arg;

	if (conn->state == HTTP_CONN_HEAD && !conn->begun && unread(conn) > 0) {
		read_on(conn);
		if (!conn->eof || conn->state == HTTP_CONN_BUSY ||
		    conn->state == HTTP_CONN_ENDING)
			return;
	}
	if (conn->eof || conn->state == HTTP_CONN_ENDING || http_conn_idle(conn))
		evhtp_connection_free(conn->ev);
	else
		http_guard_refuse(conn, 408);
}

/* ---- libevhtp's callbacks, fenced ---- */

static void on_read(struct bufferevent *filter, void *arg)
{
	struct http_conn *conn = arg;

	if (conn->state != HTTP_CONN_ENDING)
		conn->evhtp_read(filter, conn->ev);
}

static void on_write(struct bufferevent *filter, void *arg)
{
	struct http_conn *conn = arg;

	if (conn->ev->request)
		conn->evhtp_write(filter, conn->ev);
}

static void on_event(struct bufferevent *filter, short what, void *arg)
{
	struct http_conn *conn = arg;

	/* A client may shut down its side and still wait for its answers. */
	if ((what & BEV_EVENT_EOF) && !conn->streaming &&
	    (conn->state == HTTP_CONN_BUSY || conn->state == HTTP_CONN_ENDING ||
	     (conn->state == HTTP_CONN_HEAD && unread(conn) > 0 && !conn->begun))) {
		conn->eof = true;
		return;
	}
	/* libevhtp takes a stale EAGAIN here for "not at the end". */
	errno = 0;
	conn->evhtp_event(filter, what, conn->ev);
}

static evhtp_res on_request_fini(evhtp_request_t *ev, void *arg)
{
	struct http_conn *conn = arg;
	struct http_req *req = conn->req;

	if (!req || req->ev != ev)
		return EVHTP_RES_OK;
	conn->req = NULL;
	http_request_gone(req);
	if (conn->ev)
		go_on(conn);
	return EVHTP_RES_OK;
}

/* Runs before the fini of its request. */
static evhtp_res on_connection_fini(evhtp_connection_t *ev, void *arg)
{
	struct http_conn *conn = arg;

	(void)ev;
	conn->ev = NULL;
	loop_timer_free(conn->timer);
	conn->timer = NULL;
	return EVHTP_RES_OK;
}

/* ---- life ---- */

static void link_conn(struct http_server *server, struct http_conn *conn)
{
	conn->next = server->conns;
	if (conn->next)
		conn->next->prev = conn;
	server->conns = conn;
	server->n_conns++;
}

static void unlink_conn(struct http_server *server, struct http_conn *conn)
{
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		server->conns = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	server->n_conns--;
}

/* Destructor of the filter. It left us the socket's bufferevent. */
static void on_filter_free(void *arg)
{
	struct http_conn *conn = arg;
	struct http_server *server = conn->server;

	if (server) {
		unlink_conn(server, conn);
		http_linger_start(server, conn->under);
		http_server_check_drained(server);
	} else {
		bufferevent_free(conn->under);
	}
	if (conn->body)
		evbuffer_free(conn->body);
	free(conn->msg);
	free(conn);
}

void http_conn_drop(struct http_conn *conn)
{
	unlink_conn(conn->server, conn);
	conn->server = NULL;
	if (conn->ev)
		evhtp_connection_free(conn->ev);
}

static void put_filter(struct http_conn *conn, evhtp_connection_t *ev)
{
	static const struct timeval patience = {HTTP_WRITE_S, 0};

	bufferevent_setwatermark(conn->under, EV_READ, 0, HTTP_READ_AHEAD);
	bufferevent_setwatermark(conn->under, EV_WRITE, 0, HTTP_WRITE_AHEAD);
	bufferevent_set_timeouts(conn->under, NULL, &patience);
	bufferevent_setcb(conn->filter, on_read, on_write, on_event, conn);
	ev->bev = conn->filter;
	bufferevent_enable(conn->filter, EV_READ | EV_WRITE);
}

evhtp_res http_conn_accept(evhtp_connection_t *ev, void *arg)
{
	struct http_server *server = arg;
	struct http_conn *conn;
	void *unused;
	bool full = server->n_conns >= server->limits.max_conns;

	/* Even saying "full" has its limit. */
	if (full && server->n_conns + server->n_lingers >= 2 * server->limits.max_conns)
		return EVHTP_RES_ERROR;
	conn = xcalloc(1, sizeof(*conn));
	/* Before the filter puts its own there. */
	bufferevent_getcb(ev->bev, &conn->evhtp_read, &conn->evhtp_write,
			  &conn->evhtp_event, &unused);
	/* Not closed with the filter: http_linger.c takes it over. */
	conn->filter =
		bufferevent_filter_new(ev->bev, http_guard_in, http_guard_out,
				       BEV_OPT_DEFER_CALLBACKS, on_filter_free, conn);
	if (!conn->filter) {
		free(conn);
		return EVHTP_RES_ERROR;
	}
	conn->server = server;
	conn->ev = ev;
	conn->under = ev->bev;
	conn->timer = loop_timer_new(server->loop, on_timer, conn);
	link_conn(server, conn);
	put_filter(conn, ev);
	evhtp_connection_set_hook(ev, evhtp_hook_on_request_fini,
				  (evhtp_hook)on_request_fini, conn);
	evhtp_connection_set_hook(ev, evhtp_hook_on_connection_fini,
				  (evhtp_hook)on_connection_fini, conn);
	http_conn_timer(conn, server->limits.idle_s);
	if (full)
		http_guard_refuse(conn, 503);
	return EVHTP_RES_OK;
}
