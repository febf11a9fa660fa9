/*
 * service.h - the life of a process, once for all seven programs:
 *
 *   arguments -> settings -> log -> loop -> admin listener -> network -> start() -> run
 *   -> SIGTERM: not ready, wait, drain() -> stop() -> exit 0 (before start(): at once)
 *
 * Arguments every program understands: --help, --check-config,
 * --settings-json, --version, --health (probe the own /readyz), and those of its
 * `commands` (--migrate …).
 */
#ifndef COMMON_SERVICE_H
#define COMMON_SERVICE_H

#include <stdbool.h>

#include "config.h"
#include "db.h"
#include "err.h"
#include "http.h"
#include "loop.h"
#include "metrics.h"

struct service;

struct service_settings {
	char *admin_listen;
	int log_level;
	int64_t drain_wait_ms; /* between not-ready and closing the listeners */
	int64_t drain_max_ms;  /* then stop whatever is still in flight */
	char *version;         /* shown in place of that of the build; "": that one */
	bool served_by;
};

/* One reason why the process is not ready. false: `why` is filled with a
 * literal or a text valid until the next call. */
typedef bool (*service_check)(void *arg, const char **why);

struct service_command {
	const char *flag; /* "--migrate"; NULL ends the list */
	const char *help;
	/* Settings are loaded; returns the exit status. argv starts after the flag. */
	int (*run)(void *arg, int argc, char **argv);
	void *arg;
	bool plain; /* needs no settings: none are loaded */
};

struct service_spec {
	const char *name;                       /* "order-svc" */
	const char *about;                      /* one line for --help */
	const struct config_part *parts;        /* the program's own and shared tables */
	const struct service_command *commands; /* may be NULL */
	void *app;
	/* What a table of settings cannot say; may be NULL. Asked before the start and
	 * by --check-config; false is a wrong setting like any other: exit 2. */
	bool (*check)(void *app, struct err *err);
	/* The setting with the servers whose answer start() waits for, 2 s at most
	 * (reach.h), or NULL: the Kafka brokers, or else the database. `port`: the
	 * setting with that of servers without one; NULL: Kafka's. */
	char *const *servers;
	const int64_t *port;
	/* Makes everything; last the public listener. false: `err`, exit 1. */
	bool (*start)(void *app, struct service *service, struct err *err);
	/* Stop taking new work; call service_drained() when the rest is finished. */
	void (*drain)(void *app, struct service *service);
	/* Frees everything; also called after a failed start, not without any. */
	void (*stop)(void *app);
};

/* The whole main(). */
int service_main(const struct service_spec *spec, int argc, char **argv);

struct loop *service_loop(struct service *service);
struct metrics *service_metrics(struct service *service);
/* Added checks are all asked by /readyz, in order; the answer is
 * {"ready":false,"checks":{"database":"…"}} with 503, or 200. */
void service_add_check(struct service *service, const char *name, service_check check,
		       void *arg);
void service_drained(struct service *service);
/* What most programs do: the check "database", and a drain that is over when the
 * listener has answered everybody. */
void service_check_db(struct service *service, struct db_pool *db);
void service_drain_http(struct service *service, struct http_server *http);
/* http_server_new() for the public listener; with SERVED_BY its answers say which
 * version gave them. `max_conns` as in struct http_limits, 0 for its default. */
struct http_server *service_http(struct service *service, const char *listen,
				 const struct http_route *routes, unsigned max_conns,
				 struct err *err);
bool service_draining(const struct service *service);
/* Ends the process with an error: for a fault that only a restart cures. */
void service_fail(struct service *service, const char *why);

#endif
