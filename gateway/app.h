/*
 * app.h - the gateway process: its settings, its threads, and what a thread
 * owns.
 *
 * Threads share only what is immutable or atomic: settings, the route snapshot,
 * metrics.  Everything else hangs off one `struct worker`.
 */
#ifndef GATEWAY_APP_H
#define GATEWAY_APP_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "auth.h"
#include "generations.h"
#include "http_client.h"
#include "http_date.h"
#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "proxies.h"
#include "routes.h"
#include "service.h"
#include "settings.h"

struct app;
struct client;
struct pool;
struct exchange;
struct queue;
struct cached;
struct health;
struct resolver;
struct sock_shared;

TAILQ_HEAD(clients, client);
TAILQ_HEAD(exchanges, exchange);

/* What one thread owns. */
struct worker {
	struct app *app;
	unsigned id;
	pthread_t thread;
	bool running;
	struct loop *loop;
	struct event *ticker; /* looks at all deadlines */
	struct event *accepting[LISTENER_KINDS];
	int listen_fd[LISTENER_KINDS]; /* -1: closed */
	struct http_client *keys_client;
	struct auth *auth;
	struct routes *routes; /* the newest snapshot; one reference */
	struct pool **pools;   /* by endpoint id of `routes` */
	struct queue *waiting; /* for a connection, by upstream id */
	struct cached *cached; /* answers to repeat; NULL: none */
	struct clients clients;
	unsigned n_clients;
	struct exchanges spare; /* for reuse */
	unsigned n_spare;
	struct log_batch log; /* the access log */
	struct http_date date;
	bool draining;
	struct sock_shared *shared; /* by all its connections */
	size_t told_held;           /* as the metric has it */
	int64_t now_ms;             /* of the last tick */
};

/* What the cache did for a request. */
enum cache_use {
	CACHE_UNUSED,
	CACHE_USE_HIT,
	CACHE_USE_SHARED,
	CACHE_USE_MISS,
	CACHE_USES
};
extern const char *const cache_use_names[CACHE_USES]; /* NULL for CACHE_UNUSED */

struct gateway_metrics {
	struct metric *connections, *refused_connections, *bad_requests, *retries;
	struct metric *buffered, *shed_connections;
	struct metric *no_endpoint, *overloaded, *waiting;
	struct metric *cache[CACHE_USES]; /* by enum cache_use */
	struct metric *cache_invalidations, *cache_bytes, *cache_evictions;
	struct metric *cache_waiting;
	struct route_series no_route; /* of requests that found none */
};

struct app {
	struct gateway_settings settings;
	struct auth_settings auth;
	struct proxies proxies; /* of settings.trusted_proxies */
	struct service *service;
	struct gateway_metrics metrics;
	struct generations generations; /* of what may be stored */
	struct routes *routes;
	struct health *health;
	struct resolver *resolver; /* NULL until the threads exist */
	struct worker *workers;
	unsigned n_workers;
	unsigned n_drained; /* main loop only */
};

/* ---- app.c: the callbacks of service.h; `arg` is the struct app ---- */

bool app_check(void *arg, struct err *err);
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);

/* ---- worker.c ---- */

/* Binds both listeners of every thread, then starts the threads. */
bool workers_start(struct app *app, struct err *err);
/* Stop accepting, close what is idle; service_drained() follows. */
void workers_drain(struct app *app);
void workers_stop(struct app *app);
/* A client is gone: a draining thread may be finished. */
void worker_client_gone(struct worker *worker);

/* ---- listener.c ---- */

bool listener_bind(struct worker *worker, enum listener_kind kind, const char *listen,
		   struct err *err);
uint16_t listener_port(const struct worker *worker, enum listener_kind kind);
void listener_start(struct worker *worker, enum listener_kind kind);
/* Goes on accepting where that had failed. */
void listener_tick(struct worker *worker);
void listener_stop(struct worker *worker, enum listener_kind kind);

/* ---- shed.c ---- */

/* The budget of a thread's connections; called once all threads are counted. */
void shed_init(struct worker *worker);
void shed_tick(struct worker *worker);
void shed_fini(struct worker *worker);

/* ---- health.c ---- */

/* For so long after its start a gateway that does not know all of its services, or is not
 * known to them, is not ready. */
#define READY_GRACE_MS 10000

/* Probes the readiness of all endpoints that name an admin address. */
struct health *health_new(struct loop *loop, struct routes *routes,
			  struct metrics *metrics, struct err *err);
void health_free(struct health *health);
/* A check of /readyz: has one endpoint of each upstream that is probed answered once,
 * whatever it was? After READY_GRACE_MS nobody asks any more. */
bool health_heard(void *health, const char **why);
/* An endpoint of a name has another address from now on; "": none. */
void health_address(struct health *health, struct endpoint *endpoint,
		    const char *address);

#endif
