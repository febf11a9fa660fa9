/* test_user.c - rules and JSON of users. */
/* link: user-svc/user.c */
#include "user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "js.h"

static bool email_is(const char *text, const char *want)
{
	char out[USER_EMAIL_MAX + 1];
	struct err err = {0};

	if (!user_email(str_from(text), out, &err))
		return want == NULL && strcmp(err.field, "email") == 0 && !out[0];
	return want && strcmp(out, want) == 0;
}

static void emails_are_trimmed_and_lowered(void **state)
{
	(void)state;
	assert_true(
		email_is(" Zoe.Smith+Shop@Example.COM\t", "zoe.smith+shop@example.com"));
	assert_true(email_is("a@b.c", "a@b.c"));
	assert_true(email_is("o'hara@x-y.example", "o'hara@x-y.example"));
}

static void bad_emails_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"@",
		"a",
		"a@",
		"@b.c",
		"a@b",
		"a b@c.d",
		"a@b..c",
		"a@.b.c",
		"a@b.c.",
		".a@b.c",
		"a.@b.c",
		"a..b@c.d",
		"a@-b.c",
		"a@b-.c",
		"a@b_c.d",
		"a@@b.c",
		"zo\xc3\xab@b.c",
		"a@b.c\n",
		"a\r\nBcc: x@y.z",
		"<a@b.c>",
		"a@[1.2.3.4]",
		"0123456789012345678901234567890123456789012345678901234567890123456@b.c",
	};
	char longest[300];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		if (!email_is(bad[i], NULL))
			fail_msg("accepted: %s", bad[i]);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "a@", 2);
	for (int i = 50; i < 299; i += 50)
		longest[i] = '.';
	longest[299] = '\0';
	assert_true(email_is(longest, NULL));
}

static bool wish_new(const char *text, bool with_role, struct user_wish *wish,
		     struct err *err)
{
	json_t *body = js_parse_object(str_from(text), err);
	bool ok = body && user_wish_new(body, with_role, wish, err);

	json_decref(body);
	return ok;
}

static void a_registration_needs_its_three_fields(void **state)
{
	struct user_wish wish;
	struct err err = {0};

	(void)state;
	assert_true(wish_new(
		"{\"name\":\" Zoe \",\"email\":\"Z@b.c\",\"password\":\"12345678\"}",
		false, &wish, &err));
	assert_int_equal(wish.name.len, 3);
	assert_string_equal(wish.email, "z@b.c");
	assert_int_equal(wish.role, USER_CUSTOMER);
	assert_false(
		wish_new("{\"name\":\"Z\",\"email\":\"z@b.c\"}", false, &wish, &err));
	assert_string_equal(err.field, "password");
	assert_false(wish_new("{\"email\":\"z@b.c\",\"password\":\"12345678\"}", false,
			      &wish, &err));
	assert_string_equal(err.field, "name");
	assert_false(wish_new(
		"{\"name\":\"  \",\"email\":\"z@b.c\",\"password\":\"12345678\"}", false,
		&wish, &err));
	assert_string_equal(err.field, "name");
	assert_false(wish_new(
		"{\"name\":\"a\\nb\",\"email\":\"z@b.c\",\"password\":\"12345678\"}",
		false, &wish, &err));
	assert_string_equal(err.field, "name");
}

static void nobody_registers_as_an_admin(void **state)
{
	static const char text[] = "{\"name\":\"Z\",\"email\":\"z@b.c\","
				   "\"password\":\"12345678\",\"role\":\"admin\"}";
	struct user_wish wish;
	struct err err = {0};

	(void)state;
	assert_false(wish_new(text, false, &wish, &err));
	assert_int_equal(err.code, ERR_INPUT);
	assert_true(wish_new(text, true, &wish, &err));
	assert_int_equal(wish.role, USER_ADMIN);
}

static void lengths_are_counted_in_characters(void **state)
{
	char text[USER_PASSWORD_MAX * 4 + 8];
	struct err err = {0};

	(void)state;
	for (int i = 0; i < USER_PASSWORD_MAX + 1; i++)
		memcpy(text + 4 * i, "\xf0\x9f\x9b\x92", 4);
	assert_true(user_password_ok((struct str){text, 4 * 8}, "password", &err));
	assert_true(user_password_ok((struct str){text, 4 * USER_PASSWORD_MAX},
				     "password", &err));
	assert_false(user_password_ok((struct str){text, 4 * 7}, "password", &err));
	assert_false(user_password_ok((struct str){text, 4 * USER_PASSWORD_MAX + 4},
				      "password", &err));
	assert_true(user_name_ok((struct str){text, 4 * USER_NAME_MAX}, &err));
	assert_false(user_name_ok((struct str){text, 4 * USER_NAME_MAX + 4}, &err));
}

