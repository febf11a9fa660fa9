/* stock_http.c - goods that arrive or get lost: deltas under a key, admins only. */
#include "app.h"
#include "log.h"
#include "product_repo.h"

struct stocking {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	char by[CALLER_NAME_MAX];
	struct stock_change change;
};

/* POST /api/products/:id/stock   check -> add -> reply */
static void stock_added(const struct err *err, void *arg);

static bool stock_check(struct stocking *s, struct err *err)
{
	json_t *body = http_body_json(s->req, err);

	s->change.key = http_header(s->req, "Idempotency-Key");
	return body && product_parse_delta(body, &s->change.delta, err) &&
	       product_key_ok(s->change.key, err);
}

void change_stock(struct http_req *req, void *arg)
{
	struct stocking *s = http_alloc(req, sizeof(*s));
	struct app *app = arg;
	struct err err;

	s->req = req;
	s->app = app;
	s->change.owner = s;
	if (!caller_is_admin(app, req, s->by) || !product_id_of(req, &s->change.id))
		return;
	if (!stock_check(s, &err)) {
		http_reply_err(req, &err);
		return;
	}
	s->change.by = str_from(s->by);
	http_action(req, "changing stock");
	product_repo_stock(app->db, &s->change, stock_added);
}

static void reply_stock(struct stocking *s)
{
	struct jw w;

	if (s->change.replayed)
		http_set_header(s->req, "Idempotency-Replayed", "true");
	else
		log_info("stock changed", LOG_SLICE("product_id", s->change.id),
			 LOG_INT("delta", s->change.delta),
			 LOG_INT("stock", s->change.stock), LOG_STR("by", s->by),
			 LOG_SLICE("request_id", http_request_id(s->req)));
	jw_init(&w, 512);
	jw_object(&w);
	jw_kstr(&w, "product_id", s->change.id);
	jw_kint(&w, "delta", s->change.delta);
	jw_kint(&w, "stock", s->change.stock);
	jw_end(&w);
	http_reply_jw(s->req, 200, &w);
}

static void reply_refusal(struct stocking *s)
{
	struct err why;

	switch (s->change.end) {
	case PRODUCT_KEY_REUSED:
		err_slug(&why, ERR_UNPROCESSABLE, "idempotency_key_reused",
			 "this Idempotency-Key was used with another delta");
		break;
	case PRODUCT_TOO_MANY:
		err_slug(&why, ERR_UNPROCESSABLE, "stock_too_large",
			 "stock cannot be more than %lld", PRODUCT_STOCK_MAX);
		break;
	default: err_set(&why, ERR_INTERNAL, "unexpected end %d", (int)s->change.end);
	}
	http_reply_err(s->req, &why);
}

static void stock_added(const struct err *err, void *arg)
{
	struct stock_change *change = arg;
	struct stocking *s = change->owner;

	catalogue_stock_moved(s->app->catalogue);
	if (err)
		http_reply_err(s->req, err);
	else if (change->end == PRODUCT_OK)
		reply_stock(s);
	else if (change->end == PRODUCT_MISSING)
		reply_no_product(s->req, change->id);
	else if (change->end == PRODUCT_SHORT)
		reply_shortage(s->req, &change->shortage);
	else
		reply_refusal(s);
}
