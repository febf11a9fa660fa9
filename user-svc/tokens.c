/* tokens.c - sign access tokens, publish the public keys. */
#include "tokens.h"

#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <stdio.h>
#include <stdlib.h>

#include "id.h"
#include "jw.h"
#include "signing_key.h"

#define CLAIMS_MAX_BYTES 1024

struct tokens {
	json_t *keys; /* private; the first one signs */
	char *jwks;
	char *issuer;
	int64_t ttl_s;
};

/* Owned by the caller. */
static char *public_set(json_t *keys)
{
	json_t *list = json_array();
	json_t *doc = json_pack("{s:o}", "keys", list);
	json_t *key;
	char *text;
	size_t i;

	json_array_foreach(keys, i, key)
	{
		json_t *copy = json_deep_copy(key);

		/* Never publish a key from which the private half was not taken. */
		if (jose_jwk_pub(NULL, copy))
			json_array_append(list, copy);
		json_decref(copy);
	}
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	return text;
}

struct tokens *tokens_new(const char *key_file, const char *issuer, int64_t ttl_s,
			  struct err *err)
{
	json_t *keys = signing_keys_load(key_file, err);
	struct tokens *tokens;

	if (!keys)
		return NULL;
	tokens = xcalloc(1, sizeof(*tokens));
	tokens->keys = keys;
	tokens->jwks = public_set(keys);
	tokens->issuer = xstrdup(issuer);
	tokens->ttl_s = ttl_s;
	return tokens;
}

void tokens_free(struct tokens *tokens)
{
	if (!tokens)
		return;
	json_decref(tokens->keys);
	free(tokens->jwks);
	free(tokens->issuer);
	free(tokens);
}

struct str tokens_jwks(const struct tokens *tokens)
{
	return str_from(tokens->jwks);
}

int64_t tokens_ttl_s(const struct tokens *tokens)
{
	return tokens->ttl_s;
}

static bool write_claims(const struct tokens *tokens, const struct user *user,
			 int64_t now_s, struct jw *w)
{
	char sub[24], jti[ID_HEX_LEN + 1];

	snprintf(sub, sizeof(sub), "%lld", (long long)user->id);
	id_new(jti);
	jw_object(w);
	jw_kstrz(w, "iss", tokens->issuer);
	jw_kstrz(w, "sub", sub);
	jw_kstrz(w, "role", user_role_name(user->role));
	jw_kstrz(w, "email", user->email);
	jw_kint(w, "iat", now_s);
	jw_kint(w, "exp", now_s + tokens->ttl_s);
	jw_kstrz(w, "jti", jti);
	jw_end(w);
	return jw_ok(w);
}

/* Compact serialisation (RFC 7515 section 7.1). Owned by the caller. */
static char *compact(json_t *jws)
{
	const char *protected, *payload, *signature;
	char *token;
	size_t size;

	if (json_unpack(jws, "{s:s,s:s,s:s}", "protected", &protected, "payload",
			&payload, "signature", &signature) != 0)
		return NULL;
	size = strlen(protected) + strlen(payload) + strlen(signature) + 3;
	token = xcalloc(1, size);
	snprintf(token, size, "%s.%s.%s", protected, payload, signature);
	return token;
}

static char *sign(const struct tokens *tokens, struct str claims)
{
	json_t *key = json_array_get(tokens->keys, 0);
	json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(claims.at, claims.len));
	json_t *sig = json_pack("{s:{s:s,s:s,s:O}}", "protected", "alg", "RS256", "typ",
				"JWT", "kid", json_object_get(key, "kid"));
	char *token = NULL;

	if (jws && sig && jose_jws_sig(NULL, jws, sig, key))
		token = compact(jws);
	json_decref(jws);
	json_decref(sig);
	return token;
}

char *tokens_issue(const struct tokens *tokens, const struct user *user, int64_t now_ms,
		   struct err *err)
{
	char text[CLAIMS_MAX_BYTES];
	struct jw w;
	char *token = NULL;

	jw_init_fixed(&w, text, sizeof(text));
	if (write_claims(tokens, user, now_ms / 1000, &w))
		token = sign(tokens, jw_text(&w));
	if (!token)
		err_set(err, ERR_INTERNAL, "cannot sign an access token");
	return token;
}
