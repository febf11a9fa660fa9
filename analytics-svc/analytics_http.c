/* analytics_http.c - the questions, and the table of all routes. */
#include "app.h"

#include "timeutil.h"
#include "views.h"

#define TOP_DEFAULT     10
#define MINUTES_DEFAULT 60

/* Half a truth is worse than none. */
static bool is_whole(struct app *app, struct err *err)
{
	const char *why;

	if (feed_ready(app->feed, &why))
		return true;
	err_slug(err, ERR_BUSY, "not_caught_up", "the analytics are being loaded: %s",
		 why);
	err->retry_after_s = 1;
	return false;
}

bool caller_sees_all(struct app *app, struct http_req *req, struct caller *caller,
		     struct err *err)
{
	if (!auth_check(app->auth, http_header(req, "Authorization"), caller, err))
		return false;
	if (auth_mode(app->auth) != AUTH_DEMO &&
	    !auth_is_admin(app->auth, caller, false, err))
		return false;
	return is_whole(app, err);
}

static bool may_see_all(struct app *app, struct http_req *req, struct err *err)
{
	struct caller caller;

	return caller_sees_all(app, req, &caller, err);
}

static void get_top(struct http_req *req, void *arg)
{
	struct app *app = arg;
	int64_t limit = TOP_DEFAULT;
	struct err err;
	struct jw w;

	if (!may_see_all(app, req, &err) ||
	    !http_query_int(req, "limit", 1, USERS_TOP, &limit, &err)) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, VIEW_MAX_BYTES);
	view_top(&w, app->feed, (size_t)limit);
	http_reply_jw(req, 200, &w);
}

static bool may_see_user(struct app *app, struct http_req *req, int64_t *user_id,
			 struct err *err)
{
	struct caller caller;

	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, err) ||
	    !http_param_id(req, "id", user_id, err))
		return false;
	return auth_may_act_for(app->auth, &caller, *user_id, err) && is_whole(app, err);
}

static void get_user(struct http_req *req, void *arg)
{
	struct app *app = arg;
	int64_t user_id;
	struct err err;
	struct jw w;

	if (!may_see_user(app, req, &user_id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, VIEW_MAX_BYTES);
	if (view_user(&w, app->feed, user_id, &err)) {
		http_reply_jw(req, 200, &w);
		return;
	}
	jw_fini(&w);
	http_reply_err(req, &err);
}

static void get_windows(struct http_req *req, void *arg)
{
	struct app *app = arg;
	int64_t minutes = MINUTES_DEFAULT;
	struct err err;
	struct jw w;

	if (!may_see_all(app, req, &err) ||
	    !http_query_int(req, "minutes", 1, VIEW_MAX_WINDOWS, &minutes, &err)) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, VIEW_MAX_BYTES);
	view_windows(&w, app->feed, time_now_ms() / 1000 - minutes * WINDOW_S,
		     VIEW_MAX_WINDOWS);
	http_reply_jw(req, 200, &w);
}

static void get_summary(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct err err;
	struct jw w;

	if (!may_see_all(app, req, &err)) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, VIEW_MAX_BYTES);
	view_summary(&w, app->feed);
	http_reply_jw(req, 200, &w);
}

const struct http_route analytics_routes[] = {
	{"GET", "/api/analytics/flink/top-users", get_top},
	{"GET", "/api/analytics/users/:id", get_user},
	{"GET", "/api/analytics/windows", get_windows},
	{"GET", "/api/analytics/summary", get_summary},
	{"GET", "/api/analytics/stream", get_stream},
	{0},
};
