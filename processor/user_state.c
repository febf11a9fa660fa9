/*
 * user_state.c - the users of a partition: a chained hash table whose changes
 * can be undone.
 *
 * The ring of recent ids is made only for users that need it: it would be the
 * largest part of the record.
 */
#include <stdlib.h>
#include <string.h>

#include "state_internal.h"
#include "str.h"

#define FIRST_BUCKETS 64

/* How many users fit into a pod's memory is reckoned with this. */
_Static_assert(sizeof(struct user) == 88, "tell tests/k8s/test_memory.py");

/* splitmix64: neighbouring ids spread over all buckets. */
static size_t bucket_of(const struct user_table *table, int64_t user_id)
{
	uint64_t h = (uint64_t)user_id + 0x9e3779b97f4a7c15u;

	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 27) * 0x94d049bb133111ebu;
	return (size_t)(h ^ h >> 31) & (table->buckets - 1);
}

struct user *user_find(const struct user_table *table, int64_t user_id)
{
	struct user *user;

	if (table->buckets == 0)
		return NULL;
	user = table->bucket[bucket_of(table, user_id)];
	while (user && user->user_id != user_id)
		user = user->next;
	return user;
}

static void link_user(struct user_table *table, struct user *user)
{
	struct user **head = &table->bucket[bucket_of(table, user->user_id)];

	user->next = *head;
	*head = user;
}

static void grow(struct user_table *table)
{
	struct user **old = table->bucket;
	size_t n = table->buckets;

	table->buckets = n ? n * 2 : FIRST_BUCKETS;
	table->bucket = xcalloc(table->buckets, sizeof(struct user *));
	for (size_t i = 0; i < n; i++) {
		for (struct user *user = old[i], *next; user; user = next) {
			next = user->next;
			link_user(table, user);
		}
	}
	free(old);
}

struct user *user_insert(struct user_table *table, int64_t user_id)
{
	struct user *user = xcalloc(1, sizeof(*user));

	if (table->count >= table->buckets)
		grow(table);
	user->user_id = user_id;
	user->last_order_ms = -1;
	link_user(table, user);
	table->count++;
	return user;
}

static void user_free(struct user *user)
{
	free(user->recent);
	free(user);
}

static void remove_user(struct user_table *table, struct user *user)
{
	struct user **link = &table->bucket[bucket_of(table, user->user_id)];

	while (*link != user)
		link = &(*link)->next;
	*link = user->next;
	table->count--;
	user_free(user);
}

static struct recent *copy_recent(const struct recent *recent)
{
	struct recent *copy;

	if (!recent)
		return NULL;
	copy = xcalloc(1, sizeof(*copy));
	*copy = *recent;
	return copy;
}

static void remember(struct user_table *table, struct user *user, bool created)
{
	struct user_undo *undo;

	if (table->n_undo == table->cap_undo) {
		table->cap_undo = table->cap_undo ? table->cap_undo * 2 : 64;
		table->undo = xrealloc(table->undo, table->cap_undo * sizeof(*undo));
	}
	undo = &table->undo[table->n_undo++];
	undo->user = user;
	undo->before = *user;
	undo->before.recent = copy_recent(user->recent);
	undo->created = created;
}

struct user *user_touch(struct user_table *table, int64_t user_id)
{
	struct user *user = user_find(table, user_id);
	bool created = !user;

	if (created)
		user = user_insert(table, user_id);
	if (user->touched)
		return user;
	remember(table, user, created);
	user->touched = true;
	user->version++;
	return user;
}

struct recent *user_recent(struct user *user)
{
	if (!user->recent)
		user->recent = xcalloc(1, sizeof(*user->recent));
	return user->recent;
}

bool user_recent_has(const struct user *user, int64_t id)
{
	for (unsigned i = 0; user->recent && i < user->recent->n; i++) {
		if (user->recent->id[i] == id)
			return true;
	}
	return false;
}

void user_recent_add(struct user *user, int64_t id)
{
	struct recent *recent = user_recent(user);

	if (recent->n == STATE_RECENT)
		memmove(recent->id, recent->id + 1, --recent->n * sizeof(recent->id[0]));
	recent->id[recent->n++] = id;
}

void user_table_commit(struct user_table *table)
{
	for (size_t i = 0; i < table->n_undo; i++) {
		table->undo[i].user->touched = false;
		free(table->undo[i].before.recent);
	}
	table->n_undo = 0;
}

void user_table_rollback(struct user_table *table)
{
	for (size_t i = 0; i < table->n_undo; i++) {
		struct user_undo *undo = &table->undo[i];
		struct user *user = undo->user;

		if (undo->created) {
			remove_user(table, user);
			continue;
		}
		undo->before.next = user->next; /* the bucket may have changed */
		free(user->recent);
		*user = undo->before;
	}
	table->n_undo = 0;
}

void user_table_fini(struct user_table *table)
{
	user_table_commit(table);
	for (size_t i = 0; i < table->buckets; i++) {
		for (struct user *user = table->bucket[i], *next; user; user = next) {
			next = user->next;
			user_free(user);
		}
	}
	free(table->bucket);
	free(table->undo);
}
