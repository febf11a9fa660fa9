/*
 * placement.h - one order on its way; shared by the files that take it further:
 * place.c (forward), undo.c (back), answer.c (the end).
 *
 * A placement lives as long as its request, which stays until it is answered,
 * also when the client has gone.  From the moment in which stock may be held,
 * every failure goes through undo(): fence, give the stock back, then answer.
 */
#ifndef ORDER_SVC_PLACEMENT_H
#define ORDER_SVC_PLACEMENT_H

#include "app.h"
#include "reservations.h"

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

/* undo.c: `why` is the answer to give when the order turns out not to exist; NULL
 * when a twin's answer is given instead. */
void undo(struct placement *p, const struct err *why);
/* The order took too long; or nobody knows what became of it. */
void undo_aborted(struct placement *p);
void undo_unknown(struct placement *p);
/* A twin was first: give its answer. */
void undo_replay(struct placement *p);

/* answer.c: each ends the placement. */
void answer_err(struct placement *p, const struct err *err);
/* Is the process ending? Then nothing may be started any more, and it is answered. */
bool answer_stopped(struct placement *p);
void answer_in_progress(struct placement *p);
/* Placed just now; found under the key; a final refusal. */
void answer_new(struct placement *p, int64_t order_id, struct str body);
void answer_stored(struct placement *p);
void answer_problem(struct placement *p, int status, struct str kept);

#endif
