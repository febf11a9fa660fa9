/* user_http.c - handlers: HTTP <-> user. PATCH has a file of its own. */
#include <stdio.h>

#include "app.h"
#include "user_read.h"
#include "user_repo.h"

#define USER_MAX_BYTES 4096
#define LIMIT_DEFAULT  50

struct lookup {
	struct http_req *req;
	struct user user;
};

static void reply_user(struct http_req *req, int status, const struct user *user)
{
	struct jw w;

	jw_init(&w, USER_MAX_BYTES);
	user_write(&w, user);
	http_reply_jw(req, status, &w);
}

/* ---- GET /api/users/:id   check -> read -> reply ---- */

static void reply_read(const struct err *err, struct str json, void *arg)
{
	struct http_req *req = arg;

	if (err)
		http_reply_err(req, err);
	else
		http_reply_json(req, 200, json);
}

void handle_user_get(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct flight_key key = {.read = user_read_one};
	struct caller caller = {0};
	struct err err = {0};

	if (!caller_of_user(app, req, false, &caller, &key.a, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the user");
	flight_join(app->flights, key, reply_read, req);
}

/* ---- GET /api/users   check -> read -> reply ---- */

static bool list_check(struct app *app, struct http_req *req, struct flight_key *key,
		       struct err *err)
{
	struct caller caller = {0};
	struct str cursor;

	key->b = LIMIT_DEFAULT;
	return caller_of(app, req, &caller, err) &&
	       auth_is_admin(app->auth, &caller, true, err) &&
	       http_query_int(req, "limit", 1, USER_PAGE_MAX, &key->b, err) &&
	       http_query_text(req, "cursor", &cursor, err) &&
	       (!cursor.at || user_cursor_parse(cursor, &key->a, err));
}

void handle_user_list(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct flight_key key = {.read = user_read_page};
	struct err err = {0};

	if (!list_check(app, req, &key, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "listing users");
	flight_join(app->flights, key, reply_read, req);
}

/* ---- POST /api/users   check -> hash -> store -> reply ---- */

static void created(struct app *app, struct http_req *req, const struct user *user)
{
	char location[48];

	(void)app;
	snprintf(location, sizeof(location), "/api/users/%lld", (long long)user->id);
	http_set_header(req, "Location", location);
	reply_user(req, 201, user);
}

void handle_user_create(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct caller caller = {0};
	struct user_wish wish;
	struct err err = {0};
	json_t *body = NULL;

	if (caller_of(app, req, &caller, &err) &&
	    auth_is_admin(app->auth, &caller, false, &err))
		body = http_body_json(req, &err);
	if (!body || !user_wish_new(body, true, &wish, &err)) {
		http_reply_err(req, &err);
		return;
	}
	signup(app, req, caller.user_id, &wish, created);
}

/* ---- DELETE /api/users/:id   check -> mark -> reply ---- */

static void removed(const struct err *err, void *arg)
{
	struct lookup *lookup = arg;

	if (err)
		http_reply_err(lookup->req, err);
	else
		http_reply_empty(lookup->req, 204);
}

void handle_user_remove(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct lookup *lookup = http_alloc(req, sizeof(*lookup));
	struct caller caller = {0};
	struct err err = {0};

	lookup->req = req;
	if (!caller_of_user(app, req, true, &caller, &lookup->user.id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "deleting the user");
	user_repo_remove(app->db, caller_admin_id(&caller, lookup->user.id),
			 &lookup->user, removed, lookup);
}
