/* order_repo_internal.h - what the files of the repository share; all of it runs
 * on a database worker. */
#ifndef ORDER_SVC_ORDER_REPO_INTERNAL_H
#define ORDER_SVC_ORDER_REPO_INTERNAL_H

#include "order_repo.h"

struct order_repo {
	struct db_pool *pool;
};

/* Runs `job` on a worker and tells `op` on the loop. `op` is the first member of
 * `call`, which is the job's argument. */
void order_repo_run(struct order_repo *repo, db_job job, struct order_op *op,
		    db_done done, void *arg);

/* Takes the user's next event number and the database's clock. Keeps the user's
 * row locked until the transaction ends: so one user's orders commit in the
 * order of seq and of outbox.id. */
struct order_turn {
	int64_t seq, now;
};
bool order_next_turn(struct db_conn *conn, int64_t user_id, struct order_turn *turn,
		     struct err *err);

bool order_insert_event(struct db_conn *conn, const struct order *order, const char *type,
			const struct order_turn *turn, const struct trace *trace,
			struct err *err);

#define ORDER_DB_TIME_MAX 32
/* "2025-11-24 21:13:22.123"; dst holds ORDER_DB_TIME_MAX bytes. */
struct str order_db_time(char *dst, int64_t wall_ms);

#define ORDER_COLUMNS                                                         \
	"id, user_id, status, total_price, reservation_id, seq, created_at, " \
	"cancelled_at"
/* A row of ORDER_COLUMNS, without its lines. */
bool order_from_row(struct order *order, const struct db_rows *rows, size_t row,
		    struct err *err);
/* The lines of one order. */
bool order_load_lines(struct db_conn *conn, struct order *order, struct err *err);

#endif
