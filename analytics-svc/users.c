/*
 * users.c - an open-addressing table of users and a sorted list of the top.
 *
 * The list begins with the very best and may be shorter than the table: then who
 * falls behind its end leaves it, as nobody knows who comes between.  It has twice
 * the room that readers need, so that it is seldom made anew from the table.
 */
#include "users.h"

#include <stdlib.h>
#include <string.h>

#include "str.h"

#define FIRST_SLOTS 256 /* a power of two */
#define TOP_ROOM    (2 * USERS_TOP)

/* How many users fit into a pod's memory is reckoned with this. */
_Static_assert(sizeof(struct user) == 40, "tell tests/k8s/test_memory.py");

struct rank {
	int64_t spent, id;
};

struct users {
	struct user *slots; /* id 0: free */
	size_t n_slots, n, max, keep;
	int64_t orders, spent;
	bool forgot;
	struct rank top[TOP_ROOM];
	size_t n_top;
	bool top_whole; /* everybody with orders is in it */
};

static size_t slot_hash(int64_t id)
{
	uint64_t h = (uint64_t)id * 0x9e3779b97f4a7c15u;

	return (size_t)(h ^ (h >> 32));
}

static struct user *slot_of(struct user *slots, size_t n_slots, int64_t id)
{
	size_t i = slot_hash(id) & (n_slots - 1);

	while (slots[i].id != 0 && slots[i].id != id)
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

struct users *users_new(size_t max, size_t keep)
{
	struct users *users = xcalloc(1, sizeof(*users));

	users->max = max;
	users->keep = keep < max ? keep : max - 1;
	users->n_slots = FIRST_SLOTS;
	users->top_whole = true;
	users->slots = xcalloc(users->n_slots, sizeof(*users->slots));
	return users;
}

void users_free(struct users *users)
{
	if (!users)
		return;
	free(users->slots);
	free(users);
}

/* ---- the top list ---- */

/* Negative when a stands before b. */
static int rank_order(const struct rank *a, const struct rank *b)
{
	if (a->spent != b->spent)
		return a->spent > b->spent ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* Where it is in the list, or would be. */
static size_t top_place(const struct users *users, const struct rank *rank)
{
	size_t low = 0, high = users->n_top;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (rank_order(&users->top[mid], rank) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void top_remove(struct users *users, const struct rank *rank)
{
	size_t i = top_place(users, rank);

	if (i == users->n_top || users->top[i].id != rank->id)
		return;
	users->n_top--;
	memmove(&users->top[i], &users->top[i + 1],
		(users->n_top - i) * sizeof(users->top[0]));
}

static void top_insert(struct users *users, const struct rank *rank)
{
	size_t i = top_place(users, rank);

	if (i == users->n_top && (i == TOP_ROOM || !users->top_whole)) {
		users->top_whole = false;
		return;
	}
	if (users->n_top == TOP_ROOM) {
		users->n_top--;
		users->top_whole = false;
	}
	memmove(&users->top[i + 1], &users->top[i],
		(users->n_top - i) * sizeof(users->top[0]));
	users->top[i] = *rank;
	users->n_top++;
}

static void top_rebuild(struct users *users)
{
	users->n_top = 0;
	users->top_whole = true;
	for (size_t i = 0; i < users->n_slots; i++) {
		const struct user *user = &users->slots[i];
		struct rank rank = {user->spent, user->id};
		if (user->id != 0 && user->orders > 0)
			top_insert(users, &rank);
	}
}

static void top_change(struct users *users, const struct user *old,
		       const struct user *new)
{
	struct rank before = {old->spent, old->id}, after = {new->spent, new->id};

	if (old->orders > 0)
		top_remove(users, &before);
	if (new->orders > 0)
		top_insert(users, &after);
}

/* ---- the table ---- */

static void rehash(struct users *users, size_t n_slots)
{
	struct user *slots = xcalloc(n_slots, sizeof(*slots));

	for (size_t i = 0; i < users->n_slots; i++)
		if (users->slots[i].id != 0)
			*slot_of(slots, n_slots, users->slots[i].id) = users->slots[i];
	free(users->slots);
	users->slots = slots;
	users->n_slots = n_slots;
}

static int by_spent(const void *a, const void *b)
{
	const struct user *x = a, *y = b;
	struct rank rx = {x->spent, x->id}, ry = {y->spent, y->id};

	return rank_order(&rx, &ry);
}

/* Keeps those who spent most. Rare, so a plain sort will do. */
static void shrink(struct users *users)
{
	struct user *all = users->slots;
	size_t n = 0;

	for (size_t i = 0; i < users->n_slots; i++)
		if (all[i].id != 0)
			all[n++] = all[i];
	qsort(all, n, sizeof(*all), by_spent);
	users->slots = xcalloc(users->n_slots, sizeof(*all));
	users->n = users->keep;
	users->orders = users->spent = 0;
	for (size_t i = 0; i < users->keep; i++) {
		users->orders += all[i].orders;
		users->spent += all[i].spent;
		*slot_of(users->slots, users->n_slots, all[i].id) = all[i];
	}
	free(all);
	users->forgot = true;
	users->n_top = 0;
	users->top_whole = false;
}

static struct user *add(struct users *users, int64_t id)
{
	struct user *user;

	if (users->n == users->max)
		shrink(users);
	if ((users->n + 1) * 4 > users->n_slots * 3)
		rehash(users, users->n_slots * 2);
	user = slot_of(users->slots, users->n_slots, id);
	user->id = id;
	users->n++;
	return user;
}

bool users_put(struct users *users, const struct user *user)
{
	struct user *slot = slot_of(users->slots, users->n_slots, user->id);
	bool fresh = slot->id == 0, up;

	if (fresh)
		slot = add(users, user->id);
	up = fresh || user->version > slot->version;
	users->orders += user->orders - slot->orders;
	users->spent += user->spent - slot->spent;
	top_change(users, slot, user);
	*slot = *user;
	return up;
}

const struct user *users_find(const struct users *users, int64_t id)
{
	const struct user *user = slot_of(users->slots, users->n_slots, id);

	return user->id == 0 ? NULL : user;
}

size_t users_top(struct users *users, const struct user **out, size_t max)
{
	size_t n;

	if (!users->top_whole && users->n_top < USERS_TOP)
		top_rebuild(users);
	n = max < users->n_top ? max : users->n_top;
	for (size_t i = 0; i < n; i++)
		out[i] = users_find(users, users->top[i].id);
	return n;
}

size_t users_count(const struct users *users)
{
	return users->n;
}

int64_t users_orders(const struct users *users)
{
	return users->orders;
}

int64_t users_spent(const struct users *users)
{
	return users->spent;
}

bool users_complete(const struct users *users)
{
	return !users->forgot;
}
