/*
 * worker.c - one thread: its loop, its listeners, its pools and its clients.
 *
 * Deadlines are plain numbers that a ticker compares a few times a second; that
 * is cheaper than a timer for each request, and exact enough.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "cached.h"
#include "client.h"
#include "pool.h"
#include "queue.h"
#include "sock.h"
#include "timeutil.h"

#define TICK_MS 100

/* ---- a thread's parts ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	struct client *client, *next;

	(void)fd;
	(void)what;
	worker->now_ms = time_mono_ms();
	for (client = TAILQ_FIRST(&worker->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		client_tick(client, worker->now_ms);
	}
	for (unsigned i = 0; i < worker->routes->n_endpoints; i++)
		pool_tick(worker->pools[i], worker->now_ms);
	cached_tick(worker);
	shed_tick(worker);
	listener_tick(worker);
	log_batch_flush(&worker->log);
}

static void adopt_routes(struct worker *worker, struct routes *routes)
{
	worker->routes = routes_ref(routes);
	worker->pools = xcalloc(routes->n_endpoints + 1, sizeof(struct pool *));
	for (unsigned i = 0; i < routes->n_endpoints; i++)
		worker->pools[i] = pool_new(worker, routes->endpoints[i]);
	worker->waiting = xcalloc(routes->n_upstreams + 1, sizeof(struct queue));
	for (unsigned i = 0; i < routes->n_upstreams; i++)
		queue_init(&worker->waiting[i]);
	worker->cached = cached_new(worker);
}

/* Keys come through our own internal listener, like those of any service. */
static bool start_auth(struct worker *worker, uint16_t port, struct err *err)
{
	struct app *app = worker->app;
	struct metrics *metrics = service_metrics(app->service);
	struct str listen = str_from(app->settings.internal_listen);
	const char *colon = strrchr(listen.at, ':');
	struct str host = {listen.at, (size_t)(colon - listen.at)};
	char url[300];

	if (str_eqz(host, "0.0.0.0") || str_eqz(host, "[::]") || host.len == 0)
		host = STR("127.0.0.1");
	snprintf(url, sizeof(url), "http://" STR_FMT ":%u", STR_ARG(host), port);
	const struct http_client_config cfg = {.base_url = url, .max_conns = 1};

	worker->keys_client = http_client_new(worker->loop, &cfg, metrics, err);
	if (!worker->keys_client)
		return false;
	worker->auth =
		auth_new(worker->loop, &app->auth, worker->keys_client, metrics, err);
	return worker->auth != NULL;
}

static bool worker_init(struct app *app, struct worker *worker, struct err *err)
{
	const struct timeval tick = {0, TICK_MS * 1000};

	worker->app = app;
	worker->listen_fd[LISTENER_PUBLIC] = worker->listen_fd[LISTENER_INTERNAL] = -1;
	worker->now_ms = time_mono_ms();
	TAILQ_INIT(&worker->clients);
	TAILQ_INIT(&worker->spare);
	worker->loop = loop_new(err);
	if (!worker->loop)
		return false;
	worker->ticker =
		event_new(loop_base(worker->loop), -1, EV_PERSIST, on_tick, worker);
	event_add(worker->ticker, &tick);
	shed_init(worker);
	adopt_routes(worker, app->routes);
	return true;
}

static void worker_fini(struct worker *worker)
{
	listener_stop(worker, LISTENER_PUBLIC);
	listener_stop(worker, LISTENER_INTERNAL);
	while (worker->loop && !TAILQ_EMPTY(&worker->clients)) {
		struct client *client = TAILQ_FIRST(&worker->clients);

		if (client->x)
			exchange_abandon(client->x, "stopping");
		client_cut(client);
	}
	for (unsigned i = 0; worker->routes && i < worker->routes->n_endpoints; i++)
		pool_free(worker->pools[i]);
	/* In this order: a question for keys that is still open ends in auth. */
	http_client_free(worker->keys_client);
	auth_free(worker->auth);
	if (worker->ticker)
		event_free(worker->ticker);
	loop_free(worker->loop);
	exchange_free_spare(worker);
	log_batch_flush(&worker->log);
	cached_free(worker->cached);
	routes_unref(worker->routes);
	free(worker->pools);
	free(worker->waiting);
	shed_fini(worker);
}

