/*
 * flight.h - one query for all who ask for the same thing at the same time.
 *
 * Nobody is told what was read before the request came: who joins while a query is
 * on its way shares the next one, which starts when that has ended.  So answers are
 * as fresh as from a query of one's own, and a crowd costs as much as one reader.
 */
#ifndef USER_SVC_FLIGHT_H
#define USER_SVC_FLIGHT_H

#include "db.h"
#include "jw.h"

struct flights;

/* What is asked for: `read` and its two numbers. */
struct flight_key;
/* On a worker: writes the answer as JSON. */
typedef bool (*flight_read)(struct db_conn *conn, const struct flight_key *key,
			    struct jw *w, struct err *err);
struct flight_key {
	flight_read read;
	int64_t a, b;
};

/* On the loop; `err` is NULL on success, then `json` is valid during the call. */
typedef void (*flight_done)(const struct err *err, struct str json, void *arg);

/* `metrics` may be NULL. */
struct flights *flights_new(struct db_pool *db, size_t max_json, struct metrics *metrics);
/* After the pool went, which ends what is on its way. Accepts NULL. */
void flights_free(struct flights *flights);

/* `done` runs exactly once, never before this returns. */
void flight_join(struct flights *flights, struct flight_key key, flight_done done,
		 void *arg);

#endif
