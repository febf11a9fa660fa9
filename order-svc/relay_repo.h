/* relay_repo.h - the relay's SQL; all of it on the relay's own connection, whose
 * loss gives up the lock. */
#ifndef ORDER_SVC_RELAY_REPO_H
#define ORDER_SVC_RELAY_REPO_H

#include "db.h"

struct relay_row {
	int64_t id, user_id;
	struct str event_id, payload, traceparent,
		request_id; /* borrowed from the rows */
};

/* Becomes the leader of `shard` if nobody is. false: `err`. */
bool relay_repo_lock(struct db_conn *conn, int64_t shard, bool *leader, struct err *err);

/* The next events in order, without those of users who wait behind a row that
 * was set aside. `row` holds `limit` entries, valid until db_rows_free(*rows). */
bool relay_repo_read(struct db_conn *conn, int64_t limit, struct relay_row *row,
		     size_t *n, struct db_rows **rows, struct err *err);

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
