/* user_http.c - handlers: HTTP <-> user. PATCH has a file of its own. */
#include <stdio.h>

#include "app.h"
#include "user_repo.h"

#define USER_MAX_BYTES 4096
#define LIST_MAX_BYTES ((size_t)256 * 1024)
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

/* ---- GET /api/users/:id   check -> find -> reply ---- */

static void get_found(const struct err *err, void *arg)
{
	struct lookup *lookup = arg;

	if (err)
		http_reply_err(lookup->req, err);
	else
		reply_user(lookup->req, 200, &lookup->user);
}

void handle_user_get(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct lookup *lookup = http_alloc(req, sizeof(*lookup));
	struct caller caller = {0};
	struct err err = {0};

	lookup->req = req;
	if (!caller_of_user(app, req, false, &caller, &lookup->user.id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the user");
	user_repo_by_id(app->db, &lookup->user, get_found, lookup);
}

/* ---- GET /api/users   check -> find -> reply ---- */

struct listing {
	struct http_req *req;
	struct user_page page;
};

static void list_found(const struct err *err, void *arg)
{
	struct listing *listing = arg;
	const struct user_page *page = &listing->page;
	char cursor[USER_CURSOR_MAX];
	struct jw w;

	if (err) {
		http_reply_err(listing->req, err);
		return;
	}
	jw_init(&w, LIST_MAX_BYTES);
	jw_object(&w);
	jw_key(&w, "users");
	jw_array(&w);
	for (size_t i = 0; i < page->n; i++)
		user_write(&w, &page->users[i]);
	jw_end(&w);
	if (page->more)
		user_cursor_format(cursor, page->users[page->n - 1].id);
	jw_kstrz(&w, "next_cursor", page->more ? cursor : NULL);
	jw_end(&w);
	http_reply_jw(listing->req, 200, &w);
}

static bool list_check(struct app *app, struct http_req *req, struct user_page *page,
		       struct err *err)
{
	struct caller caller = {0};
	struct str cursor = http_query(req, "cursor");
	int64_t limit = LIMIT_DEFAULT;

	if (!caller_of(app, req, &caller, err) ||
	    !auth_is_admin(app->auth, &caller, true, err) ||
	    !http_query_int(req, "limit", 1, USER_PAGE_MAX, &limit, err) ||
	    (cursor.at && !user_cursor_parse(cursor, &page->after, err)))
		return false;
	page->limit = (size_t)limit;
	return true;
}

void handle_user_list(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct listing *listing = http_alloc(req, sizeof(*listing));
	struct err err = {0};

	listing->req = req;
	if (!list_check(app, req, &listing->page, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "listing users");
	user_repo_list(app->db, &listing->page, list_found, listing);
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
	signup(app, req, &wish, created);
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
	user_repo_remove(app->db, &lookup->user, removed, lookup);
}
