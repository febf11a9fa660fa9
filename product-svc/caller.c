/* caller.c - who may change what is sold. */
#include <inttypes.h>
#include <stdio.h>

#include "app.h"

static void name_caller(const struct caller *caller, char name[CALLER_NAME_MAX])
{
	if (caller->kind == CALLER_USER)
		snprintf(name, CALLER_NAME_MAX, "user:%" PRId64, caller->user_id);
	else
		snprintf(name, CALLER_NAME_MAX, "service:%s", caller->service);
}

bool caller_is_admin(struct app *app, struct http_req *req, char name[CALLER_NAME_MAX])
{
	struct caller caller;
	struct err err;

	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, &err) ||
	    !auth_is_admin(app->auth, &caller, false, &err)) {
		http_reply_err(req, &err);
		return false;
	}
	name_caller(&caller, name);
	return true;
}

bool caller_is_order_svc(struct app *app, struct http_req *req)
{
	struct caller caller;
	struct err err;

	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, &err) ||
	    !auth_is_service(&caller, "order-svc", &err)) {
		http_reply_err(req, &err);
		return false;
	}
	return true;
}
