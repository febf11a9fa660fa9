/* reach.c - connects to every server at each step, until something is heard. */
#include "reach.h"

#include <event2/bufferevent.h>
#include <stdlib.h>
#include <string.h>

#include "origin.h"

struct server {
	struct server *next;
	struct origin origin;
	struct bufferevent *tries[REACH_TRIES];
};

struct reach {
	struct loop *loop;
	struct evdns_base *dns;
	struct server *servers;
	struct loop_timer *timer;
	unsigned tries;
	bool heard, over;
	loop_fn done;
	void *arg;
};

static void finish(struct reach *reach, bool heard)
{
	if (reach->over)
		return;
	reach->over = true;
	reach->heard = heard;
	loop_timer_stop(reach->timer);
	reach->done(reach->arg);
}

static void on_outcome(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	finish(arg, true);
}

static void try_one(struct reach *reach, struct server *server)
{
	struct bufferevent *bev =
		bufferevent_socket_new(loop_base(reach->loop), -1,
				       BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	if (!bev)
		abort(); /* out of memory */
	server->tries[reach->tries] = bev;
	bufferevent_setcb(bev, NULL, NULL, on_outcome, reach);
	if (!origin_connect(&server->origin, bev, reach->dns))
		bufferevent_trigger_event(bev, BEV_EVENT_ERROR, 0);
}

static void step(void *arg)
{
	struct reach *reach = arg;

	if (reach->tries == REACH_TRIES) {
		finish(reach, false);
		return;
	}
	for (struct server *s = reach->servers; s; s = s->next)
		try_one(reach, s);
	reach->tries++;
	loop_timer_start(reach->timer, REACH_STEP_MS);
}

/* What is no server is left for whoever needs it to complain about. */
static void add_server(struct reach *reach, struct str text, uint16_t port)
{
	struct server *server = xcalloc(1, sizeof(*server));
	const char *protocol = memmem(text.at, text.len, "://", 3);

	if (protocol)
		text = (struct str){protocol + 3,
				    text.len - (size_t)(protocol + 3 - text.at)};
	if (!origin_parse_server(str_trim(text), port, &server->origin, NULL)) {
		free(server);
		return;
	}
	server->next = reach->servers;
	reach->servers = server;
}

struct reach *reach_new(struct loop *loop, struct evdns_base *dns, const char *servers,
			uint16_t port, loop_fn done, void *arg)
{
	struct reach *reach = xcalloc(1, sizeof(*reach));

	for (const char *at = servers, *end; *at; at = *end ? end + 1 : end) {
		end = strchrnul(at, ',');
		add_server(reach, (struct str){at, (size_t)(end - at)}, port);
	}
	if (!reach->servers) {
		free(reach);
		return NULL;
	}
	reach->loop = loop;
	reach->dns = dns;
	reach->done = done;
	reach->arg = arg;
	reach->timer = loop_timer_new(loop, step, reach);
	loop_timer_start(reach->timer, 0);
	return reach;
}

unsigned reach_tries(const struct reach *reach)
{
	return reach->heard ? reach->tries : 0;
}

void reach_free(struct reach *reach)
{
	if (!reach)
		return;
	for (struct server *s = reach->servers, *next; s; s = next) {
		next = s->next;
		for (unsigned i = 0; i < reach->tries; i++)
			bufferevent_free(s->tries[i]);
		free(s);
	}
	loop_timer_free(reach->timer);
	free(reach);
}
