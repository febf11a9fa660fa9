/*
 * place.c - placing an order.
 *
 * A placement lives as long as its request, which stays until it is answered,
 * also when the client has gone.  From the moment in which stock may be held,
 * every failure goes through undo(): fence, give the stock back, then answer.
 */
#include <inttypes.h>
#include <stdio.h>

#include "app.h"
#include "failpoint.h"
#include "log.h"
#include "reservations.h"
#include "timeutil.h"

/* A twin that waited longer answers "in progress" instead of having its turn. */
#define MAX_TURN_WAIT_MS 10000

/* A full queue must not keep stock from others until a reservation expires. */
#define SETTLE_TRIES    3
#define SETTLE_PAUSE_MS 250 /* doubled each time */

struct placement {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct trace trace;
	struct order_wish wish;
	struct users_query user;
	struct twin twin;
	int64_t entered_ms;
	struct order_lookup lookup;
	struct reservation reservation;
	struct order_refusal refusal;
	struct jw refusal_text;
	struct order_record record;
	struct order_settle settle;
	struct loop_timer *settle_again;
	unsigned settle_tries;
	TAILQ_ENTRY(placement) pausing; /* while settle_again runs */
	struct order settled;           /* the order that settling found committed */
	struct err failure;             /* the answer after undo() */
	bool twin_won;                  /* after undo(): answer what the twin stored */
};

/* POST /api/orders
 *   check -> know the user -> take turns -> look up the key -> reserve -> record -> reply
 *   short of stock:             refuse -> reply
 *   any failure after reserve:  undo: settle -> release -> reply */
static void place_user_known(const struct err *err, void *arg);
static void place_turn(void *arg);
static void place_looked_up(const struct err *err, void *arg);
static void place_reserved(enum reserve_end end, const struct err *err, void *arg);
static void place_refused(const struct err *err, void *arg);
static void place_recorded(const struct err *err, void *arg);
static void undo(struct placement *p, const struct err *why);
static void undo_settled(const struct err *err, void *arg);
static void undo_released(const struct http_answer *answer, const struct err *err,
			  void *arg);
static void undo_looked_up(const struct err *err, void *arg);

static void place_done(void *arg)
{
	struct placement *p = arg;

	loop_timer_free(p->settle_again);
	order_fini(&p->wish.order);
	order_fini(&p->settled);
	order_lookup_fini(&p->lookup);
	order_record_fini(&p->record);
	jw_fini(&p->refusal_text);
}

/* ---- answers: each ends the placement ---- */

static void reply_err(struct placement *p, const struct err *err)
{
	twins_leave(p->app->twins, &p->twin);
	http_reply_err(p->req, err);
}

/* Is the process ending? Then nothing may be started any more. */
static bool stopped(struct placement *p)
{
	struct err err;

	if (!p->app->stopping)
		return false;
	err_set(&err, ERR_BUSY, "the service is stopping; try again");
	err.retry_after_s = 1;
	reply_err(p, &err);
	return true;
}

static void reply_placed(struct placement *p, int64_t order_id, struct str body)
{
	char location[48];

	snprintf(location, sizeof(location), "/api/orders/%" PRId64, order_id);
	http_set_header(p->req, "Location", location);
	twins_leave(p->app->twins, &p->twin);
	http_reply_json(p->req, 201, body);
}

static void reply_new(struct placement *p, int64_t order_id, struct str body)
{
	relay_wake(p->app->relay);
	metric_add(p->app->counters.placed, 1);
	reply_placed(p, order_id, body);
}

static void reply_problem(struct placement *p, int status, struct str kept)
{
	struct jw w;

	jw_init(&w, ORDER_JSON_MAX);
	order_problem_write(&w, kept, http_request_id(p->req));
	twins_leave(p->app->twins, &p->twin);
	http_reply(p->req, status, "application/problem+json", jw_text(&w));
	jw_fini(&w);
}

/* The key is known: the stored answer again, or another order under it. */
static void reply_stored(struct placement *p)
{
	const struct order_lookup *lookup = &p->lookup;
	struct err err;

	if (strcmp(lookup->body_hash, p->wish.hash) != 0) {
		err_slug(&err, ERR_UNPROCESSABLE, "idempotency_key_reused",
			 "this idempotency key belongs to another order");
		reply_err(p, &err);
		return;
	}
	metric_add(p->app->counters.replayed, 1);
	http_set_header(p->req, "Idempotency-Replayed", "true");
	if (lookup->order_id)
		reply_placed(p, lookup->order_id, str_from(lookup->reply));
	else
		reply_problem(p, lookup->status, str_from(lookup->reply));
}

/* ---- check ---- */

