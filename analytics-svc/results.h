/*
 * results.h - what a record of `analytics-results` says.  Pure.
 *
 * Keys: u:<user>, w:<start>:<partition>, p:<partition>.  Values are absolute and
 * carry a version that goes up per key; no value means that the key is gone.
 */
#ifndef ANALYTICS_SVC_RESULTS_H
#define ANALYTICS_SVC_RESULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

#define RESULT_MAX_PARTITION 4095

enum result_type {
	RESULT_UNKNOWN, /* a key of a kind that we do not know: skip it */
	RESULT_USER,
	RESULT_WINDOW,
	RESULT_PARTITION
};

/* Amounts in cents. */
struct sums {
	int64_t orders, revenue; /* gross */
	int64_t cancelled, refunded;
};

struct result {
	enum result_type type;
	bool gone; /* only the key is known */
	int64_t version;
	/* RESULT_USER */
	int64_t user_id, orders, spent;
	int64_t last_order_ms; /* 0: none */
	/* RESULT_WINDOW: start in seconds since the epoch, one minute long */
	int64_t start, users;
	bool final;
	struct sums sums; /* of the window */
	/* RESULT_WINDOW, RESULT_PARTITION */
	int32_t partition;
	struct sums late, folded;
};

/* `value.at` is NULL for a tombstone. */
bool result_decode(struct str key, struct str value, struct result *out, struct err *err)
	__attribute__((warn_unused_result));

#endif
