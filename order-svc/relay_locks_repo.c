/*
 * relay_locks_repo.c - named locks: who is a relay, and whose is a shard.
 *
 * Lock names are global to the server and at most 64 characters long.
 */
#include "relay_repo.h"

#define NAME(kind) "CONCAT(LEFT(DATABASE(), 40), '.outbox-" kind "-', ?)"

_Static_assert(RELAY_SHARDS == 8 && RELAY_MEMBERS == 8, "others[] asks for eight");

/* `sql` answers 1 for yes. */
static bool ask(struct db_conn *conn, const char *sql, unsigned n, bool *yes,
		struct err *err)
{
	const struct db_arg arg = DB_I(n);
	struct db_rows *rows;

	if (!db_query_v(conn, sql, &arg, 1, &rows, err))
		return false;
	*yes = db_int(rows, 0, 0) == 1;
	db_rows_free(rows);
	return true;
}

bool relay_repo_join(struct db_conn *conn, int *member, struct err *err)
{
	bool locked = false;

	*member = -1;
	for (unsigned n = 0; n < RELAY_MEMBERS && !locked; n++) {
		if (!ask(conn, "SELECT GET_LOCK(" NAME("relay") ", 0)", n, &locked, err))
			return false;
		if (locked)
			*member = (int)n;
	}
	return true;
}

#define EIGHT(one) one ", " one ", " one ", " one ", " one ", " one ", " one ", " one

bool relay_repo_others(struct db_conn *conn, struct relay_others *others, struct err *err)
{
	static const char sql[] = "SELECT " EIGHT("IS_FREE_LOCK(" NAME(
		"relay") ")") ", " EIGHT("IS_FREE_LOCK(" NAME("shard") ")");
	struct db_arg args[RELAY_MEMBERS + RELAY_SHARDS];
	struct db_rows *rows;

	for (unsigned n = 0; n < RELAY_MEMBERS + RELAY_SHARDS; n++)
		args[n] = DB_I(n % RELAY_MEMBERS);
	if (!db_query_v(conn, sql, args, ARRAY_LEN(args), &rows, err))
		return false;
	*others = (struct relay_others){0};
	for (unsigned n = 0; n < RELAY_MEMBERS; n++)
		if (db_int(rows, 0, n) == 0)
			others->members |= 1u << n;
	for (unsigned n = 0; n < RELAY_SHARDS; n++)
		if (db_int(rows, 0, RELAY_MEMBERS + n) == 1)
			others->unheld |= 1u << n;
	db_rows_free(rows);
	return true;
}

bool relay_repo_take(struct db_conn *conn, unsigned shard, bool *taken, struct err *err)
{
	return ask(conn, "SELECT GET_LOCK(" NAME("shard") ", 0)", shard, taken, err);
}

bool relay_repo_give(struct db_conn *conn, unsigned shard, struct err *err)
{
	bool released;

	return ask(conn, "SELECT RELEASE_LOCK(" NAME("shard") ")", shard, &released, err);
}
