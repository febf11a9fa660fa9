/* test_tokens.c - key files, the JWKS, and tokens that our own checker accepts. */
/* link: user-svc/tokens.c user-svc/signing_key.c user-svc/user.c user-svc/password.c */
#include "tokens.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth.h"
#include "js.h"
#include "log.h"
#include "password.h"
#include "signing_key.h"
#include "timeutil.h"

static struct {
	char dir[32];
	char key[64], other[64];
	struct loop *loop;
	struct metrics *metrics;
	struct auth_settings cfg;
	struct auth *auth;
} fix;

static const struct user zoe = {.id = 42, .email = "zoe@example.com", .role = USER_ADMIN};

static int setup(void **state)
{
	static char secret[] = "0123456789abcdef", issuer[] = "shop";
	struct err err = {0};

	(void)state;
	snprintf(fix.dir, sizeof(fix.dir), "/tmp/tokensXXXXXX");
	if (!mkdtemp(fix.dir))
		return -1;
	snprintf(fix.key, sizeof(fix.key), "%s/key.jwk", fix.dir);
	snprintf(fix.other, sizeof(fix.other), "%s/other.jwk", fix.dir);
	fix.cfg = (struct auth_settings){AUTH_REQUIRED, secret, issuer};
	fix.loop = loop_new(&err);
	fix.metrics = metrics_new();
	fix.auth = auth_new(fix.loop, &fix.cfg, NULL, fix.metrics, &err);
	return fix.auth ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(fix.key);
	unlink(fix.other);
	rmdir(fix.dir);
	auth_free(fix.auth);
	metrics_free(fix.metrics);
	loop_free(fix.loop);
	return 0;
}

static bool accepted(const char *token, struct caller *caller)
{
	char header[4096];
	struct err err = {0};

	snprintf(header, sizeof(header), "Bearer %s", token);
	return auth_check(fix.auth, str_from(header), caller, &err);
}

static struct tokens *open_keys(const char *path)
{
	struct err err = {0};
	struct tokens *tokens = tokens_new(path, "shop", 900, &err);

	if (!tokens)
		fail_msg("%s", err.text);
	return tokens;
}

static void a_missing_key_is_made_once_and_private(void **state)
{
	struct tokens *first = open_keys(fix.key), *second = open_keys(fix.key);
	struct err err = {0};
	struct stat st;
	bool made;

	(void)state;
	assert_true(str_eq(tokens_jwks(first), tokens_jwks(second)));
	assert_int_equal(stat(fix.key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(signing_key_make(fix.key, &made, &err));
	assert_false(made);
	tokens_free(first);
	tokens_free(second);
}

static void the_published_set_has_no_private_half(void **state)
{
	static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi"};
	struct tokens *tokens = open_keys(fix.key);
	json_t *doc = js_parse_object(tokens_jwks(tokens), NULL);
	json_t *key = json_array_get(json_object_get(doc, "keys"), 0);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(key, "kty")), "RSA");
	assert_string_equal(json_string_value(json_object_get(key, "alg")), "RS256");
	assert_int_equal(strlen(json_string_value(json_object_get(key, "kid"))), 43);
	for (unsigned i = 0; i < ARRAY_LEN(private); i++)
		assert_null(json_object_get(key, private[i]));
	json_decref(doc);
	tokens_free(tokens);
}

static void our_services_accept_what_we_sign(void **state)
{
	struct tokens *tokens = open_keys(fix.key);
	struct caller caller = {0};
	struct err err = {0};
	char *token = tokens_issue(tokens, &zoe, time_now_ms(), &err);

	(void)state;
	assert_non_null(token);
	assert_true(auth_set_keys(fix.auth, tokens_jwks(tokens), &err));
	assert_true(accepted(token, &caller));
	assert_int_equal(caller.kind, CALLER_USER);
	assert_int_equal(caller.user_id, 42);
	assert_true(caller.admin);
	free(token);
	token = tokens_issue(tokens, &zoe, time_now_ms() - 3600 * 1000, &err);
	assert_false(accepted(token, &caller));
	free(token);
	tokens_free(tokens);
}

