/* order_http.c - reading orders, and the table of all routes. */
#include "app.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100
#define LIST_MAX      (LIMIT_MAX * ORDER_JSON_MAX)

/* GET /api/orders/:id   check -> find -> may they? -> reply */

struct reading {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct caller caller;
	struct order_find find;
};

static void get_found(const struct err *err, void *arg);

static void get_done(void *arg)
{
	struct reading *r = arg;

	order_fini(&r->find.order);
}

static void get_order(struct http_req *req, void *arg)
{
	struct reading *r = http_alloc(req, sizeof(*r));
	struct err err;

	r->req = req;
	r->app = arg;
	http_on_done(req, get_done, r);
	if (!caller_of(r->app, req, &r->caller, &err) ||
	    !http_param_id(req, "id", &r->find.id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the order");
	order_repo_find(r->app->repo, &r->find, get_found, r);
}

static void get_found(const struct err *err, void *arg)
{
	struct reading *r = arg;
	struct err why;
	struct jw w;

	if (!err && !r->find.found) {
		err_slug(&why, ERR_NOT_FOUND, "order_not_found",
			 "there is no such order");
		err = &why;
	} else if (!err &&
		   !caller_owns(r->app, &r->caller, r->find.order.user_id, &why)) {
		err = &why;
	}
	if (err) {
		http_reply_err(r->req, err);
		return;
	}
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &r->find.order);
	http_reply_jw(r->req, 200, &w);
}

/* GET /api/orders   check -> list -> reply */

struct listing {
	struct http_req *req; /* also owns this struct */
	struct order_list list;
};

static void list_found(const struct err *err, void *arg);

static void list_done(void *arg)
{
	struct listing *l = arg;

	order_list_fini(&l->list);
}

/* Whose orders? Users see their own without asking for them by id. */
static bool list_user(struct app *app, struct http_req *req, const struct caller *caller,
		      int64_t *user_id, struct err *err)
{
	*user_id = 0;
	if (!http_query_int(req, "user_id", 1, ORDER_MAX_ID, user_id, err))
		return false;
	if (*user_id)
		return auth_may_act_for(app->auth, caller, *user_id, err);
	if (caller->kind == CALLER_ANONYMOUS)
		return err_field(err, "user_id", "user_id is missing");
	if (caller->kind == CALLER_USER && !caller->admin)
		*user_id = caller->user_id;
	return true;
}

static bool list_check(struct app *app, struct http_req *req, struct order_list *list,
		       struct err *err)
{
	struct str cursor;
	struct caller caller;

	list->limit = LIMIT_DEFAULT;
	list->before_id = ORDER_MAX_ID + 1;
	return caller_of(app, req, &caller, err) &&
	       http_query_int(req, "limit", 1, LIMIT_MAX, &list->limit, err) &&
	       http_query_text(req, "cursor", &cursor, err) &&
	       (!cursor.at || order_cursor_parse(cursor, &list->before_id, err)) &&
	       list_user(app, req, &caller, &list->user_id, err);
}

static void list_orders(struct http_req *req, void *arg)
{
	struct listing *l = http_alloc(req, sizeof(*l));
	struct app *app = arg;
	struct err err;

	l->req = req;
	http_on_done(req, list_done, l);
	if (!list_check(app, req, &l->list, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "listing orders");
	order_repo_list(app->repo, &l->list, list_found, l);
}

static void list_found(const struct err *err, void *arg)
{
	struct listing *l = arg;
	char cursor[ORDER_CURSOR_LEN + 1];
	struct jw w;

	if (err) {
		http_reply_err(l->req, err);
		return;
	}
	jw_init(&w, LIST_MAX);
	jw_object(&w);
	jw_key(&w, "orders");
	jw_array(&w);
	for (size_t i = 0; i < l->list.n; i++)
		order_write(&w, &l->list.orders[i]);
	jw_end(&w);
	if (l->list.more)
		order_cursor_write(cursor, l->list.orders[l->list.n - 1].id);
	jw_kstrz(&w, "next_cursor", l->list.more ? cursor : NULL);
	jw_end(&w);
	http_reply_jw(l->req, 200, &w);
}

const struct http_route order_routes[] = {
	{"POST", "/api/orders", place_order},
	{"GET", "/api/orders", list_orders},
	{"GET", "/api/orders/:id", get_order},
	{"POST", "/api/orders/:id/cancel", cancel_order},
	{"PUT", "/internal/outcomes/:id", settle_outcome},
	{0},
};
