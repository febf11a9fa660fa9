/* users.c - ask user-svc, remember who exists. */
#include "users.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "timeutil.h"

#define CHECK_MS    2000
#define REMEMBER_MS 60000
#define SLOTS       4096 /* a user's slot is its id modulo this */

struct known {
	int64_t user_id;
	int64_t until_ms; /* monotonic */
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

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct users_query *query = arg;
	struct known *slot = slot_of(query->users, query->user_id);
	struct err why = {0};

	if (!err && answer->status == 200) {
		slot->user_id = query->user_id;
		slot->until_ms = time_mono_ms() + REMEMBER_MS;
		query->cb(NULL, query->arg);
		return;
	}
	if (!err && answer->status == 404)
		err_slug(&why, ERR_NOT_FOUND, "user_not_found",
			 "there is no user %" PRId64, query->user_id);
	else
		err_set(&why, ERR_BUSY, "the user cannot be checked just now; try again");
	why.retry_after_s = why.code == ERR_BUSY ? 1 : 0;
	query->cb(&why, query->arg);
}

void users_check(struct users *users, struct users_query *query, users_cb cb, void *arg)
{
	const struct known *slot = slot_of(users, query->user_id);
	struct http_header_pair headers[TRACE_HEADERS];
	struct http_call call = {.method = "GET",
				 .headers = headers,
				 .timeout_ms = CHECK_MS,
				 .label = "/internal/users/:id"};
	char path[64];

	query->users = users;
	query->cb = cb;
	query->arg = arg;
	if (slot->user_id == query->user_id && slot->until_ms > time_mono_ms()) {
		loop_defer(users->loop, on_known, query);
		return;
	}
	snprintf(path, sizeof(path), "/internal/users/%" PRId64, query->user_id);
	call.path = path;
	trace_headers(query->trace, users->authorization, headers);
	http_client_call(users->client, &call, on_answer, query);
}
