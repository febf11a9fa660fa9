/*
 * relay_repo.h - the relay's SQL; all of it on the relay's own connection.
 *
 * Being a member and holding a shard are named locks of that connection: when it
 * is lost, so are they, and others take over.
 */
#ifndef ORDER_SVC_RELAY_REPO_H
#define ORDER_SVC_RELAY_REPO_H

#include "db.h"
#include "relay_shards.h"

/* More relay threads than shards would be of no use. */
#define RELAY_MEMBERS RELAY_SHARDS

/* ---- relay_locks_repo.c ---- */

/* Becomes one of the members; -1: there are enough. */
bool relay_repo_join(struct db_conn *conn, int *member, struct err *err);

struct relay_others {
	unsigned members; /* a set of numbers, ourselves included */
	relay_shards unheld;
};
bool relay_repo_others(struct db_conn *conn, struct relay_others *others,
		       struct err *err);

bool relay_repo_take(struct db_conn *conn, unsigned shard, bool *taken, struct err *err);
bool relay_repo_give(struct db_conn *conn, unsigned shard, struct err *err);

/* ---- relay_repo.c ---- */

struct relay_row {
	int64_t id, user_id;
	struct str event_id, payload, traceparent,
		request_id; /* borrowed from the rows */
};

struct relay_batch {
	struct relay_row *row;
	size_t max;           /* rows are wanted, and RELAY_SHARDS more have room */
	size_t n;             /* filled */
	bool more;            /* filled: there is more than was read */
	struct db_rows *rows; /* filled; the rows are valid until db_rows_free() */
};
/* The next events of these shards, in order within each, without those of users
 * who wait behind a row that was set aside, and of those named in `without`: numbers
 * with commas between. */
bool relay_repo_read(struct db_conn *conn, relay_shards shards, const char *without,
		     struct relay_batch *batch, struct err *err);

/* Deletes exactly these rows. */
bool relay_repo_delete(struct db_conn *conn, const int64_t *ids, size_t n,
		       struct err *err);

/* The row can never be delivered: it and the user's later ones wait for a person. */
bool relay_repo_set_aside(struct db_conn *conn, const struct relay_row *row,
			  const char *reason, struct err *err);

struct relay_backlog {
	int64_t depth;  /* counted up to RELAY_DEPTH_MAX */
	int64_t age_ms; /* of the oldest row; 0: empty */
	int64_t set_aside;
};
#define RELAY_DEPTH_MAX 100000
bool relay_repo_measure(struct db_conn *conn, struct relay_backlog *backlog,
			struct err *err);

#endif
