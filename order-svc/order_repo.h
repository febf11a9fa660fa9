/*
 * order_repo.h - SQL <-> order.
 *
 * One order per call, each with its own outcome; those that wait while a
 * transaction commits share the next one (common/batch.h), and nobody sees it.
 * Every call takes a struct that the caller owns and keeps until `done` has run
 * (on the loop, exactly once); the answer is in it.  `err` of `done` is for
 * failures only: "fenced" or "the key is taken" are answers.
 */
#ifndef ORDER_SVC_ORDER_REPO_H
#define ORDER_SVC_ORDER_REPO_H

#include "db.h"
#include "order.h"
#include "trace.h"

struct order_repo;

struct order_repo_config {
	/* Connections: that record orders (a user's orders all on one of them), that
	 * look up keys, and as many that store refusals. */
	int64_t record_lanes, key_lanes;
	int64_t max_batch; /* orders of one transaction */
	int64_t max_queue; /* orders that may wait for one connection */
};

/* `pool` must outlive it. */
struct order_repo *order_repo_new(struct loop *loop, struct db_pool *pool,
				  const struct order_repo_config *cfg,
				  struct metrics *metrics, struct err *err);
/* What waits ends with ERR_BUSY before this returns. Accepts NULL. */
void order_repo_free(struct order_repo *repo);

/* First member of every call: where its answer goes. Filled by the call. */
struct order_op {
	struct order_repo *repo;
	db_done done;
	void *arg;
};

/* ---- placing ---- */

/* The stored answer under a key, and the database's clock. Without a key the
 * database is not asked, as long as its clock is known from others' calls. */
struct order_lookup {
	struct order_op op;
	const struct order_wish *wish;
	int64_t t0; /* wall ms of the database, or a little earlier */
	bool found;
	char body_hash[ORDER_HASH_LEN + 1];
	int status;
	int64_t order_id; /* 0: a refusal */
	char *reply;      /* JSON; free with order_lookup_fini() */
};
void order_repo_lookup(struct order_repo *repo, struct order_lookup *lookup, db_done done,
		       void *arg);
void order_lookup_fini(struct order_lookup *lookup);

enum order_record_end {
	ORDER_RECORDED,  /* order.id, order.seq, order.created_at and reply are filled */
	ORDER_FENCED,    /* the reservation was given up before */
	ORDER_TOO_LATE,  /* the database's clock is past `deadline` */
	ORDER_KEY_TAKEN, /* a twin under the same key was first */
	ORDER_UNKNOWN    /* the connection broke during COMMIT: settle it */
};

/* Writes the reserved order, its answer and its event in one transaction. */
struct order_record {
	struct order_op op;
	struct order_wish *wish; /* order: lines with prices, total, reservation_id */
	int64_t deadline;        /* database clock, wall ms: no commit after it */
	const struct trace *trace;
	enum order_record_end end;
	char *reply; /* JSON of the 201; free with order_record_fini() */
};
void order_repo_record(struct order_repo *repo, struct order_record *record, db_done done,
		       void *arg);
void order_record_fini(struct order_record *record);

/* Makes a refusal final for its key. */
struct order_refusal {
	struct order_op op;
	const struct order_wish *wish;
	int status;
	struct str reply;
	bool taken; /* another answer is stored already: look it up */
};
void order_repo_refuse(struct order_repo *repo, struct order_refusal *refusal,
		       db_done done, void *arg);

/* Commit or fence: what became of a reservation? Undecided ones are fenced, and
 * that stands. */
struct order_settle {
	struct order_op op;
	char reservation_id[ID_HEX_LEN + 1];
	bool committed;
	/* Want the order of a committed one? NULL: no. Free with order_fini(). */
	struct order *order;
};
void order_repo_settle(struct order_repo *repo, struct order_settle *settle, db_done done,
		       void *arg);

/* ---- cancelling and reading ---- */

struct order_find {
	struct order_op op;
	int64_t id;
	bool found;
	struct order order; /* free with order_fini() */
};
void order_repo_find(struct order_repo *repo, struct order_find *find, db_done done,
		     void *arg);

struct order_cancel {
	struct order_op op;
	int64_t id, user_id; /* the order's, as order_repo_find() said */
	const struct trace *trace;
	bool found;
	bool changed;       /* false: it was cancelled before */
	struct order order; /* as it is now; free with order_fini() */
};
void order_repo_cancel(struct order_repo *repo, struct order_cancel *cancel, db_done done,
		       void *arg);

/* Newest first. */
struct order_list {
	struct order_op op;
	int64_t user_id;   /* 0: of all users */
	int64_t before_id; /* orders older than this one */
	int64_t limit;
	size_t n;
	struct order *orders; /* free with order_list_fini() */
	bool more;            /* there are older ones */
};
void order_repo_list(struct order_repo *repo, struct order_list *list, db_done done,
		     void *arg);
void order_list_fini(struct order_list *list);

/* ---- housekeeping ---- */

/* Deletes one small batch each of fences and of keys that are past their time. */
struct order_sweep {
	struct order_op op;
	int64_t fence_age_s, key_age_s;
	bool more; /* at least one batch was full */
};
void order_repo_sweep(struct order_repo *repo, struct order_sweep *sweep, db_done done,
		      void *arg);

#endif
