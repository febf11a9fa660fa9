/* reservation_http.c - holding stock for an order; order-svc only. */
#include <stdio.h>

#include "app.h"
#include "failpoint.h"
#include "log.h"
#include "reservation_repo.h"

/* How long until the earlier attempt of an order has surely come further. */
#define IN_PROGRESS_RETRY_S 1

static bool reservation_id_of(struct http_req *req, char dst[ID_HEX_LEN + 1])
{
	struct str id = http_param(req, "id");
	struct err err;

	if (id_valid(id))
		return str_copy(dst, ID_HEX_LEN + 1, id);
	err_field(&err, "id", "a reservation id has 32 hex digits");
	http_reply_err(req, &err);
	return false;
}

/* PUT /internal/reservations/:id   check -> reserve -> reply */

struct reserving {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct reservation res;
	struct reserve reserve;
};

static void reserve_done(const struct err *err, void *arg);

void put_reservation(struct http_req *req, void *arg)
{
	struct reserving *r = http_alloc(req, sizeof(*r));
	struct app *app = arg;
	struct err err;
	json_t *body;

	r->req = req;
	r->app = app;
	r->reserve.owner = r;
	r->reserve.res = &r->res;
	if (!caller_is_order_svc(app, req) || !reservation_id_of(req, r->res.id))
		return;
	body = http_body_json(req, &err);
	if (body)
		r->res.lines =
			http_alloc(req, reservation_room(body) * sizeof(*r->res.lines));
	if (!body || !reservation_parse(body, &r->res, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "reserving stock");
	reservation_repo_reserve(app->reserving, &r->reserve, reserve_done);
}

static void reply_reserved(struct reserving *r)
{
	struct reservation_counters *counters = &r->app->counters;
	struct jw w;

	metric_add(r->reserve.replayed ? counters->replayed : counters->reserved, 1);
	jw_init(&w, RESERVATION_JSON_MAX);
	reservation_write(&w, &r->res);
	http_reply_jw(r->req, 200, &w);
}

static void reply_short(struct reserving *r)
{
	const struct reservation_line *line = &r->res.lines[r->reserve.line];
	struct shortage shortage = {.available = line->available,
				    .requested = line->quantity};

	metric_add(r->app->counters.insufficient, 1);
	str_copy(shortage.product_id, sizeof(shortage.product_id),
		 str_from(line->product_id));
	reply_shortage(r->req, &shortage);
}

static void reply_refused(struct reserving *r)
{
	const struct reservation_line *line = &r->res.lines[r->reserve.line];
	struct err why = {0};

	switch (r->reserve.end) {
	case RESERVE_NO_PRODUCT:
		err_slug(&why, ERR_NOT_FOUND, "product_not_found",
			 "there is no product \"%s\"", line->product_id);
		snprintf(why.field, sizeof(why.field), "items[%u].product_id",
			 r->reserve.line);
		break;
	case RESERVE_IN_PROGRESS:
		err_slug(&why, ERR_CONFLICT, "order_in_progress",
			 "an earlier attempt of this order holds what is left of %s",
			 line->product_id);
		why.retry_after_s = IN_PROGRESS_RETRY_S;
		break;
	case RESERVE_RELEASED:
		err_slug(&why, ERR_CONFLICT, "reservation_released",
			 "this reservation was given up");
		break;
	case RESERVE_DIFFERS:
		err_slug(&why, ERR_UNPROCESSABLE, "reservation_differs",
			 "this reservation was made with other lines");
		break;
	default: err_set(&why, ERR_INTERNAL, "unexpected end %d", (int)r->reserve.end);
	}
	metric_add(r->reserve.end == RESERVE_IN_PROGRESS ? r->app->counters.in_progress
							 : r->app->counters.refused,
		   1);
	http_reply_err(r->req, &why);
}

static void reserve_done(const struct err *err, void *arg)
{
	struct reserve *reserve = arg;
	struct reserving *r = reserve->owner;
	struct err why;

	if (err || reserve->end == RESERVE_OK)
		catalogue_stock_moved(r->app->catalogue);
	if (!err && FAILPOINT("product_reserved")) {
		err_set(&why, ERR_INTERNAL, "failpoint product_reserved");
		err = &why;
	}
	if (err)
		http_reply_err(r->req, err);
	else if (reserve->end == RESERVE_OK)
		reply_reserved(r);
	else if (reserve->end == RESERVE_SHORT)
		reply_short(r);
	else
		reply_refused(r);
}

/* PUT /internal/reservations/:id/release   check -> release -> reply */

struct releasing {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct release release;
};

static void release_done(const struct err *err, void *arg);

void put_release(struct http_req *req, void *arg)
{
	struct releasing *r = http_alloc(req, sizeof(*r));
	struct app *app = arg;

	r->req = req;
	r->app = app;
	r->release.owner = r;
	if (!caller_is_order_svc(app, req) || !reservation_id_of(req, r->release.id))
		return;
	http_action(req, "releasing stock");
	reservation_repo_release(app->db, &r->release, release_done);
}

static void release_done(const struct err *err, void *arg)
{
	struct release *release = arg;
	struct releasing *r = release->owner;
	struct jw w;

	catalogue_stock_moved(r->app->catalogue);
	if (err) {
		http_reply_err(r->req, err);
		return;
	}
	if (release->changed)
		metric_add(r->app->counters.released, 1);
	jw_init(&w, 256);
	jw_object(&w);
	jw_kstrz(&w, "reservation_id", release->id);
	jw_kstrz(&w, "state", reservation_state_name(release->state));
	jw_end(&w);
	http_reply_jw(r->req, 200, &w);
}
