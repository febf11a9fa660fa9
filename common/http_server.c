/*
 * http_server.c - listening, and stopping.
 *
 * Stopping: no new connections, idle ones are closed soon, the others after their
 * answer, which says so.  Streams end.  When the last byte is out, `drained`.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_internal.h"

#define BACKLOG 1024

static const struct http_limits defaults = {
	.max_body = 65536, .max_conns = 1024, .idle_s = 30, .head_s = 10, .body_s = 30};

static void set_limits(struct http_server *server, const struct http_limits *limits)
{
	struct http_limits *l = &server->limits;

	*l = limits ? *limits : defaults;
	l->max_body = l->max_body ? l->max_body : defaults.max_body;
	l->max_conns = l->max_conns ? l->max_conns : defaults.max_conns;
	l->idle_s = l->idle_s > 0 ? l->idle_s : defaults.idle_s;
	l->head_s = l->head_s > 0 ? l->head_s : defaults.head_s;
	l->body_s = l->body_s > 0 ? l->body_s : defaults.body_s;
}

/* "host:port" or "[::1]:port". */
static struct addrinfo *resolve(const char *listen, struct err *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	const char *colon = strrchr(listen, ':');
	struct str host = {listen, colon ? (size_t)(colon - listen) : 0};
	struct addrinfo *found;
	char name[256];
	uint64_t port;
	int code;

	if (host.len > 1 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = (struct str){host.at + 1, host.len - 2};
	if (!colon || host.len == 0 || !str_copy(name, sizeof(name), host) ||
	    !str_u64(str_from(colon + 1), &port) || port > UINT16_MAX) {
		err_set(err, ERR_INPUT, "'%s' is not host:port", listen);
		return NULL;
	}
	code = getaddrinfo(name, colon + 1, &hints, &found);
	if (code != 0) {
		err_set(err, ERR_INPUT, "cannot listen on '%s': %s", listen,
			gai_strerror(code));
		return NULL;
	}
	return found;
}

static uint16_t bound_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} addr = {.v6 = {0}};
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.any, &len) != 0)
		return 0;
	return ntohs(addr.any.sa_family == AF_INET6 ? addr.v6.sin6_port
						    : addr.v4.sin_port);
}

static bool start_listening(struct http_server *server, const char *listen,
			    struct err *err)
{
	struct addrinfo *found = resolve(listen, err);
	bool ok;

	if (!found)
		return false;
	ok = evhtp_bind_sockaddr(server->evhtp, found->ai_addr, found->ai_addrlen,
				 BACKLOG) == 0;
	if (ok)
		server->port = bound_port(evconnlistener_get_fd(server->evhtp->server));
	else
		err_set(err, ERR_INTERNAL, "cannot listen on '%s': %s", listen,
			strerror(errno));
	freeaddrinfo(found);
	return ok;
}

static void on_request(evhtp_request_t *ev, void *arg)
{
	(void)arg;
	http_request_start(http_conn_of(ev->conn), ev);
}

static bool all_out(const struct http_server *server)
{
	for (const struct http_linger *l = server->lingers; l; l = l->next) {
		if (!l->flushed)
			return false;
	}
	return server->n_conns == 0;
}

static void on_turn(void *arg)
{
	struct http_server *server = arg;
	loop_fn drained = server->drained;

	if (!drained || !all_out(server))
		return;
	server->drained = NULL;
	drained(server->drained_arg); /* may free the server */
}

struct http_server *http_server_new(struct loop *loop, const char *listen,
				    const struct http_route *routes, void *app,
				    const struct http_limits *limits,
				    struct metrics *metrics, struct err *err)
{
	struct http_server *server = xcalloc(1, sizeof(*server));

	server->loop = loop;
	server->routes = routes;
	server->app = app;
	server->metrics = metrics;
	server->stats = http_stats_new(metrics, routes);
	server->turn = loop_timer_new(loop, on_turn, server);
	set_limits(server, limits);
	server->evhtp = evhtp_new(loop_base(loop), NULL);
	if (!server->evhtp)
		abort();
	/* Without it small answers wait 40 ms for the client's delayed ACK. */
	evhtp_enable_flag(server->evhtp, EVHTP_FLAG_ENABLE_NODELAY);
	/* The guard says it, when there is no body yet. */
	evhtp_disable_flag(server->evhtp, EVHTP_FLAG_ENABLE_100_CONT);
	evhtp_set_gencb(server->evhtp, on_request, server);
	evhtp_set_post_accept_cb(server->evhtp, http_conn_accept, server);
	if (!start_listening(server, listen, err)) {
		http_server_free(server);
		return NULL;
	}
	return server;
}

uint16_t http_server_port(const struct http_server *server)
{
	return server->port;
}

void http_server_check_drained(struct http_server *server)
{
	if (server->drained)
		loop_timer_start(server->turn, 0);
}

void http_server_drain(struct http_server *server, loop_fn drained, void *arg)
{
	struct http_conn *next;

	server->draining = true;
	server->drained = drained;
	server->drained_arg = arg;
	evhtp_unbind_socket(server->evhtp);
	for (struct http_conn *conn = server->conns; conn; conn = next) {
		next = conn->next;
		if (!conn->ev)
			continue;
		if (conn->streaming)
			http_stream_close(conn->req->stream);
		else if (http_conn_idle(conn))
			http_conn_timer(conn, HTTP_LAST_CALL_S);
	}
	http_server_check_drained(server);
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	server->drained = NULL;
	evhtp_unbind_socket(server->evhtp);
	while (server->conns)
		http_conn_drop(server->conns);
	while (server->lingers)
		http_linger_free(server->lingers);
	loop_timer_free(server->turn);
	evhtp_free(server->evhtp);
	http_stats_free(server->stats);
	free(server);
}
