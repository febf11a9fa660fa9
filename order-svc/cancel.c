/* cancel.c - cancelling an order; repeating it changes nothing. */
#include "app.h"

struct cancellation {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct caller caller;
	struct trace trace;
	struct order_find find;
	struct order_cancel cancel;
};

/* POST /api/orders/:id/cancel   check -> find -> may they? -> cancel -> reply */
static void cancel_found(const struct err *err, void *arg);
static void cancel_stored(const struct err *err, void *arg);

static void cancel_done(void *arg)
{
	struct cancellation *c = arg;

	order_fini(&c->find.order);
	order_fini(&c->cancel.order);
}

void cancel_order(struct http_req *req, void *arg)
{
	struct cancellation *c = http_alloc(req, sizeof(*c));
	struct err err;

	c->req = req;
	c->app = arg;
	http_on_done(req, cancel_done, c);
	trace_init(&c->trace, req);
	if (!caller_of(c->app, req, &c->caller, &err) ||
	    !http_param_id(req, "id", &c->find.id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the order");
	order_repo_find(c->app->repo, &c->find, cancel_found, c);
}

static void cancel_found(const struct err *err, void *arg)
{
	struct cancellation *c = arg;
	struct err why = {0};

	if (!err && !c->find.found) {
		err_slug(&why, ERR_NOT_FOUND, "order_not_found",
			 "there is no such order");
		err = &why;
	} else if (!err &&
		   !caller_owns(c->app, &c->caller, c->find.order.user_id, &why)) {
		err = &why;
	} else if (!err && c->app->stopping) {
		err_set(&why, ERR_BUSY, "the service is stopping; try again");
		err = &why;
	}
	if (err) {
		http_reply_err(c->req, err);
		return;
	}
	http_action(c->req, "cancelling the order");
	c->cancel.id = c->find.id;
	c->cancel.user_id = c->find.order.user_id;
	c->cancel.trace = &c->trace;
	order_repo_cancel(c->app->repo, &c->cancel, cancel_stored, c);
}

static void cancel_stored(const struct err *err, void *arg)
{
	struct cancellation *c = arg;
	struct err why;
	struct jw w;

	if (!err && !c->cancel.found) {
		err_slug(&why, ERR_NOT_FOUND, "order_not_found",
			 "there is no such order");
		err = &why;
	}
	if (err) {
		http_reply_err(c->req, err);
		return;
	}
	if (c->cancel.changed) {
		relay_wake(c->app->relay);
		metric_add(c->app->counters.cancelled, 1);
	}
	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &c->cancel.order);
	http_reply_jw(c->req, 200, &w);
}
