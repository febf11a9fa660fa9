/* notify_http.c - listing notifications, sending one by hand, and all routes. */
#include <inttypes.h>
#include <stdio.h>

#include "app.h"
#include "notify_repo.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100
#define LIST_MAX      (LIMIT_MAX * NOTICE_JSON_MAX)
#define CURSOR_MAX    24

static bool caller_of(struct app *app, struct http_req *req, struct caller *caller,
		      struct err *err)
{
	return auth_check(app->auth, http_header(req, "Authorization"), caller, err);
}

/* Why mail fails is for those who can mend it. */
static bool is_operator(const struct caller *caller)
{
	return caller->kind == CALLER_SERVICE ||
	       (caller->kind == CALLER_USER && caller->admin);
}

/* GET /api/notifications   check -> list -> reply */

struct listing {
	struct http_req *req; /* also owns this struct */
	struct caller caller;
	struct notice_list list;
};

static void list_found(const struct err *err, void *arg);

static void list_done(void *arg)
{
	struct listing *l = arg;

	notice_list_fini(&l->list);
}

/* Whose? Users see their own without asking for them by id. */
static bool list_user(struct app *app, struct http_req *req, struct listing *l,
		      struct err *err)
{
	int64_t *user_id = &l->list.user_id;

	if (!http_query_int(req, "user_id", 1, INT64_MAX, user_id, err))
		return false;
	if (*user_id)
		return auth_may_act_for(app->auth, &l->caller, *user_id, err);
	if (is_operator(&l->caller))
		return true;
	*user_id = l->caller.user_id;
	if (l->caller.kind == CALLER_USER)
		return true;
	return auth_mode(app->auth) == AUTH_DEMO
		       ? err_field(err, "user_id", "user_id is missing")
		       : err_set(err, ERR_UNAUTHORIZED, "sign in first");
}

/* The cursor is the last id of the page before; clients need not know. */
static bool list_cursor(struct http_req *req, int64_t *before_id, struct err *err)
{
	struct str cursor;
	uint64_t id;

	*before_id = INT64_MAX;
	if (!http_query_text(req, "cursor", &cursor, err))
		return false;
	if (!cursor.at)
		return true;
	if (!str_u64(cursor, &id) || id == 0 || id > INT64_MAX)
		return err_field(err, "cursor",
				 "cursor must be a next_cursor of this list");
	*before_id = (int64_t)id;
	return true;
}

static void list_notices(struct http_req *req, void *arg)
{
	struct listing *l = http_alloc(req, sizeof(*l));
	struct app *app = arg;
	struct err err;

	l->req = req;
	l->list.limit = LIMIT_DEFAULT;
	http_on_done(req, list_done, l);
	if (!caller_of(app, req, &l->caller, &err) || !list_user(app, req, l, &err) ||
	    !http_query_int(req, "limit", 1, LIMIT_MAX, &l->list.limit, &err) ||
	    !list_cursor(req, &l->list.before_id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "listing notifications");
	notify_repo_list(app->db, &l->list, list_found, l);
}

static void list_found(const struct err *err, void *arg)
{
	struct listing *l = arg;
	const struct notice_list *list = &l->list;
	char cursor[CURSOR_MAX];
	struct jw w;

	if (err) {
		http_reply_err(l->req, err);
		return;
	}
	jw_init(&w, LIST_MAX);
	jw_object(&w);
	jw_key(&w, "notifications");
	jw_array(&w);
	for (size_t i = 0; i < list->n; i++)
		notice_write(&w, &list->notices[i], is_operator(&l->caller));
	jw_end(&w);
	if (list->more)
		snprintf(cursor, sizeof(cursor), "%" PRId64,
			 list->notices[list->n - 1].id);
	jw_kstrz(&w, "next_cursor", list->more ? cursor : NULL);
	jw_end(&w);
	http_reply_jw(l->req, 200, &w);
}

/* POST /api/notifications   check -> store -> reply; the sender does the rest */

struct posting {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct notice notice;
	struct notice_add add;
};

static void post_stored(const struct err *err, void *arg);

static void post_done(void *arg)
{
	struct posting *p = arg;

	notice_fini(&p->notice);
	notice_fini(&p->add.stored);
}

static bool post_check(struct app *app, struct http_req *req, struct notice *notice,
		       struct err *err)
{
	struct caller caller;

	return caller_of(app, req, &caller, err) &&
	       auth_is_admin(app->auth, &caller, false, err) &&
	       http_body_json(req, err) != NULL &&
	       notice_from_request(http_body(req), http_header(req, "Idempotency-Key"),
				   notice, err);
}

static void post_notice(struct http_req *req, void *arg)
{
	struct posting *p = http_alloc(req, sizeof(*p));
	struct err err;

	p->req = req;
	p->app = arg;
	http_on_done(req, post_done, p);
	if (!post_check(p->app, req, &p->notice, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "storing the notification");
	p->add.notice = &p->notice;
	notify_repo_add(p->app->db, &p->add, post_stored, p);
}

static void post_stored(const struct err *err, void *arg)
{
	struct posting *p = arg;
	struct err why;
	struct jw w;

	if (!err && !p->add.fresh && !notice_same(&p->notice, &p->add.stored)) {
		err_slug(&why, ERR_UNPROCESSABLE, "idempotency_key_reused",
			 "this Idempotency-Key was used for another message");
		err = &why;
	}
	if (err) {
		http_reply_err(p->req, err);
		return;
	}
	if (p->add.fresh)
		sender_wake(p->app->sender);
	else
		http_set_header(p->req, "Idempotency-Replayed", "true");
	jw_init(&w, NOTICE_JSON_MAX);
	notice_write(&w, &p->add.stored, true);
	http_reply_jw(p->req, 201, &w);
}

const struct http_route notify_routes[] = {
	{"GET", "/api/notifications", list_notices},
	{"POST", "/api/notifications", post_notice},
	{0},
};
