/*
 * auth.c - judge an Authorization header; the rules of who may act for whom.
 */
#include "auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "auth_internal.h"
#include "id.h"
#include "log.h"
#include "timeutil.h"

static const char *const modes[] = {"required", "demo", NULL};

const struct config_entry auth_config[] = {
	CFG_ENUM(struct auth_settings, mode, "AUTH_MODE", "required", modes,
		 "demo lets callers without a token do what the demos need"),
	CFG_SECRET(struct auth_settings, service_secret, "SERVICE_SECRET", "",
		   "secret that our services show to each other; usually by "
		   "SERVICE_SECRET_FILE"),
	CFG_STR(struct auth_settings, issuer, "AUTH_ISSUER", "shop",
		"the \"iss\" of access tokens"),
	CFG_END,
};

#define SECRET_MIN_BYTES 16

struct auth *auth_new(struct loop *loop, const struct auth_settings *cfg,
		      struct http_client *client, struct metrics *metrics,
		      struct err *err)
{
	struct auth *auth;
	size_t secret_len = strlen(cfg->service_secret);

	if (secret_len && secret_len < SECRET_MIN_BYTES) {
		err_set(err, ERR_INPUT, "SERVICE_SECRET must have at least %d bytes",
			SECRET_MIN_BYTES);
		return NULL;
	}
	auth = xcalloc(1, sizeof(*auth));
	auth->cfg = cfg;
	auth->accepted = metrics_counter(metrics, "shop_auth_checks_total",
					 "Authorization headers judged", "result=\"ok\"");
	auth->refused =
		metrics_counter(metrics, "shop_auth_checks_total",
				"Authorization headers judged", "result=\"refused\"");
	if (client)
		auth_keys_start(auth, loop, client);
	return auth;
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	auth_keys_stop(auth);
	json_decref(auth->keys);
	free(auth->service_header);
	free(auth);
}

enum auth_mode auth_mode(const struct auth *auth)
{
	return (enum auth_mode)auth->cfg->mode;
}

const char *auth_service_header(struct auth *auth, const char *name)
{
	size_t size = strlen(name) + strlen(auth->cfg->service_secret) + 16;

	if (!auth->service_header) {
		auth->service_header = xcalloc(1, size);
		snprintf(auth->service_header, size, "Service %s:%s", name,
			 auth->cfg->service_secret);
	}
	return auth->service_header;
}

/* ---- the header ---- */

static bool check_service(struct auth *auth, struct str credentials,
			  struct caller *caller, struct err *err)
{
	const char *colon =
		credentials.len ? memchr(credentials.at, ':', credentials.len) : NULL;
	struct str name, secret;

	if (!colon)
		return err_set(err, ERR_UNAUTHORIZED, "want \"Service <name>:<secret>\"");
	name = (struct str){credentials.at, (size_t)(colon - credentials.at)};
	secret = (struct str){colon + 1, credentials.len - name.len - 1};
	if (!*auth->cfg->service_secret ||
	    !id_secret_eq(secret, str_from(auth->cfg->service_secret)) ||
	    !str_copy(caller->service, sizeof(caller->service), name))
		return err_set(err, ERR_UNAUTHORIZED, "wrong service credentials");
	caller->kind = CALLER_SERVICE;
	return true;
}

static struct cached *cache_slot(struct auth *auth, const unsigned char *digest)
{
	uint32_t n;

	memcpy(&n, digest, sizeof(n));
	return &auth->cache[n % AUTH_CACHE_SLOTS];
}

static bool check_bearer(struct auth *auth, struct str token, struct caller *caller,
			 struct err *err)
{
	unsigned char digest[32];
	struct cached *slot;

	id_sha256(digest, token.at, token.len);
	slot = cache_slot(auth, digest);
	if (memcmp(slot->digest, digest, sizeof(digest)) != 0) {
		if (!auth_token_check(auth, token, caller, err))
			return false;
		memcpy(slot->digest, digest, sizeof(digest));
		slot->caller = *caller;
	}
	if (slot->caller.expires_s <= time_now_ms() / 1000)
		return err_slug(err, ERR_UNAUTHORIZED, "token_expired",
				"the access token has expired; sign in again");
	*caller = slot->caller;
	return true;
}

static bool check(struct auth *auth, struct str header, struct caller *caller,
		  struct err *err)
{
	const char *space = header.len ? memchr(header.at, ' ', header.len) : NULL;
	struct str scheme, rest;

	if (!space)
		return err_set(err, ERR_UNAUTHORIZED,
			       "cannot read the Authorization header");
	scheme = (struct str){header.at, (size_t)(space - header.at)};
	rest = str_trim((struct str){space, header.len - scheme.len});
	if (str_ieq(scheme, STR("Bearer")))
		return check_bearer(auth, rest, caller, err);
	if (str_ieq(scheme, STR("Service")))
		return check_service(auth, rest, caller, err);
	return err_set(err, ERR_UNAUTHORIZED,
		       "unknown Authorization scheme; want Bearer");
}

bool auth_check(struct auth *auth, struct str authorization, struct caller *caller,
		struct err *err)
{
	bool ok;

	memset(caller, 0, sizeof(*caller));
	if (!authorization.at)
		return true;
	ok = check(auth, authorization, caller, err);
	if (!ok)
		memset(caller, 0, sizeof(*caller));
	metric_add(ok ? auth->accepted : auth->refused, 1);
	return ok;
}

/* ---- who may ---- */

static bool refuse(const struct caller *caller, const char *what, struct err *err)
{
	if (caller->kind == CALLER_ANONYMOUS)
		return err_set(err, ERR_UNAUTHORIZED, "sign in first: %s", what);
	return err_set(err, ERR_FORBIDDEN, "%s", what);
}

bool auth_caller(struct auth *auth, struct http_req *req, struct caller *caller,
		 struct err *err)
{
	if (!auth_check(auth, http_header(req, "Authorization"), caller, err))
		return false;
	if (caller->kind == CALLER_ANONYMOUS && auth_mode(auth) == AUTH_REQUIRED)
		return err_set(err, ERR_UNAUTHORIZED, "sign in first");
	return true;
}

bool auth_may_act_for(const struct auth *auth, const struct caller *caller,
		      int64_t user_id, struct err *err)
{
	switch (caller->kind) {
	case CALLER_SERVICE: return true;
	case CALLER_USER:
		if (caller->admin || caller->user_id == user_id)
			return true;
		break;
	case CALLER_ANONYMOUS:
		if (auth_mode(auth) == AUTH_DEMO)
			return true;
		break;
	}
	return refuse(caller, "this belongs to another user", err);
}

bool auth_is_admin(const struct auth *auth, const struct caller *caller, bool demo_anyone,
		   struct err *err)
{
	if (caller->kind == CALLER_SERVICE ||
	    (caller->kind == CALLER_USER && caller->admin))
		return true;
	if (caller->kind == CALLER_ANONYMOUS && demo_anyone &&
	    auth_mode(auth) == AUTH_DEMO)
		return true;
	return refuse(caller, "this is for administrators", err);
}

bool auth_is_service(const struct caller *caller, const char *names, struct err *err)
{
	struct str name = str_from(caller->service);

	while (caller->kind == CALLER_SERVICE && *names) {
		size_t len = strcspn(names, ",");

		if (str_eq(str_trim((struct str){names, len}), name))
			return true;
		names += len;
		names += *names == ',';
	}
	return refuse(caller, "this is for our own services", err);
}
