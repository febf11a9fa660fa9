/*
 * service.c - start, run and end of every program.
 *
 *   SERVING --SIGTERM--> WAITING (not ready, still serving; DRAIN_WAIT_MS)
 *           -----------> DRAINING (no new work; until service_drained() or
 *                        DRAIN_MAX_MS) -> loop ends -> stop() -> exit
 *
 * A second SIGTERM ends the process at once; so does one before start(), in good order.
 */
#include "service.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "failpoint.h"
#include "log.h"
#include "origin.h"
#include "reach.h"
#include "service_internal.h"
#include "str.h"
#include "timeutil.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

#define MAX_PARTS  16
#define KAFKA_PORT 9092 /* as librdkafka takes it */
/* Exit status for a wrong setting or argument. */
#define WRONG_USE 2

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};

const struct config_entry service_config[] = {
	CFG_LISTEN(struct service_settings, admin_listen, "ADMIN_LISTEN",
		   "127.0.0.1:9090",
		   "address of /healthz, /readyz, /metrics and /version"),
	CFG_ENUM(struct service_settings, log_level, "LOG_LEVEL", "info", levels,
		 "least severe level that is logged"),
	CFG_INT(struct service_settings, drain_wait_ms, "DRAIN_WAIT_MS", "3000", 0,
		600000,
		"after SIGTERM: ms between turning unready and closing the listeners"),
	CFG_INT(struct service_settings, drain_max_ms, "DRAIN_MAX_MS", "20000", 0, 600000,
		"after that: ms for requests in flight before they are cut"),
	CFG_STR(struct service_settings, version, "SERVICE_VERSION", "",
		"version to show in the place of the build's own"),
	CFG_BOOL(struct service_settings, served_by, "SERVED_BY", "false",
		 "answers of a service say who gave them: X-Served-By: NAME/VERSION"),
	CFG_END,
};

struct loop *service_loop(struct service *service)
{
	return service->loop;
}

struct metrics *service_metrics(struct service *service)
{
	return service->metrics;
}

const char *service_version(const struct service *service)
{
	return *service->settings.version ? service->settings.version : VERSION;
}

bool service_draining(const struct service *service)
{
	return service->state > SERVICE_SERVING;
}

void service_add_check(struct service *service, const char *name, service_check check,
		       void *arg)
{
	struct check *c = xcalloc(1, sizeof(*c));
	struct check **end = &service->checks;

	c->name = name;
	c->fn = check;
	c->arg = arg;
	while (*end)
		end = &(*end)->next;
	*end = c;
}

void service_drained(struct service *service)
{
	loop_stop(service->loop);
}

static bool db_check(void *arg, const char **why)
{
	return db_ready(arg, why);
}

void service_check_db(struct service *service, struct db_pool *db)
{
	service_add_check(service, "database", db_check, db);
}

static void on_http_drained(void *arg)
{
	service_drained(arg);
}

void service_drain_http(struct service *service, struct http_server *http)
{
	http_server_drain(http, on_http_drained, service);
}

struct http_server *service_http(struct service *service, const char *listen,
				 const struct http_route *routes, unsigned max_conns,
				 struct err *err)
{
	const struct http_limits limits = {.max_conns = max_conns,
					   .served_by = service->served_by};

	return http_server_new(service->loop, listen, routes, service->spec->app, &limits,
			       service->metrics, err);
}

void service_fail(struct service *service, const char *why)
{
	log_error("cannot go on", LOG_STR("why", why));
	service->exit_status = EXIT_FAILURE;
	loop_stop(service->loop);
}

/* ---- SIGTERM: wait -> drain -> stop ---- */

static void drain_begin(void *arg);
static void drain_timeout(void *arg);

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct service *service = arg;

	(void)what;
	if (service->state == SERVICE_STARTING) {
		log_info("stopping before the start", LOG_INT("signal", sig));
		service->state = SERVICE_DRAINING;
		loop_stop(service->loop);
		return;
	}
	if (service_draining(service)) {
		log_warn("second signal, ending at once", LOG_INT("signal", sig));
		_exit(EXIT_FAILURE);
	}
	log_info("stopping: not ready any more", LOG_INT("signal", sig));
	service->state = SERVICE_WAITING;
	service->drain_timer = loop_timer_new(service->loop, drain_begin, service);
	loop_timer_start(service->drain_timer, service->settings.drain_wait_ms);
}