/* ---- threads ---- */

static void *run(void *arg)
{
	struct worker *worker = arg;

	listener_start(worker, LISTENER_PUBLIC);
	listener_start(worker, LISTENER_INTERNAL);
	loop_run(worker->loop);
	return NULL;
}

/* With port 0 the first thread finds the port, the others join it. */
static bool bind_all(struct app *app, enum listener_kind kind, const char *listen,
		     struct err *err)
{
	char exact[300];

	for (unsigned i = 0; i < app->n_workers; i++) {
		if (!listener_bind(&app->workers[i], kind, listen, err))
			return false;
		if (i == 0)
			snprintf(exact, sizeof(exact), "%.*s:%u",
				 (int)(strrchr(listen, ':') - listen), listen,
				 listener_port(&app->workers[0], kind));
		listen = exact;
	}
	return true;
}

static bool start_thread(struct worker *worker, struct err *err)
{
	char name[16];

	if (pthread_create(&worker->thread, NULL, run, worker) != 0)
		return err_set(err, ERR_INTERNAL, "cannot start a thread");
	worker->running = true;
	snprintf(name, sizeof(name), "gateway-%u", worker->id);
	pthread_setname_np(worker->thread, name);
	return true;
}

bool workers_start(struct app *app, struct err *err)
{
	uint16_t port;

	app->n_workers = settings_threads(&app->settings);
	app->workers = xcalloc(app->n_workers, sizeof(struct worker));
	for (unsigned i = 0; i < app->n_workers; i++) {
		app->workers[i].id = i;
		if (!worker_init(app, &app->workers[i], err))
			return false;
	}
	if (!bind_all(app, LISTENER_PUBLIC, app->settings.listen, err) ||
	    !bind_all(app, LISTENER_INTERNAL, app->settings.internal_listen, err))
		return false;
	port = listener_port(&app->workers[0], LISTENER_INTERNAL);
	for (unsigned i = 0; i < app->n_workers; i++) {
		if (!start_auth(&app->workers[i], port, err))
			return false;
	}
	for (unsigned i = 0; i < app->n_workers; i++) {
		if (!start_thread(&app->workers[i], err))
			return false;
	}
	return true;
}

/* ---- the end ---- */

static void on_thread_drained(void *arg)
{
	struct app *app = arg;

	if (++app->n_drained == app->n_workers)
		service_drained(app->service);
}

void worker_client_gone(struct worker *worker)
{
	if (worker->draining && worker->n_clients == 0 && worker->running)
		loop_post(service_loop(worker->app->service), on_thread_drained,
			  worker->app);
}

static void drain(void *arg)
{
	struct worker *worker = arg;
	struct client *client, *next;

	listener_stop(worker, LISTENER_PUBLIC);
	listener_stop(worker, LISTENER_INTERNAL);
	worker->draining = true;
	for (client = TAILQ_FIRST(&worker->clients); client; client = next) {
		next = TAILQ_NEXT(client, link);
		client_drain(client);
	}
	worker_client_gone(worker);
}

void workers_drain(struct app *app)
{
	for (unsigned i = 0; i < app->n_workers; i++)
		loop_post(app->workers[i].loop, drain, &app->workers[i]);
}

static void stop(void *arg)
{
	struct worker *worker = arg;

	loop_stop(worker->loop);
}

void workers_stop(struct app *app)
{
	for (unsigned i = 0; i < app->n_workers; i++) {
		struct worker *worker = &app->workers[i];

		if (!worker->running)
			continue;
		loop_post(worker->loop, stop, worker);
		pthread_join(worker->thread, NULL);
		worker->running = false;
	}
	for (unsigned i = 0; i < app->n_workers; i++)
		worker_fini(&app->workers[i]);
	free(app->workers);
	app->workers = NULL;
	app->n_workers = 0;
}
