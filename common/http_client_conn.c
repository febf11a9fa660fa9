/*
 * http_client_conn.c - one connection of the client: connect, send, read the
 * answer, wait for the next call.  One that cannot be made gives its call back.
 *
 * Callbacks of the bufferevent are deferred by libevent, so none runs inside a
 * function that the user of the client called.  A connection is kept only
 * when the answer's end was certain and nothing is left over.
 */
#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "http_client_internal.h"
#include "http_push.h"

#define CLIENT_MAX_INFO  16    /* 1xx answers before the real one */
#define CLIENT_READ_HIGH 65536 /* bytes read ahead of the parser */

/* After a refusal; it doubles twice. After a time-out there was enough of a pause. */
#define PAUSE_MS      50
#define PAUSE_DOUBLES 2
/* The time of an attempt doubles too, for name servers that need longer. */
#define CONNECT_DOUBLES 3

static void on_read(struct bufferevent *bev, void *arg);
static void on_event(struct bufferevent *bev, short what, void *arg);

static void conn_fail(struct client_conn *conn, enum err_code code, const char *why)
{
	struct client_call *call = conn->call;
	struct err err;

	err_set(&err, code, "%s: %s", conn->client->origin.authority, why);
	client_conn_free(conn);
	if (call)
		client_call_failed(call, &err);
}

bool client_conn_sent(const struct client_conn *conn)
{
	return conn->state == CLIENT_HEAD || conn->state == CLIENT_BODY;
}

static int doubled(int ms, unsigned times, unsigned most)
{
	return ms << (times < most ? times : most);
}

/* ---- connecting ---- */

static void try_again(struct client_conn *conn)
{
	struct client_call *call = conn->call;

	client_conn_free(conn);
	call->attempts++;
	client_call_again(call, false);
}

static void refuse(struct client_conn *conn)
{
	struct client_call *call = conn->call;
	struct err err;

	err_slug(&err, ERR_BUSY, "refused", "%s: cannot connect",
		 conn->client->origin.authority);
	client_conn_free(conn);
	client_call_failed(call, &err);
}

static void on_refused(struct client_conn *conn)
{
	if (conn->client->cfg.fail_refused) {
		refuse(conn);
		return;
	}
	if (conn->bev)
		bufferevent_free(conn->bev);
	conn->bev = NULL;
	conn->state = CLIENT_PAUSING;
	loop_timer_start(conn->timer,
			 doubled(PAUSE_MS, conn->call->attempts, PAUSE_DOUBLES));
}

/* Connecting took too long, the pause is over, or the kept connection is old. */
static void on_timer(void *arg)
{
	struct client_conn *conn = arg;

	if (conn->state == CLIENT_IDLE)
		client_conn_free(conn);
	else
		try_again(conn);
}

void client_conn_open(struct client_call *call)
{
	struct http_client *client = call->client;
	struct client_conn *conn = xcalloc(1, sizeof(*conn));

	conn->client = client;
	conn->state = CLIENT_CONNECTING;
	conn->timer = loop_timer_new(client->loop, on_timer, conn);
	conn->bev =
		bufferevent_socket_new(loop_base(client->loop), -1,
				       BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	TAILQ_INSERT_HEAD(&client->busy, conn, link);
	client->n_conns++;
	conn->call = call;
	call->conn = conn;
	if (!conn->bev || !origin_connect(&client->origin, conn->bev, client->dns)) {
		on_refused(conn);
		return;
	}
	bufferevent_setcb(conn->bev, on_read, NULL, on_event, conn);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, CLIENT_READ_HIGH);
	loop_timer_start(conn->timer, doubled(client->cfg.connect_ms, call->attempts,
					      CONNECT_DOUBLES));
}

void client_conn_free(struct client_conn *conn)
{
	struct http_client *client = conn->client;

	if (conn->state == CLIENT_IDLE)
		TAILQ_REMOVE(&client->idle, conn, link);
	else
		TAILQ_REMOVE(&client->busy, conn, link);
	client->n_conns--;
	if (conn->call) {
		conn->call->conn = NULL;
		conn->call->link.tqe_prev = NULL; /* on no list */
	}
	if (conn->bev)
		bufferevent_free(conn->bev);
	loop_timer_free(conn->timer);
	free(conn->head_text);
	free(conn->body);
	free(conn);
	client_kick(client);
}

/* ---- sending ---- */

static void write_request(struct client_conn *conn)
{
	conn->state = CLIENT_HEAD;
	conn->got_bytes = false;
	conn->n_info = 0;
	conn->scanned = 0;
	conn->body_len = 0;
	bufferevent_enable(conn->bev, EV_READ);
	http_push_begin(conn->bev);
	bufferevent_write(conn->bev, conn->call->request, conn->call->request_len);
	http_push_end(conn->bev, false);
}

void client_conn_send(struct client_conn *conn, struct client_call *call)
{
	struct http_client *client = conn->client;

	TAILQ_REMOVE(&client->idle, conn, link);
	TAILQ_INSERT_HEAD(&client->busy, conn, link);
	loop_timer_stop(conn->timer);
	conn->reused = true;
	conn->call = call;
	call->conn = conn;
	write_request(conn);
}

static void on_connected(struct client_conn *conn)
{
	int one = 1;

	setsockopt(bufferevent_getfd(conn->bev), IPPROTO_TCP, TCP_NODELAY, &one,
		   sizeof(one));
	loop_timer_stop(conn->timer);
	write_request(conn);
}

/* ---- the answer ---- */