static void drain_begin(void *arg)
{
	struct service *service = arg;

	log_info("draining");
	service->state = SERVICE_DRAINING;
	loop_timer_free(service->drain_timer);
	service->drain_timer = loop_timer_new(service->loop, drain_timeout, service);
	loop_timer_start(service->drain_timer, service->settings.drain_max_ms);
	if (service->spec->drain)
		service->spec->drain(service->spec->app, service);
	else
		service_drained(service);
}

static void drain_timeout(void *arg)
{
	struct service *service = arg;

	log_warn("drain time is over, cutting what is left");
	service_drained(service);
}

/* ---- start ---- */

/* Owned by the caller. */
static char *name_and_version(const struct service *service)
{
	const char *name = service->spec->name, *version = service_version(service);
	size_t size = strlen(name) + strlen(version) + 2;
	char *text = xcalloc(1, size);

	snprintf(text, size, "%s/%s", name, version);
	return text;
}

static void on_reached(void *arg)
{
	struct service *service = arg;

	loop_stop(service->loop);
}

static void tell_of_wait(const struct reach *reach, const char *servers, uint64_t us)
{
	unsigned tries = reach_tries(reach);

	if (tries == 0)
		log_warn("nothing heard from the servers, starting all the same",
			 LOG_STR("servers", servers), LOG_MS("ms", us));
	else if (tries > 1)
		log_info("waited for the network", LOG_STR("servers", servers),
			 LOG_MS("ms", us), LOG_INT("tries", tries));
}

/* The loop runs, so that probes and signals are answered meanwhile. */
static void wait_for_network(struct service *service)
{
	const struct service_spec *spec = service->spec;
	uint16_t port = spec->port ? (uint16_t)*spec->port : KAFKA_PORT;
	uint64_t began = time_mono_us();
	struct evdns_base *dns;
	struct reach *reach;

	if (!spec->servers)
		return;
	dns = origin_resolver_new(service->loop);
	reach = reach_new(service->loop, dns, *spec->servers, port, on_reached, service);
	if (reach) {
		loop_run(service->loop);
		if (!service_draining(service))
			tell_of_wait(reach, *spec->servers, time_mono_us() - began);
	}
	reach_free(reach);
	origin_resolver_free(dns, service->loop);
}

static bool setup(struct service *service, struct err *err)
{
	struct event_base *base;

	service->loop = loop_new(err);
	if (!service->loop)
		return false;
	service->metrics = metrics_new();
	service_metrics_start(service);
	if (service->settings.served_by)
		service->served_by = name_and_version(service);
	base = loop_base(service->loop);
	service->on_term = evsignal_new(base, SIGTERM, on_signal, service);
	service->on_int = evsignal_new(base, SIGINT, on_signal, service);
	event_add(service->on_term, NULL);
	event_add(service->on_int, NULL);
	return failpoint_init(err) && service_admin_start(service, err);
}

/* false: it failed, or a signal came first, and `err` is empty. */
static bool start(struct service *service, struct err *err)
{
	wait_for_network(service);
	if (service_draining(service))
		return false;
	service->started = true;
	return service->spec->start(service->spec->app, service, err);
}

static void teardown(struct service *service)
{
	struct check *checks = service->checks;

	/* A question that still waits must not ask parts that are gone. */
	service->checks = NULL;
	service->state = SERVICE_DRAINING;
	if (service->started)
		service->spec->stop(service->spec->app);
	http_server_free(service->admin);
	loop_timer_free(service->drain_timer);
	if (service->on_term)
		event_free(service->on_term);
	if (service->on_int)
		event_free(service->on_int);
	if (service->loop)
		loop_free(service->loop);
	metrics_free(service->metrics);
	free(service->served_by);
	for (struct check *c = checks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
}

/* A descriptor or two for each connection: the usual soft limit of 1024 is too low. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct service *service)
{
	struct err err = {0};

	raise_fd_limit();
	signal(SIGPIPE, SIG_IGN);
	/* Few arenas: each thread's own would multiply resident memory. */
	mallopt(M_ARENA_MAX, 2);
	/* Fast bins are merged again with every large block: more work than they save. */
	mallopt(M_MXFAST, 0);
	if (setup(service, &err) && start(service, &err)) {
		service->state = SERVICE_SERVING;
		log_info("started", LOG_STR("version", service_version(service)));
		loop_run(service->loop);
	} else if (!service_draining(service)) {
		log_error("cannot start", LOG_STR("why", err.text));
		service->exit_status = EXIT_FAILURE;
	}
	teardown(service);
	log_info("stopped", LOG_INT("status", service->exit_status));
	return service->exit_status;
}

