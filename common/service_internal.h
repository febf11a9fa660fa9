/* service_internal.h - what the files of service*.c share. */
#ifndef COMMON_SERVICE_INTERNAL_H
#define COMMON_SERVICE_INTERNAL_H

#include <stdatomic.h>

#include "http.h"
#include "service.h"

struct check {
	struct check *next;
	const char *name;
	service_check fn;
	void *arg;
};

struct service {
	const struct service_spec *spec;
	struct service_settings settings;
	struct loop *loop;
	struct metrics *metrics;
	struct http_server *admin;
	struct check *checks;
	const struct config_part *parts; /* all settings */
	char *served_by;                 /* NULL: answers do not say it */
	struct metric *ready;
	struct event *on_term, *on_int;
	struct loop_timer *drain_timer;
	/* starting -> serving -> waiting (not ready) -> draining -> stopped */
	enum {
		SERVICE_STARTING,
		SERVICE_SERVING,
		SERVICE_WAITING,
		SERVICE_DRAINING
	} state;
	bool started; /* start() was called */
	int exit_status;
};

extern const struct config_entry service_config[];

const char *service_version(const struct service *service);

/* service_metrics.c */
void service_metrics_start(struct service *service);

/* service_admin.c */
bool service_admin_start(struct service *service, struct err *err);
/* --health: asks the own /readyz; the exit status. */
int service_probe(const char *admin_listen);

#endif
