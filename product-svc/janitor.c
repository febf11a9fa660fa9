/*
 * janitor.c - asks order-svc what became of each overdue reservation.
 *
 *   find overdue -> ask for each -> confirm and release, together -> sweep -> sleep
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
#define ASK_AT_ONCE    8
#define SWEEP_EVERY_MS 60000

struct ask {
	struct janitor *janitor;
	const char *id; /* in overdue.ids */
};

struct janitor {
	struct loop *loop;
	struct db_pool *db;
	struct http_client *internal;
	const char *authorization;
	struct loop_timer *timer;
	int64_t interval_ms, swept_ms;
	bool stopping;
	/* Of this round. */
	bool again;       /* it found all it may take: no pause before the next */
	bool complained;  /* one log line is enough */
	bool unreachable; /* nobody answers: no use in asking on */
	struct overdue overdue;
	struct ask asks[OVERDUE_MAX];
	size_t asked, answered;
	struct order_move room[OVERDUE_MAX]; /* moves.moves */
	struct order_moves moves;
	struct sweep sweep;
	struct metric *found, *released, *confirmed, *failed;
};

static void round_start(void *arg);
static void round_found(const struct err *err, void *arg);
static void ask_more(struct janitor *janitor);
static void ask_answered(const struct http_answer *answer, const struct err *err,
			 void *arg);
static void move_start(struct janitor *janitor);
static void move_done(const struct err *err, void *arg);
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

	janitor->again = janitor->complained = janitor->unreachable = false;
	janitor->asked = janitor->answered = janitor->moves.n = 0;
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
	ask_more(janitor);
}

static void ask(struct janitor *janitor, size_t i)
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

	id_new(request_id);
	janitor->asks[i] =
		(struct ask){.janitor = janitor, .id = janitor->overdue.ids[i]};
	snprintf(path, sizeof(path), "/internal/outcomes/%s", janitor->asks[i].id);
	http_client_call(janitor->internal, &call, ask_answered, &janitor->asks[i]);
}

static void ask_more(struct janitor *janitor)
{
	while (!janitor->stopping && !janitor->unreachable &&
	       janitor->asked < janitor->overdue.n &&
	       janitor->asked - janitor->answered < ASK_AT_ONCE)
		ask(janitor, janitor->asked++);
	if (janitor->answered == janitor->asked)
		move_start(janitor);
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

/* One log line a round is enough. */
static void complain(struct janitor *janitor, const struct err *err, const char *id)
{
	if (!janitor->complained)
		log_warn("no outcome of a reservation to be had",
			 LOG_STR("why", err->text), LOG_STR("reservation_id", id));
	janitor->complained = true;
	janitor->again = false;
	metric_add(janitor->failed, 1);
}

static void add_move(struct janitor *janitor, const char *id, enum move_kind kind)
{
	struct order_move *move = &janitor->moves.moves[janitor->moves.n++];

	*move = (struct order_move){.kind = kind};
	str_copy(move->reservation_id, sizeof(move->reservation_id), str_from(id));
}

/* An answer that is no use for this one must not keep the others waiting. */
static void ask_answered(const struct http_answer *answer, const struct err *err,
			 void *arg)
{
	struct ask *ask = arg;
	struct janitor *janitor = ask->janitor;
	struct err why;

	janitor->answered++;
	if (err) {
		/* Not reached: the others will not be either. */
		janitor->unreachable = true;
		complain(janitor, err, ask->id);
		ask_more(janitor);
		return;
	}
	switch (read_outcome(answer, ask->id, &why)) {
	case OUTCOME_COMMITTED: add_move(janitor, ask->id, MOVE_CONFIRM); break;
	case OUTCOME_ABORTED: add_move(janitor, ask->id, MOVE_RELEASE); break;
	case OUTCOME_NONE: complain(janitor, &why, ask->id); break;
	}
	ask_more(janitor);
}

static void move_start(struct janitor *janitor)
{
	if (janitor->stopping)
		return;
	if (!janitor->moves.n)
		sweep_start(janitor);
	else if (FAILPOINT("product_janitor_fenced"))
		round_end(janitor);
	else
		reservation_repo_move(janitor->db, &janitor->moves, move_done);
}

static void move_done(const struct err *err, void *arg)
{
	struct order_moves *moves = arg;
	struct janitor *janitor = moves->owner;

	if (err) {
		round_failed(janitor, "cannot settle overdue reservations", err);
		return;
	}
	metric_add(janitor->confirmed, moves->changed[MOVE_CONFIRM]);
	metric_add(janitor->released, moves->changed[MOVE_RELEASE]);
	log_info("overdue reservations settled",
		 LOG_INT("confirmed", moves->changed[MOVE_CONFIRM]),
		 LOG_INT("released", moves->changed[MOVE_RELEASE]));
	sweep_start(janitor);
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
	janitor->moves = (struct order_moves){.moves = janitor->room, .owner = janitor};
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
