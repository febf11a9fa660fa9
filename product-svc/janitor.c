/*
 * janitor.c - asks order-svc what became of each overdue reservation.
 *
 *   find overdue -> [ask -> confirm or release] for each -> sweep -> sleep
 *
 * Asking is "commit or fence": after the answer "aborted" no late order can
 * still be recorded for the reservation, and only then its stock comes back.
 * Two janitors at once are harmless: the first answer of order-svc stands, and
 * the change of state is conditional.
 */
#include "janitor.h"

#include <stdio.h>
#include <stdlib.h>

#include "failpoint.h"
#include "id.h"
#include "js.h"
#include "log.h"
#include "reservation_repo.h"
#include "timeutil.h"

#define ASK_MS         2000
#define SWEEP_EVERY_MS 60000

struct janitor {
	struct loop *loop;
	struct db_pool *db;
	struct http_client *internal;
	const char *authorization;
	struct loop_timer *timer;
	int64_t interval_ms, swept_ms;
	bool stopping;
	bool again;      /* this round found all it may take: no pause before the next */
	bool complained; /* in this round */
	size_t at;       /* in overdue */
	struct overdue overdue;
	struct release release;
	struct order_move move;
	struct order_moves moves;
	struct sweep sweep;
	struct metric *found, *released, *confirmed, *failed;
};

static void round_start(void *arg);
static void round_found(const struct err *err, void *arg);
static void ask_next(struct janitor *janitor);
static void ask_answered(const struct http_answer *answer, const struct err *err,
			 void *arg);
static void move_done(const struct err *err, void *arg);
static void release_done(const struct err *err, void *arg);
static void sweep_start(struct janitor *janitor);
static void sweep_done(const struct err *err, void *arg);

static void round_end(struct janitor *janitor)
{
	if (!janitor->stopping)
		loop_timer_start(janitor->timer,
				 janitor->again ? 1 : janitor->interval_ms);
}

static void round_failed(struct janitor *janitor, const char *what, const struct err *err)
{
	metric_add(janitor->failed, 1);
	log_warn(what, LOG_STR("why", err->text));
	janitor->again = false;
	round_end(janitor);
}

static void round_start(void *arg)
{
	struct janitor *janitor = arg;

	janitor->again = janitor->complained = false;
	if (FAILPOINT("product_janitor"))
		round_end(janitor);
	else
		reservation_repo_overdue(janitor->db, &janitor->overdue, round_found);
}

static void round_found(const struct err *err, void *arg)
{
	struct overdue *overdue = arg;
	struct janitor *janitor = overdue->owner;

	if (err) {
		round_failed(janitor, "cannot look for overdue reservations", err);
		return;
	}
	metric_add(janitor->found, (int64_t)overdue->n);
	janitor->again = overdue->n == OVERDUE_MAX;
	janitor->at = 0;
	ask_next(janitor);
}

static void ask_next(struct janitor *janitor)
{
	char path[80], request_id[ID_HEX_LEN + 1];
	struct http_header_pair headers[] = {
		{"Authorization", str_from(janitor->authorization)},
		{"X-Request-Id", {request_id, ID_HEX_LEN}},
		{NULL, STR_NONE},
	};
	struct http_call call = {.method = "PUT",
				 .path = path,
				 .headers = headers,
				 .timeout_ms = ASK_MS,
				 .label = "/internal/outcomes/:id"};

	if (janitor->stopping || janitor->at == janitor->overdue.n) {
		sweep_start(janitor);
		return;
	}
	id_new(request_id);
	snprintf(path, sizeof(path), "/internal/outcomes/%s",
		 janitor->overdue.ids[janitor->at]);
	http_client_call(janitor->internal, &call, ask_answered, janitor);
}

enum outcome { OUTCOME_COMMITTED, OUTCOME_ABORTED, OUTCOME_NONE };

static enum outcome read_outcome(const struct http_answer *answer, const char *id,
				 struct err *err)
{
	enum outcome outcome = OUTCOME_NONE;
	struct str of, word;
	json_t *doc;

	if (answer->status != 200) {
		http_answer_err(answer, err);
		return OUTCOME_NONE;
	}
	doc = js_parse_object(answer->body, err);
	if (doc && js_str(doc, "reservation_id", ID_HEX_LEN, ID_HEX_LEN, &of, err) &&
	    js_str(doc, "outcome", 1, 16, &word, err)) {
		err_set(err, ERR_UPSTREAM, "an answer that is none");
		if (str_eqz(of, id) && str_eqz(word, "committed"))
			outcome = OUTCOME_COMMITTED;
		else if (str_eqz(of, id) && str_eqz(word, "aborted"))
			outcome = OUTCOME_ABORTED;
	}
	json_decref(doc);
	return outcome;
}

/* An answer that is no use for this one must not keep the others waiting. One log
 * line a round is enough. */
