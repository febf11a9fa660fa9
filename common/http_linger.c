/*
 * http_linger.c - the end of a connection, done gently.
 *
 * Closing a socket that still has unread input makes the kernel send a reset,
 * and the client may lose the answer it was about to read.  So the last bytes go
 * out, then our side is shut down, and what still comes in is read and dropped
 * for a while (RFC 9112 section 9.6).
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "http_internal.h"

#define FLUSH_MS 10000
#define DROP_MS  2000

static void on_flushed(struct http_linger *linger)
{
	if (linger->flushed)
		return;
	linger->flushed = true;
	shutdown(bufferevent_getfd(linger->under), SHUT_WR);
	loop_timer_start(linger->timer, linger->server->draining ? 0 : DROP_MS);
	http_server_check_drained(linger->server);
}

static void on_read(struct bufferevent *under, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(under);

	(void)arg;
	evbuffer_drain(input, evbuffer_get_length(input));
}

static void on_write(struct bufferevent *under, void *arg)
{
	(void)under;
	on_flushed(arg);
}

static void on_event(struct bufferevent *under, short what, void *arg)
{
	struct http_linger *linger = arg;

	(void)under;
	/* A client may shut down its side first and still read. */
	if ((what & BEV_EVENT_EOF) && !linger->flushed)
		return;
	http_linger_free(linger);
}

static void on_timeout(void *arg)
{
	http_linger_free(arg);
}

void http_linger_start(struct http_server *server, struct bufferevent *under)
{
	struct http_linger *linger = xcalloc(1, sizeof(*linger));

	linger->server = server;
	linger->under = under;
	linger->timer = loop_timer_new(server->loop, on_timeout, linger);
	linger->next = server->lingers;
	if (linger->next)
		linger->next->prev = linger;
	server->lingers = linger;
	server->n_lingers++;
	loop_timer_start(linger->timer, FLUSH_MS);
	bufferevent_setcb(under, on_read, on_write, on_event, linger);
	bufferevent_set_timeouts(under, NULL, NULL);
	bufferevent_enable(under, EV_READ | EV_WRITE);
	on_read(under, linger);
	if (evbuffer_get_length(bufferevent_get_output(under)) == 0)
		on_flushed(linger);
}

void http_linger_free(struct http_linger *linger)
{
	struct http_server *server = linger->server;

	if (linger->prev)
		linger->prev->next = linger->next;
	else
		server->lingers = linger->next;
	if (linger->next)
		linger->next->prev = linger->prev;
	server->n_lingers--;
	loop_timer_free(linger->timer);
	bufferevent_free(linger->under);
	free(linger);
	http_server_check_drained(server);
}
