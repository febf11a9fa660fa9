/* user_read.c - reads users and writes them as JSON, on a worker. */
#include "user_read.h"

#include "user_repo.h"

bool user_read_one(struct db_conn *conn, const struct flight_key *key, struct jw *w,
		   struct err *err)
{
	struct user user;

	if (!user_repo_read(conn, key->a, &user, err))
		return false;
	user_write(w, &user);
	return true;
}

bool user_read_internal(struct db_conn *conn, const struct flight_key *key, struct jw *w,
			struct err *err)
{
	struct user user;

	if (!user_repo_read(conn, key->a, &user, err))
		return false;
	jw_object(w);
	jw_kint(w, "user_id", user.id);
	jw_kstrz(w, "name", user.name);
	jw_kstrz(w, "email", user.email);
	jw_kstrz(w, "role", user_role_name(user.role));
	jw_end(w);
	return true;
}

bool user_read_page(struct db_conn *conn, const struct flight_key *key, struct jw *w,
		    struct err *err)
{
	char cursor[USER_CURSOR_MAX];
	struct user_page page;
	struct user user = {0};

	if (!user_repo_read_page(conn, key->a, (size_t)key->b, &page, err))
		return false;
	jw_object(w);
	jw_key(w, "users");
	jw_array(w);
	for (size_t i = 0; i < page.n; i++) {
		user_repo_row(&page, i, &user);
		user_write(w, &user);
	}
	jw_end(w);
	if (page.more)
		user_cursor_format(cursor, user.id);
	jw_kstrz(w, "next_cursor", page.more ? cursor : NULL);
	jw_end(w);
	db_rows_free(page.rows);
	return true;
}
