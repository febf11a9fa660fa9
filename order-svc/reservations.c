/*
 * reservations.c - calls to product-svc: one order alone, or many in one request.
 *
 *   reservations_reserve -> waiting -> send_all -> on_answer -> cb
 *
 * What comes in one turn of the loop goes out together at its end.
 */
#include "reservations.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "timeutil.h"

#define RESERVE_MS  3000 /* of an order, waiting included */
#define CALL_MIN_MS 250
#define RELEASE_MS  2000
/* Of one call; product-svc takes no more. */
#define CALL_MEMBERS 64
#define CALL_LINES   256
#define BODY_MAX     (64 * 1024)

TAILQ_HEAD(reservation_list, reservation);

struct reservations {
	struct loop_timer *soon; /* send_all, at the end of this turn */
	struct http_client *client;
	const char *authorization;
	struct reservation_list waiting;
	unsigned calls, max_calls;
	bool due, stopping; /* soon is running; nothing is sent any more */
	struct metric *calls_total, *members;
};

struct reserve_call {
	struct reservations *owner;
	size_t n;
	struct reservation *member[CALL_MEMBERS];
};

/* ---- answers ---- */

/* No answer.  Not sent means nothing is held; all else leaves it open.  The text of
 * `err` names machines of ours: it is not for customers. */
static enum reserve_end failed(const struct err *err, struct err *why)
{
	*why = *err;
	snprintf(why->text, sizeof(why->text),
		 "stock cannot be reserved just now; try again");
	why->retry_after_s = 1;
	return err->code == ERR_BUSY ? RESERVE_NOT_SENT : RESERVE_UNKNOWN;
}

static void send_soon(struct reservations *reservations);

static void call_done(struct reserve_call *call)
{
	call->owner->calls--;
	send_soon(call->owner);
	free(call);
}

/* Does it say of each what became of it (409: all were refused)?  Otherwise it speaks of
 * the call, and counts for every member. */
static bool speaks_of_each(const struct reserve_call *call,
			   const struct http_answer *answer, json_t *doc)
{
	return call->n > 1 &&
	       (answer->status == 200 ||
		(answer->status == 409 && json_object_get(doc, "results")));
}

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct reserve_call *call = arg;
	json_t *doc = err ? NULL : js_parse_object(answer->body, NULL);

	if (err)
		log_warn("no answer about stock", LOG_STR("why", err->text),
			 LOG_INT("orders", (int64_t)call->n));
	for (size_t i = 0; i < call->n; i++) {
		struct reservation *reservation = call->member[i];
		enum reserve_end end;
		struct err why = {0};

		if (err)
			end = failed(err, &why);
		else if (speaks_of_each(call, answer, doc))
			end = reservation_read_of_many(reservation, doc, &why);
		else
			end = reservation_read(reservation, answer->status, doc, &why);
		reservation->cb(end, &why, reservation->arg);
	}
	json_decref(doc);
	call_done(call);
}

/* ---- calls ---- */

static void write_reservation(struct jw *w, const struct reservation *reservation)
{
	const struct order *order = reservation->order;

	jw_object(w);
	jw_kint(w, "ttl_s", reservation->ttl_s);
	jw_kstrz(w, "key_hash", *reservation->key_hash ? reservation->key_hash : NULL);
	jw_key(w, "lines");
	jw_array(w);
	for (unsigned i = 0; i < order->n_lines; i++) {
		jw_object(w);
		jw_kstrz(w, "product_id", order->lines[i].product_id);
		jw_kint(w, "quantity", order->lines[i].quantity);
		jw_end(w);
	}
	jw_end(w);
	jw_end(w);
}

static void write_many(struct jw *w, const struct reserve_call *call)
{
	jw_object(w);
	jw_key(w, "reservations");
	jw_object(w);
	for (size_t i = 0; i < call->n; i++) {
		jw_key(w, call->member[i]->order->reservation_id);
		write_reservation(w, call->member[i]);
	}
	jw_end(w);
	jw_end(w);
}

/* The first has waited the longest. */
static int time_left(const struct reservation *first)
{
	int64_t left = RESERVE_MS - (time_mono_ms() - first->asked_ms);

	return left > CALL_MIN_MS ? (int)left : CALL_MIN_MS;
}

/* The ids in the headers are those of the first member. */
static void send_call(struct reserve_call *call)
{
	struct reservations *reservations = call->owner;
	const struct reservation *first = call->member[0];
	struct http_header_pair headers[TRACE_HEADERS];
	bool alone = call->n == 1;
	struct http_call spec = {.method = "PUT",
				 .headers = headers,
				 .timeout_ms = time_left(first),
				 .path = "/internal/reservations",
				 .label = "/internal/reservations"};
	char path[64];
	struct jw w;

	jw_init(&w, BODY_MAX);
	if (alone) {
		snprintf(path, sizeof(path), "/internal/reservations/%s",
			 first->order->reservation_id);
		spec.path = path;
		spec.label = "/internal/reservations/:id";
		write_reservation(&w, first);
	} else {
		write_many(&w, call);
	}
	trace_headers(first->trace, reservations->authorization, headers);
	spec.body = jw_text(&w);
	reservations->calls++;
	if (reservations->calls_total) {
		metric_add(reservations->calls_total, 1);
		metric_add(reservations->members, (int64_t)call->n);
	}
	http_client_call(reservations->client, &spec, on_answer, call);
	jw_fini(&w);
}

