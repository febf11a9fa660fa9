/*
 * notification.h - what a notification is: made from an order event or by hand,
 * tried with growing pauses, sent or given up.  Pure.
 */
#ifndef NOTIFY_SVC_NOTIFICATION_H
#define NOTIFY_SVC_NOTIFICATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "jw.h"
#include "str.h"

#define NOTICE_EVENT_MAX   64
#define NOTICE_TYPE_MAX    32
#define NOTICE_SUBJECT_MAX 200   /* characters */
#define NOTICE_BODY_MAX    10000 /* characters */
#define NOTICE_ERROR_MAX   250
/* One as JSON: six bytes for each character at most. */
#define NOTICE_JSON_MAX (6 * (NOTICE_SUBJECT_MAX + NOTICE_BODY_MAX) + 1024)

enum notice_state { NOTICE_PENDING, NOTICE_SENDING, NOTICE_SENT, NOTICE_FAILED };

struct notice {
	int64_t id;
	int64_t user_id;
	int64_t order_id;                    /* 0: not about an order */
	char event_id[NOTICE_EVENT_MAX + 1]; /* unique together with the channel */
	char type[NOTICE_TYPE_MAX + 1];      /* "order.created", "message" */
	char *subject, *body;                /* owned by the notice */
	enum notice_state state;
	int64_t tries;
	char last_error[NOTICE_ERROR_MAX + 1]; /* "": none */
	int64_t created_at, sent_at;           /* wall ms; 0: not yet */
};

void notice_fini(struct notice *notice);

/* What a record of `orders-events` is to us. */
enum notice_kind {
	NOTICE_MADE,
	NOTICE_IGNORED, /* a type that we do not know */
	NOTICE_POISON   /* not understood; `err` says why */
};

/* NOTICE_MADE: `out` is filled and has to be finished by the caller. */
enum notice_kind notice_from_event(struct str value, struct notice *out, struct err *err);

/* A message by hand: {"user_id","subject","body"}. The event id is new, or comes
 * from `key` (an Idempotency-Key; .at == NULL: none). */
bool notice_from_request(struct str body, struct str key, struct notice *out,
			 struct err *err) __attribute__((warn_unused_result));

/* Have both the same text for the same user? */
bool notice_same(const struct notice *a, const struct notice *b);

/* `with_error`: also why the last try failed, which is for operators only. */
void notice_write(struct jw *w, const struct notice *notice, bool with_error);
const char *notice_state_name(enum notice_state state);
bool notice_state_parse(struct str name, enum notice_state *out);

/* Pause in ms after the try number `tries` (1: the first) failed: 0.5 s doubled
 * up to 10 min, of which `random` takes off up to a half. */
int64_t notice_pause_ms(int64_t tries, uint32_t random);

/* At most `rate` a second on average, a second's worth at once. */
struct pace {
	int64_t rate;
	int64_t tokens_ms; /* tokens times 1000 */
	int64_t at_ms;     /* monotonic */
};
void pace_init(struct pace *pace, int64_t rate, int64_t now_ms);
/* How many of `want` may go now; takes them. */
size_t pace_take(struct pace *pace, size_t want, int64_t now_ms);
/* Gives back what was taken and not used. */
void pace_return(struct pace *pace, size_t n);

#endif
