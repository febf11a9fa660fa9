/* client.c - the client's half: find requests in the input, end the connection. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reply.h"
#include "timeutil.h"

#define HEAD_MS   10000 /* the whole head, from its first byte */
#define IDLE_MS   60000
#define LINGER_MS 2000
/* Draining: who was about to ask still gets an answer. */
#define LAST_CALL_MS 1000
#define LINGER_MAX   (4 << 20)
/* So many bytes of later requests may wait while one is answered. */
#define AHEAD_MAX 65536

static void client_parse(struct client *client);

/* ---- life ---- */

static void client_free(void *arg)
{
	struct client *client = arg;
	struct worker *worker = client->worker;

	worker->n_clients--;
	metric_add(worker->app->metrics.connections, -1);
	free(client);
	worker_client_gone(worker);
}

void client_cut(struct client *client)
{
	if (client->state == CLIENT_GONE)
		return;
	client->state = CLIENT_GONE;
	sock_close(&client->sock);
	TAILQ_REMOVE(&client->worker->clients, client, link);
	loop_defer(client->worker->loop, client_free, client);
}

static void start_linger(struct client *client)
{
	if (client->half_closed || client->sock.no_more_in) {
		client_cut(client);
		return;
	}
	client->state = CLIENT_LINGERING;
	client->deadline_ms = client->worker->now_ms + LINGER_MS;
	shutdown(client->sock.fd, SHUT_WR);
	evbuffer_drain(client->sock.in, evbuffer_get_length(client->sock.in));
	sock_read_on(&client->sock, true);
}

static void start_flush(struct client *client)
{
	client->state = CLIENT_FLUSHING;
	sock_read_on(&client->sock, false);
	if (sock_pending(&client->sock) == 0)
		start_linger(client);
}

static int64_t silence_ms(const struct worker *worker)
{
	return worker->draining ? LAST_CALL_MS : IDLE_MS;
}

void client_finish(struct client *client, bool keep)
{
	client->x = NULL;
	if (client->state == CLIENT_GONE)
		return;
	sock_keeps(&client->sock, 0);
	sock_flush(&client->sock);
	if (!keep) {
		start_flush(client);
		return;
	}
	client->state = CLIENT_HEAD;
	client->scanned = 0;
	client->head_begun = false;
	client->deadline_ms = client->worker->now_ms + silence_ms(client->worker);
	if (!client->parsing)
		client_parse(client);
}

void client_drain(struct client *client)
{
	if (client->state == CLIENT_HEAD && !client->head_begun)
		client->deadline_ms = client->worker->now_ms + LAST_CALL_MS;
}

/* ---- requests ---- */

/* A head that cannot be read: there is no exchange yet to answer it. */
static void refuse(struct client *client, int status)
{
	metric_add(client->worker->app->metrics.bad_requests, 1);
	client_refuse(client, status);
}

void client_refuse(struct client *client, int status)
{
	reply_bad_head(client, status);
	client_finish(client, false);
}

static void take_request(struct client *client, struct str text, size_t len)
{
	struct exchange *x = exchange_new(client, (struct str){text.at, len});
	int status = http_parse_request((struct str){x->head_text, len}, &x->head);

	evbuffer_drain(client->sock.in, len);
	client->state = CLIENT_BUSY;
	client->x = x;
	exchange_settle(x);
	client->n_requests++;
	if (status)
		exchange_fail(x, status, NULL, NULL);
	else
		request_begin(x);
}

/* One request, if it is whole. false: wait for more, or the state moved on. */
static bool parse_one(struct client *client)
{
	struct evbuffer *in = client->sock.in;
	size_t len = evbuffer_get_length(in);
	struct str text;
	int end;

	if (len > HTTP_MAX_HEAD + 1024)
		len = HTTP_MAX_HEAD + 1024;
	text = (struct str){(const char *)evbuffer_pullup(in, (ev_ssize_t)len), len};
	end = http_head_end(text, &client->scanned);
	if (end < 0) {
		refuse(client, -end);
		return false;
	}
	if (end == 0) {
		if (!client->head_begun)
			client->deadline_ms = client->worker->now_ms + HEAD_MS;
		client->head_begun = true;
		return false;
	}
	take_request(client, text, (size_t)end);
	return client->state == CLIENT_HEAD;
}

/* Takes requests one at a time; the answers of refused ones pile up in the
 * output, so a client that does not read them stops being read. */
