/* answer.c - the answers to POST /api/orders; each ends its placement. */
#include <inttypes.h>
#include <stdio.h>

#include "placement.h"

void answer_err(struct placement *p, const struct err *err)
{
	twins_leave(p->app->twins, &p->twin);
	http_reply_err(p->req, err);
}

bool answer_stopped(struct placement *p)
{
	struct err err;

	if (!p->app->stopping)
		return false;
	err_set(&err, ERR_BUSY, "the service is stopping; try again");
	err.retry_after_s = 1;
	answer_err(p, &err);
	return true;
}

void answer_in_progress(struct placement *p)
{
	struct err err;

	err_slug(&err, ERR_CONFLICT, "order_in_progress",
		 "earlier attempts of this order are still under way; ask again with the "
		 "same key");
	err.retry_after_s = 1;
	answer_err(p, &err);
}

static void answer_placed(struct placement *p, int64_t order_id, struct str body)
{
	char location[48];

	snprintf(location, sizeof(location), "/api/orders/%" PRId64, order_id);
	http_set_header(p->req, "Location", location);
	twins_leave(p->app->twins, &p->twin);
	http_reply_json(p->req, 201, body);
}

void answer_new(struct placement *p, int64_t order_id, struct str body)
{
	relay_wake(p->app->relay);
	metric_add(p->app->counters.placed, 1);
	answer_placed(p, order_id, body);
}

void answer_problem(struct placement *p, int status, struct str kept)
{
	struct jw w;

	jw_init(&w, ORDER_JSON_MAX);
	order_problem_write(&w, kept, http_request_id(p->req));
	twins_leave(p->app->twins, &p->twin);
	http_reply(p->req, status, "application/problem+json", jw_text(&w));
	jw_fini(&w);
}

/* The key is known: the stored answer again, or another order under it. */
void answer_stored(struct placement *p)
{
	const struct order_lookup *lookup = &p->lookup;
	struct err err;

	if (strcmp(lookup->body_hash, p->wish.hash) != 0) {
		err_slug(&err, ERR_UNPROCESSABLE, "idempotency_key_reused",
			 "this idempotency key belongs to another order");
		answer_err(p, &err);
		return;
	}
	metric_add(p->app->counters.replayed, 1);
	http_set_header(p->req, "Idempotency-Replayed", "true");
	if (lookup->order_id)
		answer_placed(p, lookup->order_id, str_from(lookup->reply));
	else
		answer_problem(p, lookup->status, str_from(lookup->reply));
}