static bool check(struct placement *p, struct caller *caller, struct err *err)
{
	json_t *body;

	if (!caller_of(p->app, p->req, caller, err))
		return false;
	body = http_body_json(p->req, err);
	return body &&
	       order_wish_parse(&p->wish, body, http_header(p->req, "Idempotency-Key"),
				err) &&
	       auth_may_act_for(p->app->auth, caller, p->wish.order.user_id, err);
}

void place_order(struct http_req *req, void *arg)
{
	struct placement *p = http_alloc(req, sizeof(*p));
	struct caller caller;
	struct err err;

	p->req = req;
	p->app = arg;
	http_on_done(req, place_done, p);
	trace_init(&p->trace, req);
	if (!check(p, &caller, &err)) {
		http_reply_err(req, &err);
		return;
	}
	if (caller.kind == CALLER_USER && caller.user_id == p->wish.order.user_id) {
		place_user_known(NULL, p);
		return;
	}
	http_action(req, "checking the user");
	p->user = (struct users_query){.user_id = p->wish.order.user_id,
				       .trace = &p->trace};
	users_check(p->app->users, &p->user, place_user_known, p);
}

/* ---- take turns ---- */

static void reply_in_progress(struct placement *p)
{
	struct err err;

	err_slug(&err, ERR_CONFLICT, "order_in_progress",
		 "earlier attempts of this order are still under way; ask again with the "
		 "same key");
	err.retry_after_s = 1;
	reply_err(p, &err);
}

static void place_user_known(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err) {
		reply_err(p, err);
		return;
	}
	if (stopped(p))
		return;
	http_action(p->req, "waiting for a twin");
	p->entered_ms = time_mono_ms();
	p->twin =
		(struct twin){.key_hash = p->wish.key_hash, .turn = place_turn, .arg = p};
	if (!twins_enter(p->app->twins, &p->twin))
		reply_in_progress(p);
}

static void place_turn(void *arg)
{
	struct placement *p = arg;

	if (stopped(p))
		return;
	if (time_mono_ms() - p->entered_ms > MAX_TURN_WAIT_MS) {
		reply_in_progress(p);
		return;
	}
	http_action(p->req, "looking up the key");
	p->lookup.wish = &p->wish;
	order_repo_lookup(p->app->repo, &p->lookup, place_looked_up, p);
}

/* ---- reserve ---- */

static void place_looked_up(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err) {
		reply_err(p, err);
		return;
	}
	if (p->lookup.found) {
		reply_stored(p);
		return;
	}
	if (stopped(p))
		return;
	http_action(p->req, "reserving stock");
	id_new(p->wish.order.reservation_id);
	p->reservation = (struct reservation){.order = &p->wish.order,
					      .key_hash = p->wish.key_hash,
					      .ttl_s = p->app->cfg.reservation_ttl_s,
					      .trace = &p->trace};
	reservations_reserve(p->app->internal, p->app->authorization, &p->reservation,
			     place_reserved, p);
}

static void refuse(struct placement *p);
static void record(struct placement *p);

static void place_reserved(enum reserve_end end, const struct err *err, void *arg)
{
	struct placement *p = arg;

	switch (end) {
	case RESERVE_OK: record(p); break;
	case RESERVE_SHORT: refuse(p); break;
	case RESERVE_UNKNOWN: undo(p, err); break;
	case RESERVE_IN_PROGRESS:
	case RESERVE_REFUSED:
	case RESERVE_NOT_SENT: reply_err(p, err); break;
	}
}

/* ---- short of stock: final for the key before anybody hears of it ---- */

static void refuse(struct placement *p)
{
	jw_init(&p->refusal_text, ORDER_JSON_MAX);
	order_shortage_write(&p->refusal_text, &p->reservation.shortage);
	p->refusal = (struct order_refusal){
		.wish = &p->wish, .status = 409, .reply = jw_text(&p->refusal_text)};
	metric_add(p->app->counters.refused, 1);
	if (!*p->wish.key) {
		reply_problem(p, 409, p->refusal.reply);
		return;
	}
	if (stopped(p))
		return;
	http_action(p->req, "storing the refusal");
	order_repo_refuse(p->app->repo, &p->refusal, place_refused, p);
}

static void place_refused(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err)
		reply_err(p, err);
	else if (p->refusal.taken && !stopped(p))
		order_repo_lookup(p->app->repo, &p->lookup, undo_looked_up, p);
	else if (!p->refusal.taken)
		reply_problem(p, p->refusal.status, p->refusal.reply);
}

/* ---- record ---- */

static void record(struct placement *p)
{
	struct order *order = &p->wish.order;
	struct err err;

	if (FAILPOINT("order_reserved")) {
		err_set(&err, ERR_INTERNAL, "failpoint order_reserved");
		undo(p, &err);
		return;
	}
	if (!order_total(order, &order->total, &err)) {
		undo(p, &err);
		return;
	}
	if (stopped(p))
		return;
	http_action(p->req, "recording the order");
	p->record = (struct order_record){
		.wish = &p->wish,
		.deadline = p->lookup.t0 + p->app->cfg.reservation_ttl_s * 1000,
		.trace = &p->trace};
	order_repo_record(p->app->repo, &p->record, place_recorded, p);
}