static void changed_or_foreign_tokens_are_refused(void **state)
{
	struct tokens *tokens = open_keys(fix.key), *foreign = open_keys(fix.other);
	struct caller caller = {0};
	struct err err = {0};
	char *token = tokens_issue(tokens, &zoe, time_now_ms(), &err);
	char *other = tokens_issue(foreign, &zoe, time_now_ms(), &err);

	(void)state;
	assert_true(auth_set_keys(fix.auth, tokens_jwks(tokens), &err));
	assert_false(accepted(other, &caller));
	for (size_t i = 0; i < strlen(token); i += 13) {
		char was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		assert_false(accepted(token, &caller));
		token[i] = was;
	}
	assert_true(accepted(token, &caller));
	free(token);
	free(other);
	tokens_free(tokens);
	tokens_free(foreign);
}

/* Both keys in one file: the first signs, both are published. */
static void a_set_announces_the_next_key(void **state)
{
	struct tokens *old = open_keys(fix.key), *next = open_keys(fix.other), *both;
	struct err err = {0};
	struct caller caller = {0};
	json_t *keys = signing_keys_load(fix.other, &err);
	json_t *more = signing_keys_load(fix.key, &err), *doc;
	char *token;

	(void)state;
	json_array_extend(keys, more);
	doc = json_pack("{s:o}", "keys", keys);
	assert_int_equal(json_dump_file(doc, fix.key, 0), 0);
	json_decref(doc);
	json_decref(more);
	both = open_keys(fix.key);
	assert_true(auth_set_keys(fix.auth, tokens_jwks(both), &err));
	token = tokens_issue(old, &zoe, time_now_ms(), &err);
	assert_true(accepted(token, &caller));
	free(token);
	assert_true(auth_set_keys(fix.auth, tokens_jwks(next), &err));
	token = tokens_issue(both, &zoe, time_now_ms(), &err);
	assert_true(accepted(token, &caller));
	free(token);
	tokens_free(old);
	tokens_free(next);
	tokens_free(both);
}

/* ---- rotation ---- */

static void rotate_file(const char *path)
{
	struct err err = {0};
	int fd = open(path, O_RDONLY);
	char *text = signing_keys_rotated(fd, path, &err);

	close(fd);
	if (!text)
		fail_msg("%s", err.text);
	assert_true(signing_keys_replace(path, text, &err));
	signing_keys_wipe(text);
}

static const char *kid(json_t *keys, size_t i)
{
	return json_string_value(json_object_get(json_array_get(keys, i), "kid"));
}

static void rotation_promotes_the_next_key(void **state)
{
	struct err err = {0};
	json_t *before, *after, *last;

	(void)state;
	assert_true(signing_key_make(fix.key, NULL, &err));
	before = signing_keys_load(fix.key, &err);
	assert_int_equal(json_array_size(before), 2);
	rotate_file(fix.key);
	after = signing_keys_load(fix.key, &err);
	assert_int_equal(json_array_size(after), 3);
	assert_string_equal(kid(after, 0), kid(before, 1));
	assert_string_equal(kid(after, 2), kid(before, 0));
	assert_string_not_equal(kid(after, 1), kid(before, 0));
	rotate_file(fix.key);
	last = signing_keys_load(fix.key, &err);
	assert_int_equal(json_array_size(last), 3);
	assert_string_equal(kid(last, 0), kid(after, 1));
	assert_string_equal(kid(last, 2), kid(after, 0));
	json_decref(before);
	json_decref(after);
	json_decref(last);
}

/* At no time does anybody meet a token whose key he does not know: neither who has the
 * old set yet, nor who has the new one already. */
static void old_and_new_instances_accept_each_other(void **state)
{
	struct tokens *old = open_keys(fix.key), *new;
	struct caller caller = {0};
	struct err err = {0};
	char *before, *after;

	(void)state;
	rotate_file(fix.key);
	new = open_keys(fix.key);
	before = tokens_issue(old, &zoe, time_now_ms(), &err);
	after = tokens_issue(new, &zoe, time_now_ms(), &err);
	assert_true(auth_set_keys(fix.auth, tokens_jwks(old), &err));
	assert_true(accepted(before, &caller) && accepted(after, &caller));
	assert_true(auth_set_keys(fix.auth, tokens_jwks(new), &err));
	assert_true(accepted(before, &caller) && accepted(after, &caller));
	free(before);
	free(after);
	tokens_free(old);
	tokens_free(new);
}

