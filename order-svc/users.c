/* users.c - ask user-svc, remember who exists. */
#include "users.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "timeutil.h"

#define CHECK_MS    2000
#define REMEMBER_MS 60000
/* While user-svc gives no answer: so old may the last one be. A deleted user is unknown
 * after that at the latest. */
#define TRUST_MS 600000
#define AGAIN_MS 5000 /* until it is asked again then */
#define SLOTS    4096 /* a user's slot is its id modulo this */

/* Times are monotonic. */
struct known {
	int64_t user_id;            /* 0: nobody */
	int64_t said_ms;            /* when user-svc said that the user exists */
	int64_t ask_ms;             /* not before */
	struct users_query *asking; /* under way, for any user of this slot; or NULL */
};

struct users {
	struct loop *loop;
	struct http_client *client;
	const char *authorization;
	struct known known[SLOTS];
};

struct users *users_new(struct loop *loop, struct http_client *client,
			const char *authorization)
{
	struct users *users = xcalloc(1, sizeof(*users));

	users->loop = loop;
	users->client = client;
	users->authorization = authorization;
	return users;
}

void users_free(struct users *users)
{
	free(users);
}

static struct known *slot_of(struct users *users, int64_t user_id)
{
	return &users->known[(uint64_t)user_id % SLOTS];
}

static void on_known(void *arg)
{
	struct users_query *query = arg;

	query->cb(NULL, query->arg);
}

/* ---- what user-svc says ---- */

static bool exists(struct known *slot, int64_t user_id)
{
	slot->user_id = user_id;
	slot->said_ms = time_mono_ms();
	slot->ask_ms = slot->said_ms + REMEMBER_MS;
	return true;
}

static bool missing(struct known *slot, int64_t user_id, struct err *why)
{
	if (slot->user_id == user_id)
		slot->user_id = 0;
	return err_slug(why, ERR_NOT_FOUND, "user_not_found", "there is no user %" PRId64,
			user_id);
}

/* Who was known lately still is. */
static bool no_answer(struct known *slot, int64_t user_id, struct err *why)
{
	int64_t now_ms = time_mono_ms();

	if (slot->user_id == user_id && now_ms - slot->said_ms < TRUST_MS) {
		slot->ask_ms = now_ms + AGAIN_MS;
		return true;
	}
	err_set(why, ERR_BUSY, "the user cannot be checked just now; try again");
	why->retry_after_s = 1;
	return false;
}

/* The callbacks may ask again, so the slot is free before. */
static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct users_query *query = arg;
	struct known *slot = slot_of(query->users, query->user_id);
	struct err why = {0};
	bool ok;

	if (slot->asking == query)
		slot->asking = NULL;
	if (!err && answer->status == 200)
		ok = exists(slot, query->user_id);
	else if (!err && answer->status == 404)
		ok = missing(slot, query->user_id, &why);
	else
		ok = no_answer(slot, query->user_id, &why);
	while (query) {
		struct users_query *next = query->next;

		query->cb(ok ? NULL : &why, query->arg);
		query = next;
	}
}

/* ---- asking ---- */

static void ask(struct users *users, struct users_query *query)
{
	struct http_header_pair headers[TRACE_HEADERS];
	struct http_call call = {.method = "GET",
				 .headers = headers,
				 .timeout_ms = CHECK_MS,
				 .label = "/internal/users/:id"};
	char path[64];

	snprintf(path, sizeof(path), "/internal/users/%" PRId64, query->user_id);
	call.path = path;
	trace_headers(query->trace, users->authorization, headers);
	http_client_call(users->client, &call, on_answer, query);
}

void users_check(struct users *users, struct users_query *query, users_cb cb, void *arg)
{
	struct known *slot = slot_of(users, query->user_id);

	query->users = users;
	query->cb = cb;
	query->arg = arg;
	query->next = NULL;
	query->last = &query->next;
	if (slot->user_id == query->user_id && slot->ask_ms > time_mono_ms()) {
		loop_defer(users->loop, on_known, query);
	} else if (slot->asking && slot->asking->user_id == query->user_id) {
		*slot->asking->last = query;
		slot->asking->last = &query->next;
	} else {
		if (!slot->asking)
			slot->asking = query;
		ask(users, query);
	}
}