static void undo_aborted(struct placement *p)
{
	struct err err;

	metric_add(p->app->counters.fenced, 1);
	err_slug(&err, ERR_BUSY, "order_aborted",
		 "the order took too long and was given up; try again with the same key");
	err.retry_after_s = 1;
	undo(p, &err);
}

static void undo_unknown(struct placement *p)
{
	struct err err;

	err_slug(
		&err, ERR_TIMEOUT, "order_unknown",
		"the order may or may not have been placed; ask again with the same key");
	err.retry_after_s = 1;
	undo(p, &err);
}

static void place_recorded(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err) {
		undo(p, err);
		return;
	}
	switch (p->record.end) {
	case ORDER_RECORDED:
		if (FAILPOINT("order_before_reply"))
			undo_unknown(p);
		else
			reply_new(p, p->wish.order.id, str_from(p->record.reply));
		break;
	case ORDER_KEY_TAKEN:
		p->twin_won = true;
		undo(p, NULL);
		break;
	case ORDER_FENCED:
	case ORDER_TOO_LATE: undo_aborted(p); break;
	case ORDER_UNKNOWN: undo_unknown(p); break;
	}
}

/* ---- undo: fence, give the stock back, answer ---- */

static void undo_settle(struct placement *p)
{
	if (stopped(p))
		return;
	p->settle_tries++;
	order_repo_settle(p->app->repo, &p->settle, undo_settled, p);
}

/* `why` is the answer to give when the order turns out not to exist; NULL when a
 * twin's answer is given instead. */
static void undo(struct placement *p, const struct err *why)
{
	if (why) {
		p->failure = *why;
		log_warn("undoing an order", LOG_STR("request_id", p->trace.request_id),
			 LOG_STR("reservation_id", p->wish.order.reservation_id),
			 LOG_STR("why", why->text));
	}
	http_action(p->req, "fencing the reservation");
	p->settle.order = &p->settled;
	str_copy(p->settle.reservation_id, sizeof(p->settle.reservation_id),
		 str_from(p->wish.order.reservation_id));
	undo_settle(p);
}

static void undo_settle_again(void *arg)
{
	struct placement *p = arg;

	TAILQ_REMOVE(&p->app->pausing, p, pausing);
	undo_settle(p);
}

void place_stop(struct app *app)
{
	while (!TAILQ_EMPTY(&app->pausing))
		undo_settle_again(TAILQ_FIRST(&app->pausing));
}

/* Without a fence nothing may be released: product-svc's janitor will ask again
 * when the reservation expires. */
static void not_settled(struct placement *p, const struct err *err)
{
	if (err->code == ERR_BUSY && p->settle_tries < SETTLE_TRIES &&
	    !p->app->stopping) {
		if (!p->settle_again)
			p->settle_again =
				loop_timer_new(p->app->loop, undo_settle_again, p);
		TAILQ_INSERT_TAIL(&p->app->pausing, p, pausing);
		loop_timer_start(p->settle_again,
				 SETTLE_PAUSE_MS << (p->settle_tries - 1));
		return;
	}
	log_warn("cannot fence", LOG_STR("request_id", p->trace.request_id),
		 LOG_STR("why", err->text));
	reply_err(p, p->twin_won ? err : &p->failure);
}

/* It is committed after all: the answer is that of the first attempt. */
static void reply_settled(struct placement *p)
{
	struct jw w;

	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &p->settled);
	reply_new(p, p->settled.id, jw_text(&w));
	jw_fini(&w);
}

static void undo_settled(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err) {
		not_settled(p, err);
		return;
	}
	if (p->settle.committed) {
		reply_settled(p);
		return;
	}
	metric_add(p->app->counters.undone, 1);
	if (stopped(p))
		return;
	http_action(p->req, "releasing the stock");
	reservations_release(p->app->internal, p->app->authorization,
			     p->settle.reservation_id, &p->trace, undo_released, p);
}

static void undo_released(const struct http_answer *answer, const struct err *err,
			  void *arg)
{
	struct placement *p = arg;

	if (err || answer->status != 200)
		log_warn("cannot release; the janitor will",
			 LOG_STR("request_id", p->trace.request_id),
			 LOG_INT("status", err ? 0 : answer->status),
			 LOG_STR("why", err ? err->text : ""));
	if (!p->twin_won) {
		reply_err(p, &p->failure);
		return;
	}
	if (!stopped(p))
		order_repo_lookup(p->app->repo, &p->lookup, undo_looked_up, p);
}

/* A twin was first: give its answer. */
static void undo_looked_up(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err)
		reply_err(p, err);
	else if (p->lookup.found)
		reply_stored(p);
	else
		reply_in_progress(p);
}
