/* app.c - makes the parts of order-svc in order, and frees them in reverse. */
#include "app.h"

#include "housekeeping.h"

static bool start_calls(struct app *app, struct metrics *metrics, struct err *err)
{
	struct http_client_config internal = {
		.base_url = app->cfg.internal_url, .max_conns = 64, .max_waiting = 1024};
	const char *authorization;

	app->internal = http_client_new(app->loop, &internal, metrics, err);
	if (!app->internal)
		return false;
	app->auth = auth_new(app->loop, &app->cfg.auth, app->internal, metrics, err);
	if (!app->auth)
		return false;
	authorization = auth_service_header(app->auth, "order-svc");
	app->users = users_new(app->loop, app->internal, authorization);
	app->reservations = reservations_new(app->loop, app->internal, authorization,
					     (unsigned)app->cfg.reserve_calls, metrics);
	return true;
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;
	struct metrics *metrics = service_metrics(service);
	struct relay_config relay = {.db = &app->cfg.db,
				     .events = &app->cfg.events,
				     .topic = app->cfg.orders_topic,
				     .threads = app->cfg.relay_threads,
				     .batch = app->cfg.relay_batch,
				     .poll_ms = app->cfg.relay_poll_ms};

	app->loop = service_loop(service);
	TAILQ_INIT(&app->pausing);
	counters_init(&app->counters, metrics);
	app->db = db_pool_new(app->loop, &app->cfg.db, metrics, err);
	if (!app->db || !start_calls(app, metrics, err))
		return false;
	service_check_db(service, app->db);
	app->repo = order_repo_new(app->loop, app->db, &app->cfg.repo, metrics, err);
	if (!app->repo)
		return false;
	app->twins = twins_new(app->loop);
	app->housekeeping =
		housekeeping_new(app->loop, app->repo, app->cfg.reservation_ttl_s,
				 app->cfg.sweep_every_ms);
	app->relay = relay_new(&relay, metrics, err);
	if (!app->relay)
		return false;
	app->http = service_http(service, app->cfg.listen, order_routes, 0, err);
	return app->http != NULL;
}

void app_drain(void *arg, struct service *service)
{
	struct app *app = arg;

	service_drain_http(service, app->http);
}

/* Every *_free() accepts NULL, so this also cleans up a failed start. What is
 * still in flight is told so by the pool and the client, and answers. */
void app_stop(void *arg)
{
	struct app *app = arg;

	app->stopping = true;
	undo_stop(app);
	order_repo_free(app->repo);
	app->repo = NULL;
	db_pool_free(app->db);
	reservations_stop(app->reservations);
	http_client_free(app->internal);
	reservations_free(app->reservations);
	twins_free(app->twins);
	http_server_free(app->http);
	relay_free(app->relay);
	housekeeping_free(app->housekeeping);
	users_free(app->users);
	auth_free(app->auth);
}
