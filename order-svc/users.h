/*
 * users.h - does a user exist?  For orders whose caller has not proved to be
 * the user: user-svc is asked, once at a time for a user, and a yes is remembered
 * for a minute in a table of fixed size; for ten while user-svc does not answer.
 */
#ifndef ORDER_SVC_USERS_H
#define ORDER_SVC_USERS_H

#include "http_client.h"
#include "trace.h"

struct users;

/* `client` and `authorization` must outlive it. */
struct users *users_new(struct loop *loop, struct http_client *client,
			const char *authorization);
void users_free(struct users *users);

/* On the loop, exactly once, never inside users_check(). `err` is NULL when the
 * user exists; 404 user_not_found when not. */
typedef void (*users_cb)(const struct err *err, void *arg);

/* Owned by the caller until the callback has run. */
struct users_query {
	int64_t user_id;
	const struct trace *trace;
	/* private */
	struct users *users;
	struct users_query *next, **last; /* who waits for the same answer */
	users_cb cb;
	void *arg;
};
void users_check(struct users *users, struct users_query *query, users_cb cb, void *arg);

#endif