/* ---- waiting ---- */

static struct reservation *take_first(struct reservations *reservations)
{
	struct reservation *first = TAILQ_FIRST(&reservations->waiting);

	if (first)
		TAILQ_REMOVE(&reservations->waiting, first, waiting);
	return first;
}

static void not_sent(struct reservation *reservation, const char *text)
{
	struct err why;

	err_set(&why, ERR_BUSY, "%s", text);
	why.retry_after_s = 1;
	reservation->cb(RESERVE_NOT_SENT, &why, reservation->arg);
}

/* Those whose time is over while product-svc was slow. */
static void give_up_old(struct reservations *reservations)
{
	int64_t oldest = time_mono_ms() - RESERVE_MS;
	struct reservation *first;

	while ((first = TAILQ_FIRST(&reservations->waiting)) && first->asked_ms < oldest)
		not_sent(take_first(reservations),
			 "stock cannot be reserved just now; try again");
}

static void send_next(struct reservations *reservations)
{
	struct reserve_call *call = xcalloc(1, sizeof(*call));
	struct reservation *next;
	unsigned lines = 0;

	call->owner = reservations;
	while (call->n < CALL_MEMBERS && (next = TAILQ_FIRST(&reservations->waiting))) {
		lines += next->order->n_lines;
		if (call->n > 0 && lines > CALL_LINES)
			break;
		call->member[call->n++] = take_first(reservations);
	}
	send_call(call);
}

static void send_all(void *arg)
{
	struct reservations *reservations = arg;

	reservations->due = false;
	give_up_old(reservations);
	while (!TAILQ_EMPTY(&reservations->waiting) &&
	       reservations->calls < reservations->max_calls)
		send_next(reservations);
}

static void send_soon(struct reservations *reservations)
{
	/* Not started again while it is due: that would put it off. */
	if (reservations->due || reservations->stopping ||
	    TAILQ_EMPTY(&reservations->waiting) ||
	    reservations->calls >= reservations->max_calls)
		return;
	reservations->due = true;
	loop_timer_start(reservations->soon, 0);
}

void reservations_reserve(struct reservations *reservations,
			  struct reservation *reservation, reservation_cb cb, void *arg)
{
	assert(!reservations->stopping);
	reservation->cb = cb;
	reservation->arg = arg;
	reservation->asked_ms = time_mono_ms();
	TAILQ_INSERT_TAIL(&reservations->waiting, reservation, waiting);
	send_soon(reservations);
}

void reservations_release(struct reservations *reservations, const char *reservation_id,
			  const struct trace *trace, http_client_cb cb, void *arg)
{
	struct http_header_pair headers[TRACE_HEADERS];
	struct http_call call = {.method = "PUT",
				 .headers = headers,
				 .timeout_ms = RELEASE_MS,
				 .label = "/internal/reservations/:id/release"};
	char path[80];

	snprintf(path, sizeof(path), "/internal/reservations/%s/release", reservation_id);
	call.path = path;
	trace_headers(trace, reservations->authorization, headers);
	http_client_call(reservations->client, &call, cb, arg);
}

/* ---- life ---- */

struct reservations *reservations_new(struct loop *loop, struct http_client *client,
				      const char *authorization, unsigned calls,
				      struct metrics *metrics)
{
	struct reservations *reservations = xcalloc(1, sizeof(*reservations));

	reservations->soon = loop_timer_new(loop, send_all, reservations);
	reservations->client = client;
	reservations->authorization = authorization;
	reservations->max_calls = calls;
	TAILQ_INIT(&reservations->waiting);
	if (!metrics)
		return reservations;
	reservations->calls_total =
		metrics_counter(metrics, "shop_reserve_calls_total",
				"Calls to product-svc that asked for stock", NULL);
	reservations->members = metrics_counter(metrics, "shop_reserve_members_total",
						"Orders that these calls were for", NULL);
	return reservations;
}

void reservations_stop(struct reservations *reservations)
{
	if (!reservations)
		return;
	reservations->stopping = true;
	loop_timer_stop(reservations->soon);
	while (!TAILQ_EMPTY(&reservations->waiting))
		not_sent(take_first(reservations), "the process is stopping");
}

void reservations_free(struct reservations *reservations)
{
	if (reservations)
		loop_timer_free(reservations->soon);
	free(reservations);
}
