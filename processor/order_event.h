/*
 * order_event.h - what a record of orders-events says.
 *
 * Pure: bytes in, a checked event or the reason for refusing it out.
 */
#ifndef PROCESSOR_ORDER_EVENT_H
#define PROCESSOR_ORDER_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

enum order_type {
	ORDER_CREATED,
	ORDER_CANCELLED,
	ORDER_OTHER /* a type of the future: only user_id and seq are known */
};

#define ORDER_MAX_QUANTITY 1000000000
#define ORDER_MAX_TIME     64 /* bytes of a timestamp */

struct order_event {
	enum order_type type;
	int64_t user_id;  /* > 0; 0: unknown (ORDER_OTHER only) */
	int64_t order_id; /* > 0 */
	int64_t cents;    /* >= 0 */
	int64_t time_ms;  /* since the epoch */
	uint64_t seq;     /* 0: the event has none */
};

/* Why a record goes to the dead letters. */
enum reject_reason {
	REJECT_NONE,
	REJECT_NO_VALUE,
	REJECT_BAD_UTF8,
	REJECT_BAD_JSON,
	REJECT_MISSING_FIELD,
	REJECT_BAD_FIELD,
	REJECT_BAD_AMOUNT,
	REJECT_BAD_TIME,
	REJECT_KEY_MISMATCH,
	REJECT_WRONG_PARTITION,
	REJECT_SEQ_JUMP,
	REJECT_SEQ_LOST, /* not about the record itself: earlier ones are missing */
	REJECT_USER_LIMIT,
	REJECT_COUNT
};

#define REJECT_DETAIL_MAX 512

struct reject {
	enum reject_reason reason;
	char detail[REJECT_DETAIL_MAX]; /* for people */
};

const char *reject_name(enum reject_reason reason); /* "bad_json" */
/* Fills `why`; always returns false. */
bool reject_set(struct reject *why, enum reject_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* `value.at` and `key.at` may be NULL (a record without them). */
bool order_event_parse(struct str value, struct str key, struct order_event *out,
		       struct reject *why) __attribute__((warn_unused_result));

#endif
