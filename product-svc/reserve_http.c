/*
 * reserve_http.c - holding stock for orders; order-svc only.
 *
 *   PUT /internal/reservations/:id   one
 *   PUT /internal/reservations       many in one request, each with its own answer
 *
 * check -> reserve each -> reply when the last is decided
 *
 * Many answer {"results":{ID:{"status":…,"body":…}}}: for each id what the request for it
 * alone would have got.  409 if each of them was refused, so that who only sees the
 * status (the gateway's cache) knows that nothing was changed; else 200.
 */
#include <stdio.h>

#include "app.h"
#include "failpoint.h"
#include "js.h"
#include "reservation_repo.h"

#define RESERVE_MANY_MAX   BATCH_MAX
#define RESERVE_MANY_LINES 256
#define RESULTS_JSON_MAX   (1024 * 1024)

/* How long until the earlier attempt of an order has surely come further. */
#define IN_PROGRESS_RETRY_S 1

struct reserving {
	struct reserve_request *request;
	struct reservation res;
	struct reserve reserve;
	bool failed;
	struct err why; /* if so */
};

/* Lives as long as its HTTP request. */
struct reserve_request {
	struct http_req *req;
	struct app *app;
	bool many;
	size_t n, open; /* all; those that are not decided yet */
	struct reserving one[];
};

static struct reserve_request *request_new(struct http_req *req, struct app *app,
					   size_t n)
{
	struct reserve_request *request =
		http_alloc(req, sizeof(*request) + n * sizeof(request->one[0]));

	request->req = req;
	request->app = app;
	request->n = n;
	for (size_t i = 0; i < n; i++) {
		request->one[i].request = request;
		request->one[i].reserve.owner = &request->one[i];
		request->one[i].reserve.res = &request->one[i].res;
	}
	return request;
}

/* ---- the answers ---- */

static void refusal(const struct reserving *one, struct err *why)
{
	const struct reservation_line *line = &one->res.lines[one->reserve.line];

	*why = (struct err){0};
	switch (one->reserve.end) {
	case RESERVE_NO_PRODUCT:
		err_slug(why, ERR_NOT_FOUND, "product_not_found",
			 "there is no product \"%s\"", line->product_id);
		snprintf(why->field, sizeof(why->field), "items[%u].product_id",
			 one->reserve.line);
		break;
	case RESERVE_IN_PROGRESS:
		err_slug(why, ERR_CONFLICT, "order_in_progress",
			 "an earlier attempt of this order holds what is left of %s",
			 line->product_id);
		why->retry_after_s = IN_PROGRESS_RETRY_S;
		break;
	case RESERVE_RELEASED:
		err_slug(why, ERR_CONFLICT, "reservation_released",
			 "this reservation was given up");
		break;
	case RESERVE_DIFFERS:
		err_slug(why, ERR_UNPROCESSABLE, "reservation_differs",
			 "this reservation was made with other lines");
		break;
	default: err_set(why, ERR_INTERNAL, "unexpected end %d", (int)one->reserve.end);
	}
}

static struct shortage shortage_of(const struct reserving *one)
{
	const struct reservation_line *line = &one->res.lines[one->reserve.line];
	struct shortage shortage = {.available = line->available,
				    .requested = line->quantity};

	str_copy(shortage.product_id, sizeof(shortage.product_id),
		 str_from(line->product_id));
	return shortage;
}

static void count(struct reservation_counters *counters, const struct reserve *reserve)
{
	switch (reserve->end) {
	case RESERVE_OK:
		metric_add(reserve->replayed ? counters->replayed : counters->reserved,
			   1);
		break;
	case RESERVE_SHORT: metric_add(counters->insufficient, 1); break;
	case RESERVE_IN_PROGRESS: metric_add(counters->in_progress, 1); break;
	default: metric_add(counters->refused, 1);
	}
}

/* What is held, short or refused becomes an answer or an error. */
static void decide(struct reserving *one)
{
	struct reserve_request *request = one->request;

	if (one->failed)
		return;
	count(&request->app->counters, &one->reserve);
	if (one->reserve.end == RESERVE_OK || one->reserve.end == RESERVE_SHORT)
		return;
	one->failed = true;
	refusal(one, &one->why);
}

static void reply_one(struct reserving *one)
{
	struct http_req *req = one->request->req;
	struct shortage shortage;
	struct jw w;

	if (one->failed) {
		http_reply_err(req, &one->why);
	} else if (one->reserve.end == RESERVE_SHORT) {
		shortage = shortage_of(one);
		reply_shortage(req, &shortage);
	} else {
		jw_init(&w, RESERVATION_JSON_MAX);
		reservation_write(&w, &one->res);
		http_reply_jw(req, 200, &w);
	}
}

static int status_of(const struct reserving *one)
{
	if (one->failed)
		return http_err_status(&one->why);
	return one->reserve.end == RESERVE_SHORT ? 409 : 200;
}

/* Nothing was done for it, and that is sure. */
static bool is_refused(const struct reserving *one)
{
	int status = status_of(one);

	return status >= 400 && status < 500;
}

