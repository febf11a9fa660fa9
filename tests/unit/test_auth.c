/* test_auth.c - tokens and callers, against keys made here. */
#include "check.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jwk.h>
#include <jose/jws.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth.h"
#include "timeutil.h"

static json_t *key, *other_key;
static struct auth *auth;
static struct metrics *metrics;
static struct auth_settings settings;

static json_t *make_key(const char *kid)
{
	json_t *jwk = json_pack("{s:s,s:i,s:s,s:s}", "kty", "RSA", "bits", 2048, "alg",
				"RS256", "kid", kid);

	assert_true(jose_jwk_gen(NULL, jwk));
	return jwk;
}

/* Owned by the caller. */
static char *sign(json_t *jwk, const char *alg, const char *kid, json_t *claims)
{
	char *text = json_dumps(claims, JSON_COMPACT);
	json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(text, strlen(text)));
	json_t *sig = json_pack("{s:{s:s,s:s}}", "protected", "alg", alg, "kid", kid);
	char *out = NULL;

	assert_true(jose_jws_sig(NULL, jws, sig, jwk));
	assert_true(asprintf(&out, "Bearer %s.%s.%s",
			     json_string_value(json_object_get(jws, "protected")),
			     json_string_value(json_object_get(jws, "payload")),
			     json_string_value(json_object_get(jws, "signature"))) > 0);
	free(text);
	json_decref(claims);
	json_decref(jws);
	json_decref(sig);
	return out;
}

static json_t *claims(const char *iss, const char *sub, const char *role, int64_t lives_s)
{
	return json_pack("{s:s,s:s,s:s,s:I}", "iss", iss, "sub", sub, "role", role, "exp",
			 (json_int_t)(time_now_ms() / 1000 + lives_s));
}

static void set_public(json_t *jwk)
{
	json_t *public = json_deep_copy(jwk);
	json_t *set = json_pack("{s:[o]}", "keys", public);
	struct err err;
	char *text;

	assert_true(jose_jwk_pub(NULL, public));
	text = json_dumps(set, 0);
	assert_true(auth_set_keys(auth, str_from(text), &err));
	free(text);
	json_decref(set);
}

static int setup(void **state)
{
	struct err err = {0};

	(void)state;
	key = make_key("k1");
	other_key = make_key("k1");
	settings = (struct auth_settings){.mode = AUTH_REQUIRED,
					  .service_secret = (char *)"0123456789abcdef",
					  .issuer = (char *)"shop"};
	metrics = metrics_new();
	auth = auth_new(NULL, &settings, NULL, metrics, &err);
	assert_non_null(auth);
	set_public(key);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	auth_free(auth);
	metrics_free(metrics);
	json_decref(key);
	json_decref(other_key);
	return 0;
}

static bool judge(char *header, struct caller *caller, struct err *err)
{
	bool ok = auth_check(auth, str_from(header), caller, err);

	free(header);
	return ok;
}

static void good_tokens(void **state)
{
	struct caller caller;
	struct err err = {0};

	(void)state;
	assert_true(judge(sign(key, "RS256", "k1", claims("shop", "7", "customer", 60)),
			  &caller, &err));
	assert_int_equal(caller.kind, CALLER_USER);
	assert_int_equal(caller.user_id, 7);
	assert_false(caller.admin);
	assert_in_range(caller.expires_s, time(NULL) + 50, time(NULL) + 60);
	assert_true(judge(sign(key, "RS256", "k1", claims("shop", "8", "admin", 60)),
			  &caller, &err));
	assert_true(caller.admin);
	assert_true(auth_check(auth, STR_NONE, &caller, &err));
	assert_int_equal(caller.kind, CALLER_ANONYMOUS);
}

static void refuses(char *header, const char *slug)
{
	struct caller caller;
	struct err err = {0};

	assert_false(judge(header, &caller, &err));
	assert_int_equal(err.code, ERR_UNAUTHORIZED);
	assert_string_equal(err.slug, slug);
	assert_int_equal(caller.kind, CALLER_ANONYMOUS);
}

/* What was accepted once must not live on in the cache. */
static void withdrawn_keys(void **state)
{
	char *good = sign(key, "RS256", "k1", claims("shop", "7", "customer", 60));
	struct caller caller;
	struct err err = {0};

	(void)state;
	assert_true(judge(strdup(good), &caller, &err));
	set_public(other_key);
	refuses(good, "invalid_token");
	set_public(key);
}

static void bad_tokens(void **state)
{
	char *good = sign(key, "RS256", "k1", claims("shop", "7", "customer", 60));
	char *cut = strdup(good);

	(void)state;
	cut[strlen(cut) - 20] ^= 1;
	refuses(cut, "invalid_token");
	free(good);
	refuses(sign(other_key, "RS256", "k1", claims("shop", "7", "admin", 60)),
		"invalid_token");
	refuses(sign(key, "RS256", "nobody", claims("shop", "7", "admin", 60)),
		"invalid_token");
	refuses(sign(key, "RS256", "k1", claims("evil", "7", "admin", 60)),
		"invalid_token");
	refuses(sign(key, "RS256", "k1", claims("shop", "-7", "admin", 60)),
		"invalid_token");
	refuses(sign(key, "RS256", "k1", claims("shop", "7", "admin", -1)),
		"token_expired");
	refuses(strdup("Bearer eyJhbGciOiJub25lIn0.e30."), "invalid_token");
	refuses(strdup("Bearer a.b.c.d"), "invalid_token");
	refuses(strdup("Basic abc"), "");
	refuses(strdup("Bearer"), "");
}

static void services(void **state)
{
	struct caller caller;
	struct err err = {0};

	(void)state;
	assert_true(auth_check(auth, STR("Service order-svc:0123456789abcdef"), &caller,
			       &err));
	assert_true(auth_is_service(&caller, "product-svc, order-svc", &err));
	assert_false(auth_is_service(&caller, "order-svc2,order", &err));
	assert_int_equal(err.code, ERR_FORBIDDEN);
	assert_false(auth_check(auth, STR("Service order-svc:0123456789abcdeg"), &caller,
				&err));
	assert_false(auth_check(auth, STR("Service order-svc"), &caller, &err));
}

static void may(void **state)
{
	struct caller user = {.kind = CALLER_USER, .user_id = 7}, none = {0};
	struct caller admin = {.kind = CALLER_USER, .user_id = 1, .admin = true};
	struct err err = {0};

	(void)state;
	assert_true(auth_may_act_for(auth, &user, 7, &err));
	assert_false(auth_may_act_for(auth, &user, 8, &err));
	assert_int_equal(err.code, ERR_FORBIDDEN);
	assert_true(auth_may_act_for(auth, &admin, 8, &err));
	assert_false(auth_may_act_for(auth, &none, 8, &err));
	assert_int_equal(err.code, ERR_UNAUTHORIZED);
	assert_false(auth_is_admin(auth, &none, true, &err));
	settings.mode = AUTH_DEMO;
	assert_true(auth_may_act_for(auth, &none, 8, &err));
	assert_true(auth_is_admin(auth, &none, true, &err));
	assert_false(auth_is_admin(auth, &none, false, &err));
	assert_false(auth_may_act_for(auth, &user, 8, &err)); /* a token still counts */
	settings.mode = AUTH_REQUIRED;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_tokens), cmocka_unit_test(bad_tokens),
		cmocka_unit_test(withdrawn_keys), cmocka_unit_test(services),
		cmocka_unit_test(may)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
