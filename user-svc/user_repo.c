/* user_repo.c - SQL <-> user. */
#include "user_repo.h"

#include <stdlib.h>

#define PUBLIC  "id, name, email, role, created_at"
#define COLUMNS PUBLIC ", password_hash"

/* One call on its way: what the job works on, and whom to tell. */
struct call {
	void *subject;
	db_job job;
	db_done done;
	void *arg;
	int64_t admin_id; /* of a change */
};

static bool run_call(struct db_conn *conn, void *arg, struct err *err)
{
	struct call *call = arg;

	return call->job(conn, call->subject, err);
}

static void call_done(const struct err *err, void *arg)
{
	struct call *call = arg;

	call->done(err, call->arg);
	free(call);
}

static void start(struct db_pool *db, db_job run, struct call call)
{
	struct call *kept = xcalloc(1, sizeof(*kept));

	*kept = call;
	db_run(db, run, call_done, kept);
}

/* ---- reading ---- */

static void read_public(const struct db_rows *rows, size_t row, struct user *user)
{
	user->id = db_int(rows, row, 0);
	str_copy(user->name, sizeof(user->name), db_str(rows, row, 1));
	str_copy(user->email, sizeof(user->email), db_str(rows, row, 2));
	if (!user_role_parse(db_str(rows, row, 3), &user->role))
		user->role = USER_CUSTOMER;
	user->created_ms = db_time(rows, row, 4);
}

static void read_user(const struct db_rows *rows, size_t row, struct user *user)
{
	read_public(rows, row, user);
	str_copy(user->hash, sizeof(user->hash), db_str(rows, row, 5));
}

static bool not_found(struct err *err)
{
	return err_slug(err, ERR_NOT_FOUND, "user_not_found", "there is no such user");
}

static bool take_one(struct db_rows *rows, struct user *user, struct err *err)
{
	bool found = db_rows_count(rows) == 1;

	if (found)
		read_user(rows, 0, user);
	db_rows_free(rows);
	return found || not_found(err);
}

static bool find_by_id(struct db_conn *conn, void *arg, struct err *err)
{
	struct user *user = arg;
	struct db_rows *rows;

	return db_query(conn, &rows, err,
			"SELECT " COLUMNS " FROM users "
			"WHERE id = ? AND deleted_at IS NULL",
			DB_I(user->id)) &&
	       take_one(rows, user, err);
}

static bool find_by_email(struct db_conn *conn, void *arg, struct err *err)
{
	struct user *user = arg;
	struct db_rows *rows;

	return db_query(conn, &rows, err,
			"SELECT " COLUMNS " FROM users "
			"WHERE email = ? AND deleted_at IS NULL",
			DB_Z(user->email)) &&
	       take_one(rows, user, err);
}

void user_repo_by_id(struct db_pool *db, struct user *user, db_done done, void *arg)
{
	start(db, run_call, (struct call){user, find_by_id, done, arg, 0});
}

void user_repo_by_email(struct db_pool *db, struct user *user, db_done done, void *arg)
{
	start(db, run_call, (struct call){user, find_by_email, done, arg, 0});
}

bool user_repo_read(struct db_conn *conn, int64_t id, struct user *user, struct err *err)
{
	struct db_rows *rows;
	bool found;

	if (!db_query(conn, &rows, err,
		      "SELECT " PUBLIC " FROM users WHERE id = ? AND deleted_at IS NULL",
		      DB_I(id)))
		return false;
	found = db_rows_count(rows) == 1;
	user->hash[0] = '\0';
	if (found)
		read_public(rows, 0, user);
	db_rows_free(rows);
	return found || not_found(err);
}

bool user_repo_read_page(struct db_conn *conn, int64_t after, size_t limit,
			 struct user_page *page, struct err *err)
{
	/* One more than asked for tells whether there is a next page. */
	if (!db_query(conn, &page->rows, err,
		      "SELECT " PUBLIC " FROM users "
		      "WHERE id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?",
		      DB_I(after), DB_I(limit + 1)))
		return false;
	page->n = db_rows_count(page->rows);
	page->more = page->n > limit;
	if (page->more)
		page->n = limit;
	return true;
}

void user_repo_row(const struct user_page *page, size_t row, struct user *user)
{
	user->hash[0] = '\0';
	read_public(page->rows, row, user);
}

/* ---- writing ---- */

