/*
 * auth_token.c - check a JWT: RFC 7519 claims in an RFC 7515 compact JWS.
 *
 * Only RS256 with a known kid is accepted, whatever the token's header says
 * (RFC 8725 section 3.1); the signature itself is libjose's business.
 */
#include <jose/b64.h>
#include <jose/jws.h>

#include "auth_internal.h"
#include "js.h"
#include "timeutil.h"

#define TOKEN_MAX_BYTES 4096
#define CLOCK_SKEW_S    60

struct parts {
	struct str protected, payload, signature;
};

static bool bad_token(struct err *err, const char *why)
{
	return err_slug(err, ERR_UNAUTHORIZED, "invalid_token",
			"the access token is not valid: %s", why);
}

static bool split(struct str token, struct parts *parts)
{
	const char *end = token.at + token.len;
	const char *dot1 = token.len ? memchr(token.at, '.', token.len) : NULL;
	const char *dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;

	if (!dot2 || memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)))
		return false;
	parts->protected = (struct str){token.at, (size_t)(dot1 - token.at)};
	parts->payload = (struct str){dot1 + 1, (size_t)(dot2 - dot1 - 1)};
	parts->signature = (struct str){dot2 + 1, (size_t)(end - dot2 - 1)};
	return parts->protected.len && parts->payload.len && parts->signature.len;
}

/* Owned by the caller; NULL if it is no base64url of a JSON object. */
static json_t *decode(struct str part)
{
	char text[TOKEN_MAX_BYTES];
	size_t n = jose_b64_dec_buf(part.at, part.len, text, sizeof(text));

	return n == SIZE_MAX ? NULL : js_parse_object((struct str){text, n}, NULL);
}

static json_t *find_key(const struct auth *auth, const char *kid)
{
	json_t *key;
	size_t i;

	json_array_foreach(auth->keys, i, key)
	{
		const char *have = json_string_value(json_object_get(key, "kid"));

		if (have && strcmp(have, kid) == 0)
			return key;
	}
	return NULL;
}

/* The key that the header names; borrowed. */
static json_t *header_key(struct auth *auth, struct str part, struct err *err)
{
	json_t *header = decode(part);
	const char *alg = json_string_value(json_object_get(header, "alg"));
	const char *kid = json_string_value(json_object_get(header, "kid"));
	json_t *key = NULL;

	if (!alg || strcmp(alg, "RS256") != 0 || !kid ||
	    json_object_get(header, "crit")) {
		bad_token(err, "want RS256 with a kid");
	} else {
		key = find_key(auth, kid);
		if (!key) {
			auth_keys_unknown(auth);
			bad_token(err, "signed with an unknown key");
		}
	}
	json_decref(header);
	return key;
}

static bool signature_ok(const struct parts *parts, json_t *key)
{
	json_t *jws = json_pack("{s:s%,s:s%,s:s%}", "protected", parts->protected.at,
				parts->protected.len, "payload", parts->payload.at,
				parts->payload.len, "signature", parts->signature.at,
				parts->signature.len);
	bool ok = jws && jose_jws_ver(NULL, jws, NULL, key, false);

	json_decref(jws);
	return ok;
}

static bool read_claims(const struct auth *auth, json_t *claims, struct caller *caller,
			struct err *err)
{
	const char *iss = json_string_value(json_object_get(claims, "iss"));
	const char *sub = json_string_value(json_object_get(claims, "sub"));
	const char *role = json_string_value(json_object_get(claims, "role"));
	json_t *exp = json_object_get(claims, "exp");
	json_t *iat = json_object_get(claims, "iat");

	if (!iss || strcmp(iss, auth->cfg->issuer) != 0)
		return bad_token(err, "wrong issuer");
	if (!sub || !str_i64(str_from(sub), &caller->user_id) || caller->user_id <= 0)
		return bad_token(err, "no user id in \"sub\"");
	if (!json_is_integer(exp))
		return bad_token(err, "no \"exp\"");
	if (json_is_integer(iat) &&
	    json_integer_value(iat) > time_now_ms() / 1000 + CLOCK_SKEW_S)
		return bad_token(err, "issued in the future");
	caller->expires_s = json_integer_value(exp);
	caller->kind = CALLER_USER;
	caller->admin = role && strcmp(role, "admin") == 0;
	return true;
}

bool auth_token_check(struct auth *auth, struct str token, struct caller *caller,
		      struct err *err)
{
	struct parts parts;
	json_t *key, *claims;
	bool ok;

	if (token.len > TOKEN_MAX_BYTES || !split(token, &parts))
		return bad_token(err, "not a compact JWT");
	if (!auth->keys) {
		auth_keys_unknown(auth);
		err_set(err, ERR_BUSY, "the signing keys are not known yet");
		err->retry_after_s = 1;
		return false;
	}
	key = header_key(auth, parts.protected, err);
	if (!key)
		return false;
	if (!signature_ok(&parts, key))
		return bad_token(err, "wrong signature");
	claims = decode(parts.payload);
	if (!claims)
		return bad_token(err, "the claims are no JSON object");
	ok = read_claims(auth, claims, caller, err);
	json_decref(claims);
	return ok;
}
