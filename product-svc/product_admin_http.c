/* product_admin_http.c - changing the catalogue; admins only. */
#include <stdio.h>

#include "app.h"
#include "log.h"
#include "product_repo.h"

struct changing {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct product want;
	char by[CALLER_NAME_MAX];
	struct product_change change;
};

static void changing_done(void *arg)
{
	struct changing *c = arg;

	product_rows_fini(&c->change.rows);
}

static struct changing *changing_new(struct http_req *req, struct app *app)
{
	struct changing *c = http_alloc(req, sizeof(*c));

	c->req = req;
	c->app = app;
	c->change.owner = c;
	c->change.want = &c->want;
	http_on_done(req, changing_done, c);
	return c;
}

/* The version that the client saw, so that nobody overwrites what they have not
 * seen. */
static bool need_if_match(struct changing *c, struct err *err)
{
	c->change.if_match = http_header(c->req, "If-Match");
	if (c->change.if_match.at)
		return true;
	return err_set(err, ERR_PRECONDITION_REQUIRED,
		       "send If-Match with the ETag of the product as you know it");
}

/* Answers whatever is no success. */
static bool refused(struct changing *c, const struct err *err)
{
	struct err why;

	if (err) {
		http_reply_err(c->req, err);
		return true;
	}
	switch (c->change.end) {
	case PRODUCT_OK: return false;
	case PRODUCT_MISSING: reply_no_product(c->req, c->want.id); return true;
	case PRODUCT_EXISTS:
		err_slug(&why, ERR_CONFLICT, "product_exists",
			 "the id " STR_FMT
			 " is taken; ids of deleted products stay taken",
			 STR_ARG(c->want.id));
		break;
	case PRODUCT_CHANGED:
		err_set(&why, ERR_PRECONDITION,
			"the product was changed meanwhile; read it again");
		break;
	default: err_set(&why, ERR_INTERNAL, "unexpected end %d", (int)c->change.end);
	}
	http_reply_err(c->req, &why);
	return true;
}

static void reply_product(struct changing *c, int status)
{
	char etag[PRODUCT_ETAG_MAX];
	struct jw w;

	product_etag(etag, c->change.product.version);
	http_set_header(c->req, "ETag", etag);
	jw_init(&w, PRODUCT_JSON_MAX);
	product_write(&w, &c->change.product);
	http_reply_jw(c->req, status, &w);
}

static void log_change(const struct changing *c, const char *what)
{
	log_info(what, LOG_SLICE("product_id", c->want.id), LOG_STR("by", c->by),
		 LOG_SLICE("request_id", http_request_id(c->req)));
}

/* Who is told of a change sees it from then on. */
static void see(struct changing *c, loop_fn seen)
{
	http_action(c->req, "reading the catalogue again");
	catalogue_changed(c->app->catalogue, seen, c);
}

/* POST /api/products   check -> insert -> see it in the copy -> reply */
static void create_inserted(const struct err *err, void *arg);
static void create_seen(void *arg);

void create_product(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct changing *c = changing_new(req, app);
	struct err err;
	json_t *body;

	if (!caller_is_admin(app, req, c->by))
		return;
	body = http_body_json(req, &err);
	if (!body || !product_parse_new(body, &c->want, &err)) {
		http_reply_err(req, &err);
		return;
	}
	c->change.by = str_from(c->by);
	http_action(req, "creating a product");
	product_repo_create(app->db, &c->change, create_inserted);
}

static void create_inserted(const struct err *err, void *arg)
{
	struct product_change *change = arg;
	struct changing *c = change->owner;

	if (refused(c, err))
		return;
	log_change(c, "product created");
	see(c, create_seen);
}

static void create_seen(void *arg)
{
	struct changing *c = arg;
	char location[PRODUCT_ID_MAX + 20];

	snprintf(location, sizeof(location), "/api/products/" STR_FMT,
		 STR_ARG(c->want.id));
	http_set_header(c->req, "Location", location);
	reply_product(c, 201);
}

/* PUT /api/products/:id   check -> replace -> see it in the copy -> reply */
static void replace_stored(const struct err *err, void *arg);
static void replace_seen(void *arg);

void replace_product(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct changing *c = changing_new(req, app);
	struct err err;
	struct str id;
	json_t *body;

	if (!caller_is_admin(app, req, c->by) || !product_id_of(req, &id))
		return;
	body = http_body_json(req, &err);
	if (!body || !product_parse_put(body, id, &c->want, &err) ||
	    !need_if_match(c, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "replacing a product");
	product_repo_replace(app->db, &c->change, replace_stored);
}

static void replace_stored(const struct err *err, void *arg)
{
	struct product_change *change = arg;
	struct changing *c = change->owner;

	if (refused(c, err))
		return;
	log_change(c, "product replaced");
	see(c, replace_seen);
}

static void replace_seen(void *arg)
{
	reply_product(arg, 200);
}

/* DELETE /api/products/:id   check -> mark as deleted -> see it in the copy -> reply */
static void remove_stored(const struct err *err, void *arg);
static void remove_seen(void *arg);

void remove_product(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct changing *c = changing_new(req, app);
	struct err err;

	if (!caller_is_admin(app, req, c->by) || !product_id_of(req, &c->want.id))
		return;
	if (!need_if_match(c, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "deleting a product");
	product_repo_remove(app->db, &c->change, remove_stored);
}

static void remove_stored(const struct err *err, void *arg)
{
	struct product_change *change = arg;
	struct changing *c = change->owner;

	if (refused(c, err))
		return;
	log_change(c, "product deleted");
	see(c, remove_seen);
}

static void remove_seen(void *arg)
{
	struct changing *c = arg;

	http_reply_empty(c->req, 204);
}