static void skip(struct janitor *janitor, const struct err *err)
{
	if (!janitor->complained)
		log_warn("no outcome of a reservation to be had",
			 LOG_STR("why", err->text),
			 LOG_STR("reservation_id", janitor->overdue.ids[janitor->at]));
	janitor->complained = true;
	janitor->again = false;
	metric_add(janitor->failed, 1);
	janitor->at++;
	ask_next(janitor);
}

static void confirm_now(struct janitor *janitor, const char *id)
{
	janitor->move = (struct order_move){.order_id = 0};
	str_copy(janitor->move.reservation_id, sizeof(janitor->move.reservation_id),
		 str_from(id));
	reservation_repo_move(janitor->db, &janitor->moves, move_done);
}

static void release_now(struct janitor *janitor, const char *id)
{
	str_copy(janitor->release.id, sizeof(janitor->release.id), str_from(id));
	reservation_repo_release(janitor->db, &janitor->release, release_done);
}

static void ask_answered(const struct http_answer *answer, const struct err *err,
			 void *arg)
{
	struct janitor *janitor = arg;
	const char *id = janitor->overdue.ids[janitor->at];
	struct err why;

	if (janitor->stopping)
		return;
	/* Not reached: the others will not be either. */
	if (err) {
		round_failed(janitor, "cannot ask for outcomes", err);
		return;
	}
	switch (read_outcome(answer, id, &why)) {
	case OUTCOME_COMMITTED: confirm_now(janitor, id); return;
	case OUTCOME_ABORTED: break;
	case OUTCOME_NONE: skip(janitor, &why); return;
	}
	if (FAILPOINT("product_janitor_fenced"))
		round_end(janitor);
	else
		release_now(janitor, id);
}

static void move_done(const struct err *err, void *arg)
{
	struct order_moves *moves = arg;
	struct janitor *janitor = moves->owner;

	if (err) {
		round_failed(janitor, "cannot confirm a reservation", err);
		return;
	}
	metric_add(janitor->confirmed, moves->confirmed);
	janitor->at++;
	ask_next(janitor);
}

static void release_done(const struct err *err, void *arg)
{
	struct release *release = arg;
	struct janitor *janitor = release->owner;

	if (err) {
		round_failed(janitor, "cannot release a reservation", err);
		return;
	}
	if (release->changed) {
		metric_add(janitor->released, 1);
		log_info("overdue reservation released",
			 LOG_STR("reservation_id", release->id));
	}
	janitor->at++;
	ask_next(janitor);
}

static void sweep_start(struct janitor *janitor)
{
	int64_t now = time_mono_ms();

	if (janitor->stopping || now - janitor->swept_ms < SWEEP_EVERY_MS) {
		round_end(janitor);
		return;
	}
	janitor->swept_ms = now;
	reservation_repo_sweep(janitor->db, &janitor->sweep, sweep_done);
}

static void sweep_done(const struct err *err, void *arg)
{
	struct sweep *sweep = arg;
	struct janitor *janitor = sweep->owner;

	if (err)
		log_warn("cannot sweep old reservations", LOG_STR("why", err->text));
	else if (sweep->more)
		janitor->swept_ms -= SWEEP_EVERY_MS;
	round_end(janitor);
}

static struct metric *counter(struct metrics *metrics, const char *labels)
{
	return metrics_counter(metrics, "shop_janitor_reservations_total",
			       "overdue reservations by what the janitor did", labels);
}

struct janitor *janitor_new(struct loop *loop, struct db_pool *db,
			    struct http_client *internal, const char *authorization,
			    int64_t interval_ms, struct metrics *metrics)
{
	struct janitor *janitor = xcalloc(1, sizeof(*janitor));

	janitor->loop = loop;
	janitor->db = db;
	janitor->internal = internal;
	janitor->authorization = authorization;
	janitor->interval_ms = interval_ms;
	janitor->overdue.owner = janitor;
	janitor->release.owner = janitor;
	janitor->moves =
		(struct order_moves){.moves = &janitor->move, .n = 1, .owner = janitor};
	janitor->sweep.owner = janitor;
	janitor->found = counter(metrics, "result=\"found\"");
	janitor->released = counter(metrics, "result=\"released\"");
	janitor->confirmed = counter(metrics, "result=\"confirmed\"");
	janitor->failed = counter(metrics, "result=\"failed\"");
	janitor->timer = loop_timer_new(loop, round_start, janitor);
	loop_timer_start(janitor->timer, interval_ms);
	return janitor;
}

void janitor_stop(struct janitor *janitor)
{
	if (!janitor)
		return;
	janitor->stopping = true;
	loop_timer_stop(janitor->timer);
}

void janitor_free(struct janitor *janitor)
{
	if (!janitor)
		return;
	loop_timer_free(janitor->timer);
	free(janitor);
}
