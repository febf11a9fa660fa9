/* app.c - starts the parts in order, and ends them in reverse. */
#include "app.h"

#include "db.h"

static struct metric *counter(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_reservations_total",
			       "requests to reserve or release stock by their answer",
			       labels);
}

static void make_counters(struct reservation_counters *counters, struct metrics *metrics)
{
	counters->reserved = counter(metrics, "result=\"reserved\"");
	counters->replayed = counter(metrics, "result=\"replayed\"");
	counters->insufficient = counter(metrics, "result=\"insufficient_stock\"");
	counters->in_progress = counter(metrics, "result=\"order_in_progress\"");
	counters->refused = counter(metrics, "result=\"refused\"");
	counters->released = counter(metrics, "result=\"released\"");
}

static bool start_calls(struct app *app, struct metrics *metrics, struct err *err)
{
	struct http_client_config cfg = {.base_url = app->cfg.internal_url};

	app->internal = http_client_new(app->loop, &cfg, metrics, err);
	if (!app->internal)
		return false;
	app->auth = auth_new(app->loop, &app->cfg.auth, app->internal, metrics, err);
	return app->auth != NULL;
}

static bool start_pools(struct app *app, struct metrics *metrics, struct err *err)
{
	app->search_db = app->cfg.db;
	app->search_db.pool = "search";
	app->search_db.max_conns = app->cfg.search_conns;
	app->search_db.max_queue = app->cfg.search_queue;
	app->db = db_pool_new(app->loop, &app->cfg.db, metrics, err);
	if (app->db)
		app->searching = db_pool_new(app->loop, &app->search_db, metrics, err);
	return app->searching != NULL;
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;
	struct metrics *metrics = service_metrics(service);

	app->loop = service_loop(service);
	make_counters(&app->counters, metrics);
	if (!start_calls(app, metrics, err) || !start_pools(app, metrics, err))
		return false;
	service_check_db(service, app->db);
	app->catalogue = catalogue_new(app->loop, app->db, &app->cfg.catalogue, metrics);
	app->reserving = reservation_repo_stage(app->loop, app->db, &app->cfg.reserve,
						metrics, err);
	if (!app->reserving)
		return false;
	app->janitor = janitor_new(app->loop, app->db, app->internal,
				   auth_service_header(app->auth, "product-svc"),
				   app->cfg.janitor_interval_ms, metrics);
	app->confirm = confirm_new(app->loop, app->db, &app->cfg.events,
				   app->cfg.orders_topic, app->cfg.group, metrics, err);
	if (!app->confirm)
		return false;
	/* Last, so that no request arrives before it can be answered. */
	app->http = service_http(service, app->cfg.listen, product_routes, 0, err);
	return app->http != NULL;
}

void app_drain(void *arg, struct service *service)
{
	struct app *app = arg;

	janitor_stop(app->janitor);
	confirm_stop(app->confirm);
	service_drain_http(service, app->http);
}

/* Every *_free() accepts NULL, so this also cleans up a failed start. Client,
 * stage and pools go first: what waits for them ends then, in parts that are there. */
void app_stop(void *arg)
{
	struct app *app = arg;

	janitor_stop(app->janitor);
	confirm_stop(app->confirm);
	catalogue_stop(app->catalogue);
	http_client_free(app->internal);
	batch_free(app->reserving);
	db_pool_free(app->searching);
	db_pool_free(app->db);
	confirm_free(app->confirm);
	janitor_free(app->janitor);
	catalogue_free(app->catalogue);
	http_server_free(app->http);
	auth_free(app->auth);
}
