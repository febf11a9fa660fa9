/* caller.c - whose orders may be touched by whom. */
#include "app.h"

bool caller_of(struct app *app, struct http_req *req, struct caller *caller,
	       struct err *err)
{
	return auth_caller(app->auth, req, caller, err);
}

bool caller_owns(struct app *app, const struct caller *caller, int64_t user_id,
		 struct err *err)
{
	if (auth_may_act_for(app->auth, caller, user_id, err))
		return true;
	if (err->code == ERR_FORBIDDEN)
		err_slug(err, ERR_NOT_FOUND, "order_not_found", "there is no such order");
	return false;
}