static void client_parse(struct client *client)
{
	client->parsing = true;
	while (client->state == CLIENT_HEAD && evbuffer_get_length(client->sock.in) > 0 &&
	       sock_pending(&client->sock) < SOCK_HIGH) {
		if (!parse_one(client))
			break;
	}
	client->parsing = false;
	if (client->state != CLIENT_HEAD)
		return;
	if (client->half_closed)
		start_flush(client);
	else
		sock_read_on(&client->sock, sock_pending(&client->sock) < SOCK_HIGH);
}

/* ---- events ---- */

static void on_readable(void *arg)
{
	struct client *client = arg;
	size_t len = evbuffer_get_length(client->sock.in);

	switch (client->state) {
	case CLIENT_HEAD: client_parse(client); break;
	case CLIENT_BUSY:
		if (client->x->state == X_COLLECTING)
			request_collect(client->x);
		else if (!client->x->request.done && client->x->state >= X_SENT)
			relay_request(client->x);
		else if (len >= AHEAD_MAX)
			sock_read_on(&client->sock, false);
		break;
	case CLIENT_LINGERING:
		client->lingered += len;
		evbuffer_drain(client->sock.in, len);
		if (client->lingered > LINGER_MAX)
			client_cut(client);
		break;
	case CLIENT_FLUSHING:
	case CLIENT_GONE: break;
	}
}

static void on_writable(void *arg)
{
	struct client *client = arg;

	if (client->state == CLIENT_BUSY)
		relay_client_writable(client->x);
	else if (client->state == CLIENT_HEAD)
		client_parse(client);
	else if (client->state == CLIENT_FLUSHING && sock_pending(&client->sock) == 0)
		start_linger(client);
}

/* A client that only shut its sending side still wants the answer; one that
 * reads a stream has nothing to say and is taken for gone. */
static bool may_half_close(const struct client *client)
{
	const struct exchange *x = client->x;

	return x->request.done && !(x->route && x->route->stream);
}

static void on_ended(void *arg, enum sock_end end)
{
	struct client *client = arg;
	struct exchange *x = client->x;

	if (end == SOCK_EOF && client->state == CLIENT_BUSY && may_half_close(client)) {
		client->half_closed = true;
		return;
	}
	if (end == SOCK_EOF && client->state == CLIENT_HEAD &&
	    sock_pending(&client->sock)) {
		client->half_closed = true;
		start_flush(client);
		return;
	}
	if (x)
		exchange_abandon(x, "client closed");
	client_cut(client);
}

static const struct sock_ops client_ops = {on_readable, on_writable, on_ended};

struct client *client_new(struct worker *worker, enum listener_kind listener, int fd,
			  const char *peer)
{
	struct client *client = xcalloc(1, sizeof(*client));

	client->worker = worker;
	client->listener = listener;
	/* Who connects has something to say; only later it may take its time. */
	client->deadline_ms = worker->now_ms + HEAD_MS;
	snprintf(client->peer, sizeof(client->peer), "%s", peer);
	client->speaks_for_others = listener == LISTENER_PUBLIC &&
				    proxies_trust(&worker->app->proxies, client->peer);
	sock_nodelay(fd);
	sock_init(&client->sock, loop_base(worker->loop), fd, worker->shared, &client_ops,
		  client);
	TAILQ_INSERT_TAIL(&worker->clients, client, link);
	worker->n_clients++;
	metric_add(worker->app->metrics.connections, 1);
	sock_read_on(&client->sock, true);
	return client;
}

/* It may take its time to read the answer; its silence counts from then on. */
static void tick_unsent(struct client *client, int64_t now_ms)
{
	if (client->sock.stuck)
		client_cut(client);
	else
		client->deadline_ms = now_ms + silence_ms(client->worker);
}

void client_tick(struct client *client, int64_t now_ms)
{
	bool in_head = client->state == CLIENT_HEAD && client->head_begun;

	/* Cut by the tick of another one, whose end made room or ended a fetch. */
	if (client->state == CLIENT_GONE)
		return;
	sock_tick(&client->sock, now_ms);
	if (client->state == CLIENT_BUSY)
		exchange_tick(client->x, now_ms);
	else if (!in_head && sock_pending(&client->sock) > 0)
		tick_unsent(client, now_ms);
	else if (client->deadline_ms > now_ms)
		return;
	else if (in_head)
		refuse(client, 408);
	else
		client_cut(client);
}