static bool explain(const struct db_conn *conn, struct err *err)
{
	if (db_is_duplicate(conn, "users_email"))
		err_slug(err, ERR_CONFLICT, "email_taken",
			 "somebody has registered with this e-mail address");
	return false;
}

static bool insert(struct db_conn *conn, void *arg, struct err *err)
{
	struct user *user = arg;

	if (!db_exec(conn, err,
		     "INSERT INTO users "
		     "(name, email, role, password_hash, created_at, updated_at) "
		     "VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))",
		     DB_Z(user->name), DB_Z(user->email),
		     DB_Z(user_role_name(user->role)), DB_Z(user->hash)))
		return explain(conn, err);
	user->id = (int64_t)db_insert_id(conn);
	return find_by_id(conn, user, err);
}

static bool update(struct db_conn *conn, void *arg, struct err *err)
{
	struct user_change *change = arg;
	struct str role =
		change->has_role ? str_from(user_role_name(change->role)) : STR_NONE;

	if (!db_exec(conn, err,
		     "UPDATE users SET name = COALESCE(?, name), "
		     "email = COALESCE(?, email), role = COALESCE(?, role), "
		     "password_hash = COALESCE(?, password_hash), "
		     "updated_at = UTC_TIMESTAMP(3) "
		     "WHERE id = ? AND deleted_at IS NULL",
		     DB_OPT(change->name), DB_OPT(change->email), DB_OPT(role),
		     DB_OPT(change->hash), DB_I(change->id)))
		return explain(conn, err);
	change->user.id = change->id;
	return find_by_id(conn, &change->user, err);
}

static bool mark_deleted(struct db_conn *conn, void *arg, struct err *err)
{
	const struct user *user = arg;

	if (!db_exec(conn, err,
		     "UPDATE users SET deleted_at = UTC_TIMESTAMP(3), "
		     "updated_at = UTC_TIMESTAMP(3), email = NULL, password_hash = NULL "
		     "WHERE id = ? AND deleted_at IS NULL",
		     DB_I(user->id)))
		return false;
	return db_affected(conn) == 1 || not_found(err);
}

/* Locks the row, so that who takes the right away waits, or comes first. */
static bool is_admin_still(struct db_conn *conn, int64_t admin_id, struct err *err)
{
	struct db_rows *rows;
	bool found;

	if (!db_query(conn, &rows, err,
		      "SELECT id FROM users WHERE id = ? AND role = 'admin' "
		      "AND deleted_at IS NULL FOR UPDATE",
		      DB_I(admin_id)))
		return false;
	found = db_rows_count(rows) == 1;
	db_rows_free(rows);
	return found || err_set(err, ERR_FORBIDDEN,
				"you are an administrator no more; sign in again");
}

static enum db_verdict change_tx(struct db_conn *conn, void *arg, struct err *err)
{
	const struct call *call = arg;
	bool may = !call->admin_id || is_admin_still(conn, call->admin_id, err);

	return may && call->job(conn, call->subject, err) ? DB_COMMIT : DB_FAIL;
}

static bool run_change(struct db_conn *conn, void *arg, struct err *err)
{
	return db_tx_ok(db_tx(conn, change_tx, arg, err), err);
}

void user_repo_insert(struct db_pool *db, int64_t admin_id, struct user *user,
		      db_done done, void *arg)
{
	start(db, run_change, (struct call){user, insert, done, arg, admin_id});
}

void user_repo_update(struct db_pool *db, int64_t admin_id, struct user_change *change,
		      db_done done, void *arg)
{
	start(db, run_change, (struct call){change, update, done, arg, admin_id});
}

void user_repo_remove(struct db_pool *db, int64_t admin_id, struct user *user,
		      db_done done, void *arg)
{
	start(db, run_change, (struct call){user, mark_deleted, done, arg, admin_id});
}

bool user_repo_put_admin(struct db_conn *conn, const struct user *user, struct err *err)
{
	return db_exec(conn, err,
		       "INSERT INTO users "
		       "(name, email, role, password_hash, created_at, updated_at) "
		       "VALUES (?, ?, 'admin', ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)) "
		       "ON DUPLICATE KEY UPDATE role = 'admin', "
		       "password_hash = VALUES(password_hash), "
		       "updated_at = VALUES(updated_at)",
		       DB_Z(user->name), DB_Z(user->email), DB_Z(user->hash));
}
