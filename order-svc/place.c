/* place.c - placing an order, step by step; see placement.h. */
#include "placement.h"

#include "failpoint.h"
#include "timeutil.h"

/* A twin that waited longer answers "in progress" instead of having its turn. */
#define MAX_TURN_WAIT_MS 10000

/* POST /api/orders
 *   check -> know the user -> take turns -> look up the key -> reserve -> record
 *   -> answer
 *
 * Short of stock: refuse -> answer.  Any failure after reserve: undo(). */
static void place_user_known(const struct err *err, void *arg);
static void place_turn(void *arg);
static void place_looked_up(const struct err *err, void *arg);
static void place_reserved(enum reserve_end end, const struct err *err, void *arg);
static void place_refused(const struct err *err, void *arg);
static void place_recorded(const struct err *err, void *arg);

static void place_done(void *arg)
{
	struct placement *p = arg;

	p->app->placing--;
	loop_timer_free(p->settle_again);
	order_fini(&p->wish.order);
	order_fini(&p->settled);
	order_lookup_fini(&p->lookup);
	order_record_fini(&p->record);
	jw_fini(&p->refusal_text);
}

/* ---- check ---- */

/* Said before anything was done for it: what has begun must find room on its way. */
static bool room_for_one(const struct app *app, struct err *err)
{
	if (app->placing <= app->cfg.max_placing)
		return true;
	err_slug(err, ERR_BUSY, "too_many_orders",
		 "too many orders are under way; try again");
	err->retry_after_s = 1;
	return false;
}

static bool check(struct placement *p, struct caller *caller, struct err *err)
{
	json_t *body;

	if (!room_for_one(p->app, err) || !caller_of(p->app, p->req, caller, err))
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
	p->app->placing++;
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

static void place_user_known(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err) {
		answer_err(p, err);
		return;
	}
	if (answer_stopped(p))
		return;
	http_action(p->req, "waiting for a twin");
	p->entered_ms = time_mono_ms();
	p->twin =
		(struct twin){.key_hash = p->wish.key_hash, .turn = place_turn, .arg = p};
	if (!twins_enter(p->app->twins, &p->twin))
		answer_in_progress(p);
}

static void place_turn(void *arg)
{
	struct placement *p = arg;

	if (answer_stopped(p))
		return;
	if (time_mono_ms() - p->entered_ms > MAX_TURN_WAIT_MS) {
		answer_in_progress(p);
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
		answer_err(p, err);
		return;
	}
	if (p->lookup.found) {
		answer_stored(p);
		return;
	}
	if (answer_stopped(p))
		return;
	http_action(p->req, "reserving stock");
	id_new(p->wish.order.reservation_id);
	p->reservation = (struct reservation){.order = &p->wish.order,
					      .key_hash = p->wish.key_hash,
					      .ttl_s = p->app->cfg.reservation_ttl_s,
					      .trace = &p->trace};
	reservations_reserve(p->app->reservations, &p->reservation, place_reserved, p);
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
	case RESERVE_NOT_SENT: answer_err(p, err); break;
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
		answer_problem(p, 409, p->refusal.reply);
		return;
	}
	if (answer_stopped(p))
		return;
	http_action(p->req, "storing the refusal");
	order_repo_refuse(p->app->repo, &p->refusal, place_refused, p);
}

static void place_refused(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err)
		answer_err(p, err);
	else if (p->refusal.taken)
		undo_replay(p);
	else
		answer_problem(p, p->refusal.status, p->refusal.reply);
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
	if (answer_stopped(p))
		return;
	http_action(p->req, "recording the order");
	p->record = (struct order_record){
		.wish = &p->wish,
		.deadline = p->lookup.t0 + p->app->cfg.reservation_ttl_s * 1000,
		.trace = &p->trace};
	order_repo_record(p->app->repo, &p->record, place_recorded, p);
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
			answer_new(p, p->wish.order.id, str_from(p->record.reply));
		break;
	case ORDER_KEY_TAKEN: undo(p, NULL); break;
	case ORDER_FENCED:
	case ORDER_TOO_LATE: undo_aborted(p); break;
	case ORDER_UNKNOWN: undo_unknown(p); break;
	}
}