static bool wish_patch(const char *text, struct user_wish *wish, struct err *err)
{
	json_t *body = js_parse_object(str_from(text), err);
	bool ok = body && user_wish_patch(body, wish, err);

	json_decref(body);
	return ok;
}

static void a_patch_changes_something(void **state)
{
	struct user_wish wish;
	struct err err = {0};

	(void)state;
	assert_false(wish_patch("{}", &wish, &err));
	assert_false(wish_patch("{\"current_password\":\"x\"}", &wish, &err));
	assert_false(wish_patch("{\"user_id\":2}", &wish, &err));
	assert_true(wish_patch("{\"name\":\"New\"}", &wish, &err));
	assert_true(wish.name.at && !wish.password.at && !wish.email[0] &&
		    !wish.has_role);
	assert_true(wish_patch("{\"role\":\"customer\"}", &wish, &err));
	assert_true(wish.has_role);
	assert_false(wish_patch("{\"role\":\"root\"}", &wish, &err));
	assert_string_equal(err.field, "role");
}

static void cursors_read_back_and_nothing_else_does(void **state)
{
	static const char *const bad[] = {"",
					  "u",
					  "u0",
					  "x1",
					  "u01",
					  "U1",
					  "u1 ",
					  "uG",
					  "1",
					  "uffffffffffffffff",
					  "u11111111111111111",
					  "u-1"};
	char text[USER_CURSOR_MAX];
	struct err err = {0};
	int64_t id;

	(void)state;
	for (int64_t want = 1; want < (int64_t)1 << 58; want = want * 7 + 3) {
		user_cursor_format(text, want);
		assert_true(user_cursor_parse(str_from(text), &id, &err));
		assert_int_equal(id, want);
	}
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		if (user_cursor_parse(str_from(bad[i]), &id, &err))
			fail_msg("accepted: %s", bad[i]);
		assert_string_equal(err.field, "cursor");
	}
}

static void the_public_form_has_no_secret(void **state)
{
	struct user user = {.id = 7,
			    .name = "Zo\xc3\xab",
			    .email = "z@b.c",
			    .hash = "secret",
			    .created_ms = 1764018802000};
	char text[512];
	struct jw w;

	(void)state;
	jw_init_fixed(&w, text, sizeof(text));
	user_write(&w, &user);
	assert_true(jw_ok(&w));
	assert_string_equal(
		jw_text(&w).at,
		"{\"user_id\":7,\"name\":\"Zo\xc3\xab\",\"email\":\"z@b.c\","
		"\"role\":\"customer\",\"created_at\":\"2025-11-24T21:13:22Z\"}");
}

/* A text says what it is about, and limits of any length are in characters. */
static void refusals_name_their_field(void **state)
{
	static char body[8000], text[2000];
	struct user_wish wish;
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	snprintf(body, sizeof(body),
		 "{\"name\":\"%s\",\"email\":\"z@b.c\",\"password\":\"12345678\"}", text);
	assert_false(wish_new(body, false, &wish, &err));
	assert_string_equal(err.text, "name must have 1 to 100 characters");
	snprintf(body, sizeof(body),
		 "{\"name\":\"x\",\"email\":\"%s@b.c\",\"password\":\"12345678\"}", text);
	assert_false(wish_new(body, false, &wish, &err));
	assert_string_equal(err.text, "email must be an e-mail address");
	snprintf(body, sizeof(body),
		 "{\"name\":\"x\",\"email\":\"z@b.c\",\"password\":\"%s\"}", text);
	assert_false(wish_new(body, false, &wish, &err));
	assert_string_equal(err.text, "password must have 8 to 128 characters");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emails_are_trimmed_and_lowered),
		cmocka_unit_test(bad_emails_are_refused),
		cmocka_unit_test(a_registration_needs_its_three_fields),
		cmocka_unit_test(nobody_registers_as_an_admin),
		cmocka_unit_test(lengths_are_counted_in_characters),
		cmocka_unit_test(refusals_name_their_field),
		cmocka_unit_test(a_patch_changes_something),
		cmocka_unit_test(cursors_read_back_and_nothing_else_does),
		cmocka_unit_test(the_public_form_has_no_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
