/* internal_http.c - GET /internal/users/:id, for our own services only. */
#include "app.h"
#include "user_read.h"

static void internal_read(const struct err *err, struct str json, void *arg)
{
	struct http_req *req = arg;

	if (err)
		http_reply_err(req, err);
	else
		http_reply_json(req, 200, json);
}

void handle_internal_user(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct flight_key key = {.read = user_read_internal};
	struct caller caller = {0};
	struct err err = {0};

	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, &err) ||
	    !auth_is_service(&caller, "notify-svc,order-svc", &err) ||
	    !http_param_id(req, "id", &key.a, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the user");
	flight_join(app->flights, key, internal_read, req);
}
