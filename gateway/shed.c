/*
 * shed.c - when a thread's buffers are full, those connections end that hold
 * more than their share.
 *
 * Refusing newcomers instead would let a few slow readers shut everybody out.
 * The longest connected go first, until a quarter is free: at least one holds
 * the mean or more, so there is always somebody.  Our own services stay.
 */
#include <stdlib.h>

#include "client.h"
#include "exchange.h"
#include "pool.h"

static size_t held_for(const struct client *client)
{
	const struct upstream_conn *up = client->x ? client->x->up : NULL;

	return client->sock.held + (up ? up->sock.held : 0);
}

static void end(struct client *client)
{
	metric_add(client->worker->app->metrics.shed_connections, 1);
	if (client->x)
		exchange_abandon(client->x, "no memory for it");
	else
		client_cut(client);
}

static void make_room(void *arg)
{
	struct worker *worker = arg;
	struct sock_shared *shared = worker->shared;
	size_t share = shared->held / (worker->n_clients + 1);
	struct client *client, *next;

	for (client = TAILQ_FIRST(&worker->clients);
	     client && shared->held > shared->max / 4 * 3; client = next) {
		next = TAILQ_NEXT(client, link);
		/* GONE: by the end of another one, which made room for its request. */
		if (client->state != CLIENT_GONE && client->listener == LISTENER_PUBLIC &&
		    held_for(client) > share)
			end(client);
	}
	shared->shedding = false;
}

/* Nobody may go while a connection's event is at work. */
static void on_full(void *arg)
{
	struct worker *worker = arg;

	loop_defer(worker->loop, make_room, worker);
}

void shed_init(struct worker *worker)
{
	const struct app *app = worker->app;

	worker->shared = xcalloc(1, sizeof(*worker->shared));
	worker->shared->max = (size_t)app->settings.buffer_kib * 1024 / app->n_workers;
	worker->shared->shed = on_full;
	worker->shared->arg = worker;
}

void shed_tick(struct worker *worker)
{
	size_t held = worker->shared->held;

	metric_add(worker->app->metrics.buffered,
		   (int64_t)held - (int64_t)worker->told_held);
	worker->told_held = held;
}

void shed_fini(struct worker *worker)
{
	free(worker->shared);
}
