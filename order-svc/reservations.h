/*
 * reservations.h - product-svc's reservations, through the gateway's internal
 * listener.
 *
 * Orders that want stock while a call is under way share the next one, as they share
 * transactions (common/batch.h): no timer, a lone order is sent at once.  Each has its
 * own answer.
 */
#ifndef ORDER_SVC_RESERVATIONS_H
#define ORDER_SVC_RESERVATIONS_H

#include <sys/queue.h>

#include "http_client.h"
#include "js.h"
#include "order.h"
#include "trace.h"

/* How a reservation ended. */
enum reserve_end {
	RESERVE_OK,          /* prices and names are in the order's lines */
	RESERVE_SHORT,       /* final refusal: see `shortage` */
	RESERVE_IN_PROGRESS, /* an earlier attempt under the key holds the stock */
	RESERVE_REFUSED,     /* `err`; nothing is held */
	RESERVE_NOT_SENT,    /* `err`; not sent, or turned away: nothing is held */
	RESERVE_UNKNOWN      /* `err`; stock may be held: settle and release */
};

struct reservation;
/* On the loop, exactly once. `err` is filled unless RESERVE_OK or _SHORT. */
typedef void (*reservation_cb)(enum reserve_end end, const struct err *err, void *arg);

/* Owned by the caller until the callback has run. */
struct reservation {
	struct order *order;  /* reservation_id and lines; prices are filled in */
	const char *key_hash; /* "": the client gave no key */
	int64_t ttl_s;
	const struct trace *trace;
	struct order_shortage shortage;
	/* private */
	reservation_cb cb;
	void *arg;
	int64_t asked_ms;
	TAILQ_ENTRY(reservation) waiting;
};

struct reservations;

/* At most `calls` are under way at a time.  `client` and `authorization` must stay
 * valid; the client is freed after reservations_stop() and before
 * reservations_free(). */
struct reservations *reservations_new(struct loop *loop, struct http_client *client,
				      const char *authorization, unsigned calls,
				      struct metrics *metrics);
/* Those that wait end with RESERVE_NOT_SENT before this returns. */
void reservations_stop(struct reservations *reservations);
void reservations_free(struct reservations *reservations);

/* Not after reservations_stop().  How many may wait is the caller's to bound
 * (MAX_PLACING); who waited 3 s ends with RESERVE_NOT_SENT. */
void reservations_reserve(struct reservations *reservations,
			  struct reservation *reservation, reservation_cb cb, void *arg);

/* Gives the stock back. Only after the reservation was fenced. Failure is not
 * reported: product-svc's janitor does it then. */
void reservations_release(struct reservations *reservations, const char *reservation_id,
			  const struct trace *trace, http_client_cb cb, void *arg);

/* reservation_answer.c: reads the answer to a call for one, or what an answer to a
 * call for many says of it, into `reservation`; pure. `doc` may be NULL. */
enum reserve_end reservation_read(struct reservation *reservation, int status,
				  json_t *doc, struct err *err);
enum reserve_end reservation_read_of_many(struct reservation *reservation, json_t *doc,
					  struct err *err);

#endif
