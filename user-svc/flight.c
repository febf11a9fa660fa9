/*
 * flight.c - queries that are on their way, by what they ask for.
 *
 *   flight_join -> start -> run (worker) -> landed -> start again, if some joined
 *
 * A flight is made by the first who joins and freed when it lands and nobody waits
 * for the next.  There are never more flights than waiting requests.
 */
#include "flight.h"

#include <stdlib.h>

#define BUCKETS 256 /* a power of two */

struct member {
	flight_done done;
	void *arg;
	struct member *next;
};

struct flight {
	struct flights *flights;
	struct flight_key key;
	struct member *aboard;                 /* told by this one */
	struct member *waiting, **waiting_end; /* by the next */
	struct jw w;
	struct flight *next; /* in its bucket */
};

struct flights {
	struct db_pool *db;
	size_t max_json;
	struct flight *buckets[BUCKETS];
	struct metric *started, *joined;
};

/* In order of arrival. */
static void add_member(struct flight *flight, flight_done done, void *arg)
{
	struct member *member = xcalloc(1, sizeof(*member));

	member->done = done;
	member->arg = arg;
	*flight->waiting_end = member;
	flight->waiting_end = &member->next;
}

static struct flight **bucket_of(struct flights *flights, const struct flight_key *key)
{
	uint64_t mix = (uint64_t)key->a * 0x9e3779b97f4a7c15u ^ (uint64_t)key->b;

	return &flights->buckets[(mix ^ mix >> 32) % BUCKETS];
}

/* Where the flight's pointer stands, or the end of its bucket. */
static struct flight **find(struct flights *flights, const struct flight_key *key)
{
	struct flight **at = bucket_of(flights, key);

	while (*at && ((*at)->key.read != key->read || (*at)->key.a != key->a ||
		       (*at)->key.b != key->b))
		at = &(*at)->next;
	return at;
}

static bool run(struct db_conn *conn, void *arg, struct err *err)
{
	struct flight *flight = arg;

	if (!flight->key.read(conn, &flight->key, &flight->w, err))
		return false;
	return jw_ok(&flight->w) ||
	       err_set(err, ERR_INTERNAL, "the answer is too big or malformed");
}

static void landed(const struct err *err, void *arg);

static void start(struct flight *flight)
{
	struct flights *flights = flight->flights;

	flight->aboard = flight->waiting;
	flight->waiting = NULL;
	flight->waiting_end = &flight->waiting;
	jw_init(&flight->w, flights->max_json);
	if (flights->started)
		metric_add(flights->started, 1);
	db_run(flights->db, run, landed, flight);
}

static void tell(const struct flight *flight, const struct err *err, struct str json)
{
	struct member *member = flight->aboard;

	while (member) {
		struct member *next = member->next;

		member->done(err, json, member->arg);
		free(member);
		member = next;
	}
}

static void landed(const struct err *err, void *arg)
{
	struct flight *flight = arg;

	tell(flight, err, err ? STR("") : jw_text(&flight->w));
	jw_fini(&flight->w);
	if (flight->waiting) {
		start(flight);
		return;
	}
	*find(flight->flights, &flight->key) = flight->next;
	free(flight);
}

void flight_join(struct flights *flights, struct flight_key key, flight_done done,
		 void *arg)
{
	struct flight **at = find(flights, &key);
	struct flight *flight = *at;

	if (flights->joined)
		metric_add(flights->joined, 1);
	if (flight) {
		add_member(flight, done, arg);
		return;
	}
	flight = xcalloc(1, sizeof(*flight));
	flight->flights = flights;
	flight->key = key;
	flight->waiting_end = &flight->waiting;
	add_member(flight, done, arg);
	*at = flight;
	start(flight);
}

struct flights *flights_new(struct db_pool *db, size_t max_json, struct metrics *metrics)
{
	struct flights *flights = xcalloc(1, sizeof(*flights));

	flights->db = db;
	flights->max_json = max_json;
	if (metrics) {
		flights->joined = metrics_counter(metrics, "shop_user_reads_total",
						  "reads of users", NULL);
		flights->started =
			metrics_counter(metrics, "shop_user_read_queries_total",
					"queries that answered the reads", NULL);
	}
	return flights;
}

void flights_free(struct flights *flights)
{
	free(flights);
}
