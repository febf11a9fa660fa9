/*
 * notify_repo.h - notifications in the database; the only SQL of notify-svc.
 *
 * Each operation is a struct of the caller's, which must stay until `done` ran
 * (on the loop, exactly once; `err` is NULL on success).
 */
#ifndef NOTIFY_SVC_NOTIFY_REPO_H
#define NOTIFY_SVC_NOTIFY_REPO_H

#include "db.h"
#include "id.h"
#include "notification.h"

#define REPO_MAX_CLAIM 16

struct repo_op {
	db_done done; /* filled by the repository */
	void *arg;
};

/* Stores those whose (event, channel) is new. */
struct notice_store {
	struct repo_op op;
	const struct notice *notices;
	size_t n;
	size_t stored; /* filled */
};
void notify_repo_store(struct db_pool *db, struct notice_store *store, db_done done,
		       void *arg);

/* Stores one and reads back what is stored under its event id. */
struct notice_add {
	struct repo_op op;
	const struct notice *notice;
	bool fresh;           /* filled: it was not there yet */
	struct notice stored; /* filled; finished by the caller */
};
void notify_repo_add(struct db_pool *db, struct notice_add *add, db_done done, void *arg);

/* Newest first, before an id. */
struct notice_list {
	struct repo_op op;
	int64_t user_id; /* 0: all users */
	int64_t before_id, limit;
	struct notice *notices; /* filled; see notice_list_fini() */
	size_t n;
	bool more;
};
void notify_repo_list(struct db_pool *db, struct notice_list *list, db_done done,
		      void *arg);
void notice_list_fini(struct notice_list *list);

/* Takes up to `max` notifications that are due, under a lease: of each user the first,
 * and nothing while another one of his is being sent, by any instance. */
struct notice_claim {
	struct repo_op op;
	size_t max; /* at most REPO_MAX_CLAIM */
	int64_t lease_s;
	char lease[ID_HEX_LEN + 1];            /* filled */
	struct notice notices[REPO_MAX_CLAIM]; /* filled; finished by the caller */
	size_t n;
	size_t missed; /* filled: another instance was faster, there may be more */
};
void notify_repo_claim(struct db_pool *db, struct notice_claim *claim, db_done done,
		       void *arg);

/* Claimed ones that take long: their leases last for lease_s from now. Does nothing to
 * those whose lease was lost. */
struct notice_renewal {
	struct repo_op op;
	int64_t lease_s;
	struct {
		int64_t id;
		char lease[ID_HEX_LEN + 1];
	} of[REPO_MAX_CLAIM];
	size_t n;
};
void notify_repo_renew(struct db_pool *db, struct notice_renewal *renewal, db_done done,
		       void *arg);

/* What became of a claimed one. Changes nothing when the lease was lost. */
struct notice_outcome {
	struct repo_op op;
	int64_t id;
	char lease[ID_HEX_LEN + 1];
	enum notice_state state; /* NOTICE_PENDING: again after pause_ms */
	int64_t pause_ms;
	bool untried; /* not begun: the try does not count */
	char error[NOTICE_ERROR_MAX + 1];
	bool lost; /* filled */
};
void notify_repo_settle(struct db_pool *db, struct notice_outcome *outcome, db_done done,
			void *arg);

/* Those waiting: how many, and for how long the next one has been due. */
struct notice_backlog {
	struct repo_op op;
	int64_t max;                         /* counting ends there */
	int64_t pending, failed, overdue_ms; /* filled */
};
void notify_repo_backlog(struct db_pool *db, struct notice_backlog *backlog, db_done done,
			 void *arg);

/* Deletes some of those that were sent or given up `keep_days` ago. */
struct notice_sweep {
	struct repo_op op;
	int64_t keep_days;
	uint64_t deleted; /* filled */
	bool more;        /* filled: there may be more */
};
void notify_repo_sweep(struct db_pool *db, struct notice_sweep *sweep, db_done done,
		       void *arg);

#endif
