/*
 * order_numbers_repo.c - the numbers of users' events: each user's go up by one, in
 * the order in which they commit.
 *
 * The upper 16 bits are an epoch.  A raised one lifts every number at its next use,
 * also of users whose row a restore took away.
 */
#include <inttypes.h>

#include "order_repo_internal.h"

#define EPOCH_SHIFT 48

static bool count_up(struct db_conn *conn, const struct order_numbers *users, size_t n,
		     struct err *err)
{
	static const struct db_many upsert = {
		.head = "INSERT INTO user_seq (user_id, seq) VALUES ",
		.row = "(?, ?)",
		.tail = " ON DUPLICATE KEY UPDATE seq = seq + VALUES(seq)",
	};
	struct db_arg args[BATCH_MAX * 2];

	for (size_t i = 0; i < n; i++) {
		args[2 * i] = DB_I(users[i].user_id);
		args[2 * i + 1] = DB_I(users[i].count);
	}
	return db_exec_many(conn, &upsert, args, 2, n, NULL, err);
}

/* `rows`: one a user, both by user. */
static bool fill_last(struct order_numbers *users, size_t n, const struct db_rows *rows,
		      struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		if (i >= db_rows_count(rows) || db_int(rows, i, 0) != users[i].user_id)
			return err_set(err, ERR_INTERNAL,
				       "user %" PRId64 " has no number",
				       users[i].user_id);
		users[i].last = db_int(rows, i, 1);
	}
	return true;
}

static bool read_back(struct db_conn *conn, struct order_numbers *users, size_t n,
		      int64_t *epoch, int64_t *now, struct err *err)
{
	static const struct db_many select = {
		/* A plan made while the table was small would read all of it. */
		.head = "SELECT user_id, seq, (SELECT epoch FROM seq_epoch),"
			" UTC_TIMESTAMP(3) FROM user_seq FORCE INDEX (PRIMARY)"
			" WHERE user_id IN (",
		.row = "?",
		.tail = ") ORDER BY user_id",
	};
	struct db_arg ids[BATCH_MAX] = {0};
	struct db_rows *rows;
	bool ok;

	for (size_t i = 0; i < n; i++)
		ids[i] = DB_I(users[i].user_id);
	if (!db_query_many(conn, &select, NULL, 0, ids, 1, n, &rows, err))
		return false;
	ok = fill_last(users, n, rows, err);
	if (ok) {
		*epoch = db_int(rows, 0, 2);
		*now = db_time(rows, 0, 3);
	}
	db_rows_free(rows);
	return ok;
}

static bool lift(struct db_conn *conn, struct order_numbers *users, size_t n,
		 int64_t epoch, struct err *err)
{
	static const struct db_many update = {
		.head = "UPDATE user_seq SET seq = CASE user_id ",
		.row = "WHEN ? THEN ?",
		.between = " ",
		.again = " ELSE seq END WHERE user_id IN (",
		.tail = ")",
	};
	int64_t floor = epoch << EPOCH_SHIFT;
	struct db_arg args[BATCH_MAX * 2];
	size_t low = 0;

	for (size_t i = 0; i < n; i++) {
		if (users[i].last - users[i].count >= floor)
			continue;
		users[i].last = floor + users[i].count;
		args[2 * low] = DB_I(users[i].user_id);
		args[2 * low + 1] = DB_I(users[i].last);
		low++;
	}
	return db_exec_many(conn, &update, args, 2, low, NULL, err);
}

bool order_take_numbers(struct db_conn *conn, struct order_numbers *users, size_t n,
			int64_t *now, struct err *err)
{
	int64_t epoch;

	return count_up(conn, users, n, err) &&
	       read_back(conn, users, n, &epoch, now, err) &&
	       lift(conn, users, n, epoch, err);
}
