/* addresses.c - GET /internal/users/{id} behind a small cache. */
#include "addresses.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "id.h"
#include "js.h"
#include "timeutil.h"

#define ASK_MS      3000
#define REMEMBER_MS 60000
#define SLOTS       1024 /* a user's slot is its id modulo this */

struct known {
	int64_t user_id;
	int64_t until_ms; /* monotonic */
	char email[MAIL_ADDRESS_MAX + 1];
	char name[ADDRESS_NAME_MAX + 1];
};

struct addresses {
	struct http_client *client;
	const char *authorization;
	struct address_query *ready; /* known; told when `tell` fires */
	struct loop_timer *tell;
	struct known known[SLOTS];
};

static void on_tell(void *arg);

struct addresses *addresses_new(struct loop *loop, struct http_client *client,
				const char *authorization)
{
	struct addresses *addresses = xcalloc(1, sizeof(*addresses));

	addresses->client = client;
	addresses->authorization = authorization;
	addresses->tell = loop_timer_new(loop, on_tell, addresses);
	return addresses;
}

void addresses_free(struct addresses *addresses)
{
	if (!addresses)
		return;
	loop_timer_free(addresses->tell);
	free(addresses);
}

static struct known *slot_of(struct addresses *addresses, int64_t user_id)
{
	return &addresses->known[(uint64_t)user_id % SLOTS];
}

static void finish(struct address_query *query, enum address_end end, const char *why)
{
	query->end = end;
	snprintf(query->why, sizeof(query->why), "%s", why);
	query->done(query->arg);
}

/* A name is a greeting: one that is no good, or does not fit, is left out. */
static void take_name(struct known *known, struct str name)
{
	str_copy(known->name, sizeof(known->name), mail_name_ok(name) ? name : STR(""));
}

static bool remember(struct known *known, int64_t user_id, struct str body,
		     struct err *err)
{
	json_t *doc = js_parse_object(body, err);
	struct str email, name;
	bool ok = doc && js_str(doc, "email", 1, MAIL_ADDRESS_MAX, &email, err);

	if (ok && !mail_address_ok(email))
		ok = err_set(err, ERR_INPUT, "the user's address cannot be used");
	if (ok) {
		known->user_id = user_id;
		known->until_ms = time_mono_ms() + REMEMBER_MS;
		str_copy(known->email, sizeof(known->email), email);
		known->name[0] = '\0';
		if (js_str(doc, "name", 1, ADDRESS_NAME_MAX, &name, err))
			take_name(known, name);
	}
	json_decref(doc);
	return ok;
}

static void found(struct address_query *query, const struct known *known)
{
	memcpy(query->email, known->email, sizeof(query->email));
	memcpy(query->name, known->name, sizeof(query->name));
	finish(query, ADDRESS_FOUND, "");
}

static void tell(struct address_query *query)
{
	const struct known *known = slot_of(query->addresses, query->user_id);

	/* Another user may have taken the slot in between. */
	if (known->user_id == query->user_id)
		found(query, known);
	else
		finish(query, ADDRESS_LATER, "the address was just forgotten");
}

static void on_tell(void *arg)
{
	struct addresses *addresses = arg;
	struct address_query *query = addresses->ready, *next;

	addresses->ready = NULL;
	for (; query; query = next) {
		next = query->next;
		tell(query);
	}
}

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct address_query *query = arg;
	struct known *known = slot_of(query->addresses, query->user_id);
	char status[48];
	struct err why;

	if (err) {
		finish(query, ADDRESS_LATER, err->text);
		return;
	}
	if (answer->status == 404) {
		finish(query, ADDRESS_NONE, "there is no such user");
		return;
	}
	if (answer->status != 200) {
		snprintf(status, sizeof(status), "user-svc answered %d", answer->status);
		finish(query, ADDRESS_LATER, status);
		return;
	}
	if (remember(known, query->user_id, answer->body, &why))
		found(query, known);
	else
		finish(query, ADDRESS_NONE, why.text);
}

void addresses_find(struct addresses *addresses, struct address_query *query,
		    loop_fn done, void *arg)
{
	const struct known *known = slot_of(addresses, query->user_id);
	char path[64], request_id[ID_HEX_LEN + 1];
	struct http_header_pair headers[] = {
		{"Authorization", str_from(addresses->authorization)},
		{"X-Request-Id", {request_id, ID_HEX_LEN}},
		{NULL, STR_NONE}};
	struct http_call call = {.method = "GET",
				 .path = path,
				 .headers = headers,
				 .timeout_ms = ASK_MS,
				 .label = "/internal/users/:id"};

	query->addresses = addresses;
	query->done = done;
	query->arg = arg;
	if (known->user_id == query->user_id && known->until_ms > time_mono_ms()) {
		query->next = addresses->ready;
		addresses->ready = query;
		loop_timer_start(addresses->tell, 0);
		return;
	}
	id_new(request_id);
	snprintf(path, sizeof(path), "/internal/users/%" PRId64, query->user_id);
	http_client_call(addresses->client, &call, on_answer, query);
}
