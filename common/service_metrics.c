/* service_metrics.c - what every program tells about itself. */
#include <stdio.h>

#include "certificate.h"
#include "service_internal.h"

/* The files are read each time: they are replaced while we run. */
static void collect_certificates(struct service *service, const struct config_part *part)
{
	for (const struct config_entry *e = part->table; e->name; e++) {
		const char *file;
		char label[80];

		if (!e->certificate)
			continue;
		file = *(char *const *)((const char *)part->into + e->offset);
		if (!*file)
			continue;
		snprintf(label, sizeof(label), "setting=\"%s\"", e->name);
		metric_set(
			metrics_gauge(service->metrics,
				      "shop_certificate_expiry_timestamp_seconds",
				      "when the first certificate in that file ends; 0: "
				      "none can be read",
				      label),
			certificate_expiry_s(file));
	}
}

/* Does each check of /readyz say yes? */
static bool collect_checks(struct service *service)
{
	bool all = true;

	for (const struct check *c = service->checks; c; c = c->next) {
		const char *why;
		bool ok = c->fn(c->arg, &why);
		char label[80];

		snprintf(label, sizeof(label), "check=\"%s\"", c->name);
		metric_set(metrics_gauge(service->metrics, "shop_check_ok",
					 "1 while this check of /readyz is passed",
					 label),
			   ok);
		all = all && ok;
	}
	return all;
}

static void collect(void *arg)
{
	struct service *service = arg;
	bool ok = collect_checks(service);

	metric_set(service->ready, ok && service->state == SERVICE_SERVING);
	for (const struct config_part *part = service->parts; part->table; part++)
		collect_certificates(service, part);
}

void service_metrics_start(struct service *service)
{
	char label[160];

	snprintf(label, sizeof(label), "version=\"%.128s\"", service_version(service));
	metric_set(metrics_gauge(service->metrics, "shop_build_info",
				 "1, with the version that runs", label),
		   1);
	service->ready = metrics_gauge(service->metrics, "shop_ready",
				       "1 while /readyz says so", NULL);
	metrics_on_collect(service->metrics, collect, service);
}
