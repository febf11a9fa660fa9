/* app.c - makes the parts of notify-svc in order, and frees them in reverse. */
#include "app.h"

static bool kafka_ready(void *arg, const char **why)
{
	struct app *app = arg;

	return intake_ready(app->intake, why);
}

static void on_stored(void *arg)
{
	struct app *app = arg;

	sender_wake(app->sender);
}

static bool has_room(void *arg)
{
	struct app *app = arg;

	return sender_has_room(app->sender);
}

static bool start_calls(struct app *app, struct metrics *metrics, struct err *err)
{
	struct http_client_config internal = {.base_url = app->cfg.internal_url,
					      .max_conns = 8};

	app->internal = http_client_new(app->loop, &internal, metrics, err);
	if (!app->internal)
		return false;
	app->auth = auth_new(app->loop, &app->cfg.auth, app->internal, metrics, err);
	if (!app->auth)
		return false;
	app->addresses = addresses_new(app->loop, app->internal,
				       auth_service_header(app->auth, "notify-svc"));
	return true;
}

static bool start_mail(struct app *app, struct metrics *metrics, struct err *err)
{
	struct sender_config sender = {.db = app->db,
				       .addresses = app->addresses,
				       .from = app->cfg.smtp.from,
				       .rate = app->cfg.mail_rate,
				       .max_tries = app->cfg.mail_max_tries,
				       .max_pending = app->cfg.mail_max_pending};
	struct intake_config intake = {.events = &app->cfg.events,
				       .topic = app->cfg.orders_topic,
				       .group = app->cfg.group,
				       .db = app->db,
				       .room = has_room,
				       .stored = on_stored,
				       .arg = app};

	app->smtp = smtp_new(app->loop, &app->cfg.smtp, err);
	if (!app->smtp)
		return false;
	sender.smtp = app->smtp;
	app->sender = sender_new(app->loop, &sender, metrics);
	app->intake = intake_new(app->loop, &intake, metrics, err);
	return app->intake != NULL;
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;
	struct metrics *metrics = service_metrics(service);

	app->service = service;
	app->loop = service_loop(service);
	app->db = db_pool_new(app->loop, &app->cfg.db, metrics, err);
	if (!app->db || !start_calls(app, metrics, err) || !start_mail(app, metrics, err))
		return false;
	app->housekeeping = housekeeping_new(app->loop, app->db, app->cfg.keep_days,
					     app->cfg.sweep_every_ms, metrics);
	service_check_db(service, app->db);
	service_add_check(service, "kafka", kafka_ready, app);
	app->http = service_http(service, app->cfg.listen, notify_routes, 0, err);
	return app->http != NULL;
}

static void on_drained(void *arg)
{
	struct app *app = arg;

	if (--app->undrained == 0)
		service_drained(app->service);
}

void app_drain(void *arg, struct service *service)
{
	struct app *app = arg;

	(void)service;
	app->undrained = 2;
	http_server_drain(app->http, on_drained, app);
	sender_drain(app->sender, on_drained, app);
}

/* Every *_free() accepts NULL, so this also cleans up a failed start. In this
 * order each part tells the next, while it is still there, that its work ended:
 * mail -> address -> database -> events. */
void app_stop(void *arg)
{
	struct app *app = arg;

	sender_stop(app->sender);
	smtp_free(app->smtp);
	http_client_free(app->internal);
	db_pool_finish(
		app->db); /* a mail that was sent and is not recorded goes out twice */
	db_pool_free(app->db);
	http_server_free(app->http);
	housekeeping_free(app->housekeeping);
	intake_free(app->intake);
	sender_free(app->sender);
	addresses_free(app->addresses);
	auth_free(app->auth);
}