/* A file of an earlier version: first the next key is announced. */
static void a_single_key_gets_a_next_one(void **state)
{
	struct err err = {0};
	json_t *one, *two;

	(void)state;
	assert_true(signing_key_make(fix.key, NULL, &err));
	one = signing_keys_load(fix.key, &err);
	assert_int_equal(json_dump_file(json_array_get(one, 0), fix.key, 0), 0);
	rotate_file(fix.key);
	two = signing_keys_load(fix.key, &err);
	assert_int_equal(json_array_size(two), 2);
	assert_string_equal(kid(two, 0), kid(one, 0));
	json_decref(one);
	json_decref(two);
}

static void useless_key_files_stop_the_start(void **state)
{
	static const char *const texts[] = {
		"",
		"{}",
		"[]",
		"{\"keys\":[]}",
		"hello",
		"{\"kty\":\"oct\",\"k\":\"AAAA\"}",
		"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"};
	struct err err;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		FILE *f = fopen(fix.key, "w");

		fputs(texts[i], f);
		fclose(f);
		err = (struct err){0};
		assert_null(tokens_new(fix.key, "shop", 900, &err));
		assert_int_not_equal(err.code, ERR_NONE);
	}
	assert_null(tokens_new("/nonexistent/folder/key.jwk", "shop", 900, &err));
	assert_int_equal(err.code, ERR_INPUT);
}

/* ---- passwords ---- */

static const struct password_settings cheap = {
	.memory_kib = 64, .passes = 1, .threads = 1, .max_queue = 2, .queue_ms = 5000};
static int pending, busy;

static void on_password(const struct err *err, void *arg)
{
	(void)arg;
	busy += err && err->code == ERR_BUSY;
	if (--pending == 0)
		loop_stop(fix.loop);
}

static void passwords_match_themselves_only(void **state)
{
	struct passwords *passwords = passwords_new(fix.loop, &cheap, fix.metrics, NULL);
	struct password_job job;
	char hash[USER_HASH_MAX + 1];
	static const char *const tries[] = {"correct horse", "Correct horse",
					    "correct hors"};

	(void)state;
	assert_true(password_hash_now(&cheap, STR("correct horse"), hash, NULL));
	assert_memory_equal(hash, "$argon2id$v=19$m=64,t=1,p=1$", 28);
	for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
		password_job_init(&job, str_from(tries[i]));
		str_copy(job.hash, sizeof(job.hash), str_from(hash));
		pending = 1;
		password_check(passwords, &job, on_password, NULL);
		loop_run(fix.loop);
		assert_int_equal(job.match, i == 0);
		assert_int_equal(job.text[0], 0); /* wiped */
	}
	passwords_free(passwords);
}

static void nobody_is_checked_like_somebody(void **state)
{
	struct passwords *passwords = passwords_new(fix.loop, &cheap, fix.metrics, NULL);
	struct password_job job;

	(void)state;
	password_job_init(&job, STR("correct horse"));
	pending = 1;
	busy = 0;
	password_check(passwords, &job, on_password, NULL);
	loop_run(fix.loop);
	assert_false(job.match);
	assert_false(job.failed); /* the stand-in was computed to the end */
	passwords_free(passwords);
}

static void too_many_are_told_to_come_back(void **state)
{
	struct passwords *passwords = passwords_new(fix.loop, &cheap, fix.metrics, NULL);
	static struct password_job jobs[50];

	(void)state;
	pending = 50;
	busy = 0;
	for (int i = 0; i < 50; i++) {
		password_job_init(&jobs[i], STR("correct horse"));
		password_hash(passwords, &jobs[i], on_password, NULL);
	}
	loop_run(fix.loop);
	assert_true(busy > 0 && busy < 50);
	passwords_free(passwords);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_missing_key_is_made_once_and_private),
		TEST(the_published_set_has_no_private_half),
		TEST(our_services_accept_what_we_sign),
		TEST(changed_or_foreign_tokens_are_refused),
		TEST(a_set_announces_the_next_key),
		TEST(rotation_promotes_the_next_key),
		TEST(old_and_new_instances_accept_each_other),
		TEST(a_single_key_gets_a_next_one),
		TEST(useless_key_files_stop_the_start),
		TEST(passwords_match_themselves_only),
		TEST(nobody_is_checked_like_somebody),
		TEST(too_many_are_told_to_come_back),
	};

	log_init("test_tokens", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
