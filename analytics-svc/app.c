/* app.c - makes the parts of analytics-svc in order, and frees them in reverse. */
#include "app.h"

#define QUESTIONS_MAX 1024 /* connections beside the streams */

static bool results_read(void *arg, const char **why)
{
	struct app *app = arg;

	return feed_ready(app->feed, why);
}

static void on_changed(unsigned what, void *arg)
{
	struct app *app = arg;

	streams_changed(app->streams, what);
}

static bool start_auth(struct app *app, struct metrics *metrics, struct err *err)
{
	struct http_client_config internal = {.base_url = app->cfg.internal_url,
					      .max_conns = 2};

	app->internal = http_client_new(app->loop, &internal, metrics, err);
	if (!app->internal)
		return false;
	app->auth = auth_new(app->loop, &app->cfg.auth, app->internal, metrics, err);
	return app->auth != NULL;
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;
	struct metrics *metrics = service_metrics(service);
	const struct feed_config feed = {.events = &app->cfg.events,
					 .topic = app->cfg.results_topic,
					 .max_users = (size_t)app->cfg.max_users,
					 .changed = on_changed,
					 .arg = app};

	app->loop = service_loop(service);
	app->streams = streams_new(app->loop, (size_t)app->cfg.max_streams, metrics);
	app->feed = feed_new(app->loop, &feed, metrics, err);
	if (!app->feed || !start_auth(app, metrics, err))
		return false;
	streams_set_feed(app->streams, app->feed);
	service_add_check(service, "results", results_read, app);
	app->http = service_http(service, app->cfg.listen, analytics_routes,
				 (unsigned)app->cfg.max_streams + QUESTIONS_MAX, err);
	return app->http != NULL;
}

void app_drain(void *arg, struct service *service)
{
	struct app *app = arg;

	streams_close(app->streams);
	service_drain_http(service, app->http);
}

/* Every *_free() accepts NULL, so this also cleans up a failed start. */
void app_stop(void *arg)
{
	struct app *app = arg;

	http_client_free(app->internal);
	http_server_free(app->http);
	feed_free(app->feed);
	streams_free(app->streams);
	auth_free(app->auth);
}
