/*
 * reservations.h - product-svc's reservations, through the gateway's internal
 * listener.
 */
#ifndef ORDER_SVC_RESERVATIONS_H
#define ORDER_SVC_RESERVATIONS_H

#include "http_client.h"
#include "order.h"
#include "trace.h"

/* How a reserve call ended. */
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
};

/* `client` and `authorization` must stay valid while calls are under way. */
void reservations_reserve(struct http_client *client, const char *authorization,
			  struct reservation *reservation, reservation_cb cb, void *arg);

/* Gives the stock back. Only after the reservation was fenced. Failure is not
 * reported: product-svc's janitor does it then. */
void reservations_release(struct http_client *client, const char *authorization,
			  const char *reservation_id, const struct trace *trace,
			  http_client_cb cb, void *arg);

/* Reads an answer to a reserve call into `reservation`; pure, for tests. */
enum reserve_end reservation_read(struct reservation *reservation, int status,
				  struct str body, struct err *err);

#endif
