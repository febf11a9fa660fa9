/* order_repo_internal.h - what the files of the repository share; all but the
 * first part runs on a thread that owns a connection. */
#ifndef ORDER_SVC_ORDER_REPO_INTERNAL_H
#define ORDER_SVC_ORDER_REPO_INTERNAL_H

#include "batch.h"
#include "db_clock.h"
#include "order_repo.h"

struct order_repo {
	struct loop *loop;
	struct db_pool *pool;
	struct batch_stage *records, *lookups, *refusals;
	struct db_clock clock;
};

/* ---- on the loop ---- */

/* Runs `job` on a worker of the pool and tells `op`. `op` is the first member of
 * `call`, which is the job's argument; so it is for a stage's members. */
void order_repo_run(struct order_repo *repo, db_job job, struct order_op *op,
		    db_done done, void *arg);
void order_repo_add(struct order_repo *repo, struct batch_stage *stage, int64_t user_id,
		    struct order_op *op, db_done done, void *arg);

/* ---- the functions of the stages; see batch_fn ---- */

bool order_record_many(struct db_conn *conn, void **members, size_t n, struct err *err);
bool order_lookup_many(struct db_conn *conn, void **members, size_t n, struct err *err);
bool order_refuse_many(struct db_conn *conn, void **members, size_t n, struct err *err);

/* ---- keys ---- */

/* The same user and the same key? Without a key: no. */
bool order_same_key(const struct order_wish *a, const struct order_wish *b);

struct order_key_row {
	const struct order_wish *wish;
	int status;
	struct str reply;
	int64_t order_id; /* 0: none */
};
/* Sorts the rows, so that nobody waits for another in a circle. n <= BATCH_MAX. */
bool order_insert_keys(struct db_conn *conn, struct order_key_row *rows, size_t n,
		       struct err *err);
/* found[i]: there is an answer under the key of wishes[i]. n <= BATCH_MAX. */
bool order_find_keys(struct db_conn *conn, const struct order_wish *const *wishes,
		     size_t n, bool *found, struct err *err);

/* ---- numbers ---- */

struct order_numbers {
	int64_t user_id, count;
	int64_t last; /* filled: the user's are last - count + 1 … last */
};
/* Takes the next `count` event numbers of each user, and the database's clock. Users
 * ascending, each once; n <= BATCH_MAX.  Their rows stay locked until the transaction
 * ends: so one user's events commit in the order of seq and of outbox.id. */
bool order_take_numbers(struct db_conn *conn, struct order_numbers *users, size_t n,
			int64_t *now, struct err *err);

/* ---- events ---- */

/* An event's number, and when it happened. */
struct order_turn {
	int64_t seq, now;
};

/* A row of the outbox. */
struct order_event_row {
	int64_t user_id;
	char event_id[ID_HEX_LEN + 1];
	char at[DB_TIME_TEXT_MAX];
	const struct trace *trace;
	struct jw payload;
};
/* order_event_row_fini() either way. */
bool order_event_row_init(struct order_event_row *row, const struct order *order,
			  const char *type, const struct order_turn *turn,
			  const struct trace *trace, struct err *err);
void order_event_row_fini(struct order_event_row *row);
/* In the order in which they are to reach Kafka. n <= BATCH_MAX. */
bool order_insert_events(struct db_conn *conn, const struct order_event_row *rows,
			 size_t n, struct err *err);

/* ---- rows ---- */

#define ORDER_COLUMNS                                                         \
	"id, user_id, status, total_price, reservation_id, seq, created_at, " \
	"cancelled_at"
/* A row of ORDER_COLUMNS, without its lines. */
bool order_from_row(struct order *order, const struct db_rows *rows, size_t row,
		    struct err *err);
/* The lines of one order. */
bool order_load_lines(struct db_conn *conn, struct order *order, struct err *err);

#endif
