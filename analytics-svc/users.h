/*
 * users.h - what each user has ordered and spent, and who spent most.  Pure.
 *
 * A table in memory.  When it is full it shrinks to those who spent most; as
 * records are absolute, a forgotten user is right again with the next record.
 */
#ifndef ANALYTICS_SVC_USERS_H
#define ANALYTICS_SVC_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USERS_TOP 1000 /* the longest list that users_top() gives */

struct user {
	int64_t id, version;
	int64_t orders, spent; /* less what was cancelled; cents */
	int64_t last_order_ms; /* 0: none */
};

struct users;

/* At most `max` users; when one more comes, the `keep` who spent most stay. */
struct users *users_new(size_t max, size_t keep);
void users_free(struct users *users); /* accepts NULL */

/* false: the version did not go up; the record counts all the same. */
bool users_put(struct users *users, const struct user *user);
/* NULL: not in the table. Valid until the next users_put(). */
const struct user *users_find(const struct users *users, int64_t id);
/* Those with orders, by spent, most first, then by id. Returns how many. */
size_t users_top(struct users *users, const struct user **out, size_t max);

size_t users_count(const struct users *users);
int64_t users_orders(const struct users *users); /* all in the table together */
int64_t users_spent(const struct users *users);
/* Is everybody in the table, or were some forgotten? */
bool users_complete(const struct users *users);

#endif