static void write_result(struct jw *w, const struct reserving *one)
{
	struct http_req *req = one->request->req;
	struct shortage shortage;

	jw_key(w, one->res.id);
	jw_object(w);
	jw_kint(w, "status", status_of(one));
	jw_key(w, "body");
	if (one->failed) {
		http_err_write(req, w, &one->why);
	} else if (one->reserve.end == RESERVE_SHORT) {
		shortage = shortage_of(one);
		shortage_write(w, &shortage, http_request_id(req));
	} else {
		reservation_write(w, &one->res);
	}
	jw_end(w);
}

static void reply_many(struct reserve_request *request)
{
	int status = 409;
	struct jw w;

	jw_init(&w, RESULTS_JSON_MAX);
	jw_object(&w);
	jw_key(&w, "results");
	jw_object(&w);
	for (size_t i = 0; i < request->n; i++) {
		write_result(&w, &request->one[i]);
		if (!is_refused(&request->one[i]))
			status = 200;
	}
	jw_end(&w);
	jw_end(&w);
	http_reply_jw(request->req, status, &w);
}

/* ---- reserving ---- */

static void one_decided(struct reserve_request *request)
{
	if (--request->open > 0)
		return;
	for (size_t i = 0; i < request->n; i++)
		decide(&request->one[i]);
	if (request->many)
		reply_many(request);
	else
		reply_one(&request->one[0]);
}

static void reserve_done(const struct err *err, void *arg)
{
	struct reserve *reserve = arg;
	struct reserving *one = reserve->owner;

	if (err || reserve->end == RESERVE_OK)
		catalogue_stock_moved(one->request->app->catalogue);
	if (err) {
		one->failed = true;
		one->why = *err;
	} else if (FAILPOINT("product_reserved")) {
		one->failed = true;
		err_set(&one->why, ERR_INTERNAL, "failpoint product_reserved");
	}
	one_decided(one->request);
}

static void reserve_all(struct reserve_request *request)
{
	http_action(request->req, "reserving stock");
	/* One more, so that refused bodies alone end the request only here. */
	request->open = request->n + 1;
	for (size_t i = 0; i < request->n; i++) {
		struct reserving *one = &request->one[i];

		if (one->failed)
			request->open--;
		else
			reservation_repo_reserve(request->app->reserving, &one->reserve,
						 reserve_done);
	}
	one_decided(request);
}

static void parse(struct reserving *one, json_t *body)
{
	one->res.lines = http_alloc(one->request->req,
				    reservation_room(body) * sizeof(*one->res.lines));
	one->failed = !reservation_parse(body, &one->res, &one->why);
}

/* ---- one ---- */

void put_reservation(struct http_req *req, void *arg)
{
	struct reserve_request *request = request_new(req, arg, 1);
	struct reserving *one = &request->one[0];
	struct err err;
	json_t *body;

	if (!caller_is_order_svc(request->app, req) ||
	    !reservation_id_of(req, one->res.id))
		return;
	body = http_body_json(req, &err);
	if (!body) {
		http_reply_err(req, &err);
		return;
	}
	parse(one, body);
	if (one->failed)
		http_reply_err(req, &one->why);
	else
		reserve_all(request);
}

/* ---- many ---- */

/* The object from ids to what the request for one has as its body; NULL: `err`. */
static json_t *read_many(json_t *body, struct err *err)
{
	static const char *const allowed[] = {"reservations", NULL};
	json_t *all = json_object_get(body, "reservations"), *one;
	size_t lines = 0, n = json_object_size(all);
	const char *id;

	if (!js_only(body, "", allowed, err))
		return NULL;
	if (!json_is_object(all) || n < 1 || n > RESERVE_MANY_MAX) {
		err_field(err, "reservations",
			  "reservations must be an object with 1 to %d members",
			  RESERVE_MANY_MAX);
		return NULL;
	}
	json_object_foreach(all, id, one)
	{
		if (!id_valid(str_from(id)) || !json_is_object(one)) {
			err_field(err, "reservations",
				  "each reservation must be an object under its id of 32 "
				  "hex digits");
			return NULL;
		}
		lines += reservation_room(one);
	}
	if (lines > RESERVE_MANY_LINES) {
		err_field(err, "reservations", "the reservations have more than %d lines",
			  RESERVE_MANY_LINES);
		return NULL;
	}
	return all;
}

void put_reservations(struct http_req *req, void *arg)
{
	struct reserve_request *request;
	json_t *body, *all = NULL, *one;
	struct err err;
	const char *id;
	size_t i = 0;

	if (!caller_is_order_svc(arg, req))
		return;
	body = http_body_json(req, &err);
	if (body)
		all = read_many(body, &err);
	if (!all) {
		http_reply_err(req, &err);
		return;
	}
	request = request_new(req, arg, json_object_size(all));
	request->many = true;
	json_object_foreach(all, id, one)
	{
		str_copy(request->one[i].res.id, sizeof(request->one[i].res.id),
			 str_from(id));
		parse(&request->one[i++], one);
	}
	reserve_all(request);
}