static void answer_complete(struct client_conn *conn)
{
	struct http_client *client = conn->client;
	struct client_call *call = conn->call;
	bool keep = !conn->head.close && conn->head.framing != HTTP_UNTIL_CLOSE &&
		    evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0 &&
		    evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0;

	/* The callback sees slices of this connection, so it comes first; calls
	 * that it starts wait until the loop's next turn. */
	conn->call = NULL;
	call->conn = NULL;
	call->link.tqe_prev = NULL;
	client_call_answered(call, conn);
	if (!keep) {
		client_conn_free(conn);
		return;
	}
	conn->state = CLIENT_IDLE;
	TAILQ_REMOVE(&client->busy, conn, link);
	TAILQ_INSERT_HEAD(&client->idle, conn, link);
	loop_timer_start(conn->timer, client->cfg.idle_ms);
	client_kick(client);
}

static bool body_add(struct client_conn *conn, struct str data)
{
	size_t need = conn->body_len + data.len;

	if (need > conn->client->cfg.max_body)
		return false;
	if (need > conn->body_cap) {
		conn->body_cap = need < 1024 ? 1024 : need * 2;
		conn->body = xrealloc(conn->body, conn->body_cap);
	}
	if (data.len)
		memcpy(conn->body + conn->body_len, data.at, data.len);
	conn->body_len = need;
	return true;
}

/* Takes the head off the input when it is whole. false: the connection is gone
 * or more bytes are needed. */
static bool read_head(struct client_conn *conn)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	size_t len = evbuffer_get_length(in);
	struct str text = {(const char *)evbuffer_pullup(in, -1), len};
	int end = http_head_end(text, &conn->scanned);

	if (end == 0)
		return false;
	if (end > 0) {
		conn->head_text = xrealloc(conn->head_text, (size_t)end);
		evbuffer_remove(in, conn->head_text, (size_t)end);
	}
	conn->scanned = 0;
	if (end < 0 || http_parse_response((struct str){conn->head_text, (size_t)end},
					   conn->call->to_head, &conn->head) != 0) {
		conn_fail(conn, ERR_UPSTREAM, "malformed answer");
		return false;
	}
	return true;
}

/* A real answer's head is there: how does its body come? */
static void start_body(struct client_conn *conn)
{
	conn->state = CLIENT_BODY;
	conn->left = conn->head.framing == HTTP_LENGTH ? conn->head.content_length : 0;
	if (conn->head.framing == HTTP_CHUNKED)
		http_chunks_init(&conn->chunks, conn->client->cfg.max_body);
}

static bool read_chunks(struct client_conn *conn, struct str in, size_t *used)
{
	*used = 0;
	while (conn->chunks.state != HTTP_CHUNK_END) {
		struct str rest = {in.at + *used, in.len - *used};
		struct str data = STR_NONE;
		int64_t n = http_chunks_step(&conn->chunks, rest, &data);

		if (n < 0 || !body_add(conn, data))
			return false;
		if (n == 0)
			break;
		*used += (size_t)n;
	}
	return true;
}

static bool read_body(struct client_conn *conn)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	size_t len = evbuffer_get_length(in);
	struct str text = {(const char *)evbuffer_pullup(in, -1), len};
	bool good = true;

	if (conn->head.framing == HTTP_CHUNKED) {
		good = read_chunks(conn, text, &len);
	} else {
		if (conn->head.framing != HTTP_UNTIL_CLOSE && len > conn->left)
			len = (size_t)conn->left;
		good = body_add(conn, (struct str){text.at, len});
		conn->left -= conn->head.framing == HTTP_LENGTH ? len : 0;
	}
	evbuffer_drain(in, len);
	return good;
}

static bool body_complete(const struct client_conn *conn)
{
	switch (conn->head.framing) {
	case HTTP_NO_BODY: return true;
	case HTTP_LENGTH: return conn->left == 0;
	case HTTP_CHUNKED: return conn->chunks.state == HTTP_CHUNK_END;
	case HTTP_UNTIL_CLOSE: return false;
	}
	return false;
}

/* An informational answer: false when there were too many, or it switches
 * protocols, which nobody asked for. */
static bool skip_info(struct client_conn *conn)
{
	return conn->head.status != 101 && ++conn->n_info <= CLIENT_MAX_INFO;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct client_conn *conn = arg;

	(void)bev;
	if (conn->state == CLIENT_IDLE) { /* an answer that nobody asked for */
		client_conn_free(conn);
		return;
	}
	conn->got_bytes = true;
	while (conn->state == CLIENT_HEAD) {
		if (!read_head(conn))
			return;
		if (conn->head.status >= 200) {
			start_body(conn);
		} else if (!skip_info(conn)) {
			conn_fail(conn, ERR_UPSTREAM, "malformed answer");
			return;
		}
	}
	if (!read_body(conn))
		conn_fail(conn, ERR_UPSTREAM, "malformed or too large answer");
	else if (body_complete(conn))
		answer_complete(conn);
}

/* ---- the end of the connection ---- */

static void on_closed(struct client_conn *conn)
{
	struct client_call *call = conn->call;

	if (conn->state == CLIENT_BODY && conn->head.framing == HTTP_UNTIL_CLOSE) {
		answer_complete(conn);
	} else if (conn->reused && !conn->got_bytes && call->idempotent && !call->again) {
		client_conn_free(conn);
		client_call_again(call, true);
	} else {
		conn_fail(conn, ERR_UPSTREAM,
			  "connection closed before the answer's end");
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client_conn *conn = arg;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		on_connected(conn);
	} else if (conn->state == CLIENT_CONNECTING) {
		on_refused(conn);
	} else if (conn->state == CLIENT_IDLE) {
		client_conn_free(conn);
	} else if ((what & BEV_EVENT_ERROR) && conn->state == CLIENT_BODY) {
		/* A reset does not mark an end, also when only the close would. */
		conn_fail(conn, ERR_UPSTREAM, "connection reset inside the answer");
	} else {
		on_closed(conn);
	}
}
