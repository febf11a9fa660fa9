/* app.c - makes the parts of user-svc in order, and frees them in reverse. */
#include "app.h"

#include "user_read.h"

static const struct http_route routes[] = {
	{"POST", "/api/auth/register", handle_register},
	{"POST", "/api/auth/login", handle_login},
	{"GET", "/.well-known/jwks.json", handle_jwks},
	{"GET", "/api/users", handle_user_list},
	{"POST", "/api/users", handle_user_create},
	{"GET", "/api/users/:id", handle_user_get},
	{"PATCH", "/api/users/:id", handle_user_patch},
	{"DELETE", "/api/users/:id", handle_user_remove},
	{"GET", "/internal/users/:id", handle_internal_user},
	{0},
};

bool app_check(void *arg, struct err *err)
{
	const struct app *app = arg;

	return app->cfg.signing_key_file[0] ||
	       err_set(err, ERR_INPUT, "SIGNING_KEY_FILE is not set");
}

/* Our own tokens are checked with our own keys: nothing to fetch. */
static bool start_tokens(struct app *app, struct metrics *metrics, struct err *err)
{
	const struct settings *cfg = &app->cfg;

	app->tokens = tokens_new(cfg->signing_key_file, cfg->auth.issuer,
				 cfg->token_ttl_s, err);
	if (!app->tokens)
		return false;
	app->auth = auth_new(app->loop, &cfg->auth, NULL, metrics, err);
	return app->auth && auth_set_keys(app->auth, tokens_jwks(app->tokens), err);
}

bool app_start(void *arg, struct service *service, struct err *err)
{
	struct app *app = arg;
	struct metrics *metrics = service_metrics(service);

	app->loop = service_loop(service);
	if (!start_tokens(app, metrics, err))
		return false;
	app->db = db_pool_new(app->loop, &app->cfg.db, metrics, err);
	if (!app->db)
		return false;
	service_check_db(service, app->db);
	app->flights = flights_new(app->db, USER_READ_MAX_BYTES, metrics);
	app->passwords = passwords_new(app->loop, &app->cfg.password, metrics, err);
	if (!app->passwords)
		return false;
	app->http = service_http(service, app->cfg.listen, routes, 0, err);
	return app->http != NULL;
}

void app_drain(void *arg, struct service *service)
{
	struct app *app = arg;

	service_drain_http(service, app->http);
}

bool app_goes_on(struct app *app, struct http_req *req)
{
	struct err err = {0};

	if (!app->stopping)
		return true;
	err_set(&err, ERR_BUSY, "the service is stopping");
	err.retry_after_s = 1;
	http_reply_err(req, &err);
	return false;
}

/* Every *_free() accepts NULL, so this also cleans up a failed start. Passwords
 * go first: what comes out of them may still use the database, and what comes
 * out of the database asks app_goes_on(). */
void app_stop(void *arg)
{
	struct app *app = arg;

	app->stopping = true;
	passwords_free(app->passwords);
	db_pool_free(app->db);
	flights_free(app->flights);
	http_server_free(app->http);
	auth_free(app->auth);
	tokens_free(app->tokens);
}
