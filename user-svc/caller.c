/* caller.c - which users may be seen and changed by whom. */
#include "app.h"

bool caller_of(struct app *app, struct http_req *req, struct caller *caller,
	       struct err *err)
{
	return auth_caller(app->auth, req, caller, err);
}

bool caller_of_user(struct app *app, struct http_req *req, bool change,
		    struct caller *caller, int64_t *user_id, struct err *err)
{
	if (!caller_of(app, req, caller, err) || !http_param_id(req, "id", user_id, err))
		return false;
	if (change && caller->kind == CALLER_ANONYMOUS)
		return err_set(err, ERR_UNAUTHORIZED, "sign in first");
	return auth_may_act_for(app->auth, caller, *user_id, err);
}

int64_t caller_admin_id(const struct caller *caller, int64_t user_id)
{
	return caller->user_id == user_id ? 0 : caller->user_id;
}
