/*
 * undo.c - an order that may hold stock and is not going to be: fence it, give the
 * stock back, answer.
 *
 * Or it turns out to be committed after all, and its answer is given.
 */
#include "log.h"
#include "placement.h"

/* A full queue must not keep stock from others until a reservation expires. */
#define SETTLE_TRIES    3
#define SETTLE_PAUSE_MS 250 /* doubled each time */

/* settle -> release -> answer, or look up the twin's -> answer */
static void undo_settled(const struct err *err, void *arg);
static void undo_released(const struct http_answer *answer, const struct err *err,
			  void *arg);
static void undo_looked_up(const struct err *err, void *arg);

static void settle(struct placement *p)
{
	if (answer_stopped(p))
		return;
	p->settle_tries++;
	order_repo_settle(p->app->repo, &p->settle, undo_settled, p);
}

void undo(struct placement *p, const struct err *why)
{
	if (why) {
		p->failure = *why;
		log_warn("undoing an order", LOG_STR("request_id", p->trace.request_id),
			 LOG_STR("reservation_id", p->wish.order.reservation_id),
			 LOG_STR("why", why->text));
	}
	p->twin_won = !why;
	http_action(p->req, "fencing the reservation");
	p->settle.order = &p->settled;
	str_copy(p->settle.reservation_id, sizeof(p->settle.reservation_id),
		 str_from(p->wish.order.reservation_id));
	settle(p);
}

void undo_aborted(struct placement *p)
{
	struct err err;

	metric_add(p->app->counters.fenced, 1);
	err_slug(&err, ERR_BUSY, "order_aborted",
		 "the order took too long and was given up; try again with the same key");
	err.retry_after_s = 1;
	undo(p, &err);
}

void undo_unknown(struct placement *p)
{
	struct err err;

	err_slug(
		&err, ERR_TIMEOUT, "order_unknown",
		"the order may or may not have been placed; ask again with the same key");
	err.retry_after_s = 1;
	undo(p, &err);
}

static void settle_again(void *arg)
{
	struct placement *p = arg;

	TAILQ_REMOVE(&p->app->pausing, p, pausing);
	settle(p);
}

void undo_stop(struct app *app)
{
	while (!TAILQ_EMPTY(&app->pausing))
		settle_again(TAILQ_FIRST(&app->pausing));
}

/* Without a fence nothing may be released: product-svc's janitor will ask again
 * when the reservation expires. */
static void not_settled(struct placement *p, const struct err *err)
{
	if (err->code == ERR_BUSY && p->settle_tries < SETTLE_TRIES &&
	    !p->app->stopping) {
		if (!p->settle_again)
			p->settle_again = loop_timer_new(p->app->loop, settle_again, p);
		TAILQ_INSERT_TAIL(&p->app->pausing, p, pausing);
		loop_timer_start(p->settle_again,
				 SETTLE_PAUSE_MS << (p->settle_tries - 1));
		return;
	}
	log_warn("cannot fence", LOG_STR("request_id", p->trace.request_id),
		 LOG_STR("why", err->text));
	answer_err(p, p->twin_won ? err : &p->failure);
}

/* It is committed after all: the answer is that of the first attempt. */
static void answer_settled(struct placement *p)
{
	struct jw w;

	jw_init(&w, ORDER_JSON_MAX);
	order_write(&w, &p->settled);
	answer_new(p, p->settled.id, jw_text(&w));
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
		answer_settled(p);
		return;
	}
	metric_add(p->app->counters.undone, 1);
	if (answer_stopped(p))
		return;
	http_action(p->req, "releasing the stock");
	reservations_release(p->app->reservations, p->settle.reservation_id, &p->trace,
			     undo_released, p);
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
	if (p->twin_won)
		undo_replay(p);
	else
		answer_err(p, &p->failure);
}

void undo_replay(struct placement *p)
{
	if (!answer_stopped(p))
		order_repo_lookup(p->app->repo, &p->lookup, undo_looked_up, p);
}

static void undo_looked_up(const struct err *err, void *arg)
{
	struct placement *p = arg;

	if (err)
		answer_err(p, err);
	else if (p->lookup.found)
		answer_stored(p);
	else
		answer_in_progress(p);
}
