/*
 * user_repo.h - users in the database; the only part with SQL.
 *
 * `done` runs on the loop. What a call fills or reads is kept by the caller
 * until then. Users that do not exist, or no more: ERR_NOT_FOUND with
 * "user_not_found"; a taken address: ERR_CONFLICT with "email_taken".
 */
#ifndef USER_SVC_USER_REPO_H
#define USER_SVC_USER_REPO_H

#include "db.h"
#include "user.h"

#define USER_PAGE_MAX 100

/* Fills `user` by its id, or by its e-mail. */
void user_repo_by_id(struct db_pool *db, struct user *user, db_done done, void *arg);
void user_repo_by_email(struct db_pool *db, struct user *user, db_done done, void *arg);

/*
 * Changes.  `admin_id`: whose right as an administrator this one needs (0: it needs
 * none). A token may be older than the loss of the right, so that is looked up in the
 * same transaction: ERR_FORBIDDEN.  ERR_TIMEOUT: it may have been done.
 */

/* Stores a new user; fills id and created_ms. */
void user_repo_insert(struct db_pool *db, int64_t admin_id, struct user *user,
		      db_done done, void *arg);

struct user_change {
	int64_t id;
	struct str name, email, hash; /* .at == NULL: stays */
	bool has_role;
	enum user_role role;
	struct user user; /* afterwards */
};
void user_repo_update(struct db_pool *db, int64_t admin_id, struct user_change *change,
		      db_done done, void *arg);

/* Only users->id is read. */
void user_repo_remove(struct db_pool *db, int64_t admin_id, struct user *user,
		      db_done done, void *arg);

/* Reading on a worker, for flights (flight.h). The hash stays empty. */
bool user_repo_read(struct db_conn *conn, int64_t id, struct user *user, struct err *err)
	__attribute__((warn_unused_result));

struct user_page {
	struct db_rows *rows; /* the caller frees them */
	size_t n;
	bool more; /* there are further ones */
};
/* Those with ids above `after`, at most `limit`. */
bool user_repo_read_page(struct db_conn *conn, int64_t after, size_t limit,
			 struct user_page *page, struct err *err)
	__attribute__((warn_unused_result));
void user_repo_row(const struct user_page *page, size_t row, struct user *user);

/* For the command: makes the user, or makes an existing one an admin with this
 * password. */
bool user_repo_put_admin(struct db_conn *conn, const struct user *user, struct err *err)
	__attribute__((warn_unused_result));

#endif
