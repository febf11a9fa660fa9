/* auth_keys.c - fetch the JWKS (RFC 7517) and keep it fresh. */
#include "auth_internal.h"
#include "js.h"
#include "log.h"
#include "timeutil.h"

#define JWKS_PATH       "/.well-known/jwks.json"
#define REFRESH_MS      300000
#define RETRY_MS        250
#define RETRY_MAX_MS    5000
#define UNKNOWN_WAIT_MS 5000
#define FETCH_MS        2000

static bool usable(json_t *key)
{
	const char *kty = json_string_value(json_object_get(key, "kty"));
	const char *alg = json_string_value(json_object_get(key, "alg"));

	return kty && strcmp(kty, "RSA") == 0 && (!alg || strcmp(alg, "RS256") == 0) &&
	       json_is_string(json_object_get(key, "kid"));
}

bool auth_set_keys(struct auth *auth, struct str jwks, struct err *err)
{
	json_t *doc = js_parse_object(jwks, err);
	json_t *keys, *key;
	size_t i;

	if (!doc)
		return err_wrap(err, "JWKS");
	keys = json_array();
	json_array_foreach(json_object_get(doc, "keys"), i, key)
	{
		if (usable(key))
			json_array_append(keys, key);
	}
	json_decref(doc);
	if (json_array_size(keys) == 0) {
		json_decref(keys);
		return err_set(err, ERR_UPSTREAM, "JWKS has no RSA key with a kid");
	}
	/* A key that was withdrawn must not live on in the cache. */
	if (!auth->keys || !json_equal(auth->keys, keys))
		memset(auth->cache, 0, sizeof(auth->cache));
	json_decref(auth->keys);
	auth->keys = keys;
	return true;
}

bool auth_has_keys(const struct auth *auth)
{
	return auth->keys != NULL;
}

static void fetch(void *arg);

static void fetched(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct auth *auth = arg;
	struct err why = {0};
	int64_t again = REFRESH_MS;
	bool ok;

	auth->fetching = false;
	if (err)
		why = *err;
	else if (answer->status != 200)
		err_set(&why, ERR_UPSTREAM, "status %d", answer->status);
	ok = why.code == ERR_NONE && auth_set_keys(auth, answer->body, &why);
	if (ok) {
		auth->failures = 0;
	} else {
		again = RETRY_MS << (auth->failures < 5 ? auth->failures : 5);
		again = again > RETRY_MAX_MS ? RETRY_MAX_MS : again;
		/* At a start in any order the first tries may well fail. */
		if (++auth->failures % 8 == 0)
			log_warn("cannot fetch the signing keys",
				 LOG_STR("why", why.text),
				 LOG_INT("failures", auth->failures));
	}
	if (auth->timer)
		loop_timer_start(auth->timer, again);
}

static void fetch(void *arg)
{
	struct auth *auth = arg;
	struct http_call call = {.method = "GET",
				 .path = JWKS_PATH,
				 .timeout_ms = FETCH_MS,
				 .label = JWKS_PATH};

	if (auth->fetching)
		return;
	auth->fetching = true;
	auth->last_fetch_ms = time_mono_ms();
	http_client_call(auth->client, &call, fetched, auth);
}

/* Who has none yet may have tried in vain for long, and does not wait for the next try
 * while somebody stands there. */
void auth_keys_unknown(struct auth *auth)
{
	int64_t wait_ms = auth->keys ? UNKNOWN_WAIT_MS : RETRY_MS;

	if (auth->client && time_mono_ms() - auth->last_fetch_ms >= wait_ms)
		fetch(auth);
}

void auth_keys_start(struct auth *auth, struct loop *loop, struct http_client *client)
{
	auth->client = client;
	auth->timer = loop_timer_new(loop, fetch, auth);
	loop_timer_start(auth->timer, 0);
}

void auth_keys_stop(struct auth *auth)
{
	loop_timer_free(auth->timer);
	auth->timer = NULL;
}