/* ---- arguments ---- */

static void print_help(const struct service_spec *spec, const struct config_part *parts)
{
	config_print_help(spec->name, spec->about, parts);
	printf("\nArguments (without any: run until SIGTERM)\n"
	       "  --help            this text\n"
	       "  --check-config    check the settings, print them with secrets masked\n"
	       "  --settings-json   print the table of settings as JSON\n"
	       "  --health          ask the own /readyz at ADMIN_LISTEN (a wildcard: by\n"
	       "                    loopback) for 2 s at most; status 0 when ready, else "
	       "1\n"
	       "  --version         print the version\n");
	for (const struct service_command *c = spec->commands; c && c->flag; c++)
		printf("  %-17s %s\n", c->flag, c->help);
}

static const struct service_command *find_command(const struct service_spec *spec,
						  const char *flag)
{
	for (const struct service_command *c = spec->commands; c && c->flag; c++) {
		if (strcmp(c->flag, flag) == 0)
			return c;
	}
	return NULL;
}

/* Things that need no settings. */
static bool answered_plainly(const struct service_spec *spec,
			     const struct config_part *parts, const char *flag)
{
	if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0)
		print_help(spec, parts);
	else if (strcmp(flag, "--version") == 0)
		printf("%s %s\n", spec->name, VERSION);
	else if (strcmp(flag, "--settings-json") == 0)
		config_print_json(parts);
	else
		return false;
	return true;
}

static int wrong_setting(const struct err *err)
{
	log_error("wrong setting", LOG_STR("why", err->text));
	return WRONG_USE;
}

static int check_then(struct service *service, int (*then)(struct service *service))
{
	const struct service_spec *spec = service->spec;
	struct err err = {0};

	if (spec->check && !spec->check(spec->app, &err))
		return wrong_setting(&err);
	return then ? then(service) : EXIT_SUCCESS;
}

static int run_command(const struct service_command *command, int argc, char **argv)
{
	return command->run(command->arg, argc - 2, argv + 2);
}

static int dispatch(struct service *service, const struct config_part *parts, int argc,
		    char **argv)
{
	const struct service_spec *spec = service->spec;
	const struct service_command *command;

	if (argc < 2)
		return check_then(service, run);
	if (strcmp(argv[1], "--health") == 0)
		return service_probe(service->settings.admin_listen);
	if (strcmp(argv[1], "--check-config") == 0) {
		config_print_effective(parts);
		return check_then(service, NULL);
	}
	command = find_command(spec, argv[1]);
	if (command)
		return run_command(command, argc, argv);
	fprintf(stderr, "%s: unknown argument \"%s\"; see --help\n", spec->name, argv[1]);
	return WRONG_USE;
}

int service_main(const struct service_spec *spec, int argc, char **argv)
{
	struct service service = {.spec = spec};
	struct config_part parts[MAX_PARTS] = {{service_config, &service.settings}};
	const struct service_command *command =
		argc > 1 ? find_command(spec, argv[1]) : NULL;
	struct err err = {0};
	unsigned n = 1;
	int status;

	for (const struct config_part *p = spec->parts;
	     p && p->table && n + 1 < MAX_PARTS; p++)
		parts[n++] = *p;
	service.parts = parts;
	if (argc > 1 && answered_plainly(spec, parts, argv[1]))
		return EXIT_SUCCESS;
	log_init(spec->name, LOG_INFO);
	if (command && command->plain)
		return run_command(command, argc, argv);
	if (!config_load(parts, &err)) {
		config_free(parts);
		return wrong_setting(&err);
	}
	log_init(spec->name, (enum log_level)service.settings.log_level);
	status = dispatch(&service, parts, argc, argv);
	config_free(parts);
	return status;
}
