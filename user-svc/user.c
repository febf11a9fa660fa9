/* user.c - rules and JSON of a user. */
#include "user.h"

#include <inttypes.h>
#include <stdio.h>

#include "js.h"

#define LOCAL_MAX 64
#define LABEL_MAX 63
/* Limits are in characters and checked afterwards; this one is the body's. */
#define TEXT_MAX SIZE_MAX

static const char *const role_names[] = {
	[USER_CUSTOMER] = "customer", [USER_ADMIN] = "admin"};

const char *user_role_name(enum user_role role)
{
	return role_names[role];
}

bool user_role_parse(struct str text, enum user_role *role)
{
	for (unsigned i = 0; i < ARRAY_LEN(role_names); i++) {
		if (str_eqz(text, role_names[i])) {
			*role = (enum user_role)i;
			return true;
		}
	}
	return false;
}

/* ---- e-mail ---- */

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A dot-atom of RFC 5322: what mail systems take without quoting. */
static bool local_ok(struct str local)
{
	if (local.len == 0 || local.len > LOCAL_MAX || local.at[0] == '.' ||
	    local.at[local.len - 1] == '.')
		return false;
	for (size_t i = 0; i < local.len; i++) {
		char c = local.at[i];

		if (c == '.' && local.at[i - 1] == '.')
			return false;
		if (!is_alnum(c) && (c == '\0' || !strchr(".!#$%&'*+-/=?^_`{|}~", c)))
			return false;
	}
	return true;
}

static bool label_ok(struct str label)
{
	if (label.len == 0 || label.len > LABEL_MAX || label.at[0] == '-' ||
	    label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		if (!is_alnum(label.at[i]) && label.at[i] != '-')
			return false;
	}
	return true;
}

/* At least two labels: nobody outside has an address at a bare host name. */
static bool domain_ok(struct str domain)
{
	unsigned labels = 0;

	for (;;) {
		const char *dot = memchr(domain.at, '.', domain.len);
		size_t len = dot ? (size_t)(dot - domain.at) : domain.len;

		if (!label_ok((struct str){domain.at, len}))
			return false;
		labels++;
		if (!dot)
			return labels >= 2;
		domain.at += len + 1;
		domain.len -= len + 1;
	}
}

bool user_email(struct str text, char *out, struct err *err)
{
	struct str email = str_trim(text);
	const char *at = email.len ? memrchr(email.at, '@', email.len) : NULL;
	struct str local, domain;

	out[0] = '\0';
	if (!at || email.len > USER_EMAIL_MAX)
		return err_field(err, "email", "email must be an e-mail address");
	local = (struct str){email.at, (size_t)(at - email.at)};
	domain = (struct str){at + 1, email.len - local.len - 1};
	if (!local_ok(local) || !domain_ok(domain))
		return err_field(err, "email", "email must be an e-mail address");
	for (size_t i = 0; i < email.len; i++) {
		char c = email.at[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	out[email.len] = '\0';
	return true;
}

/* ---- name and password ---- */

bool user_name_ok(struct str name, struct err *err)
{
	size_t n = str_characters(name);

	if (n < 1 || n > USER_NAME_MAX || !str_utf8_ok(name))
		return err_field(err, "name", "name must have 1 to %d characters",
				 USER_NAME_MAX);
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];

		if (c < 0x20 || c == 0x7f)
			return err_field(err, "name",
					 "name must not contain control characters");
	}
	return true;
}

bool user_password_ok(struct str password, const char *field, struct err *err)
{
	size_t n = str_characters(password);

	if (n < USER_PASSWORD_MIN || n > USER_PASSWORD_MAX || !str_utf8_ok(password))
		return err_field(err, field, "%s must have %d to %d characters", field,
				 USER_PASSWORD_MIN, USER_PASSWORD_MAX);
	return true;
}

/* ---- request bodies ---- */

static bool read_name(json_t *body, struct user_wish *wish, struct err *err)
{
	if (!js_str(body, "name", 0, TEXT_MAX, &wish->name, err))
		return false;
	wish->name = str_trim(wish->name);
	return user_name_ok(wish->name, err);
}

static bool read_email(json_t *body, struct user_wish *wish, struct err *err)
{
	struct str text;

	return js_str(body, "email", 0, TEXT_MAX, &text, err) &&
	       user_email(text, wish->email, err);
}

static bool read_password(json_t *body, const char *key, struct str *out, struct err *err)
{
	return js_str(body, key, 0, TEXT_MAX, out, err) &&
	       user_password_ok(*out, key, err);
}

/* One that was set earlier: only what none can have is refused. */
static bool read_old_password(json_t *body, const char *key, struct str *out,
			      struct err *err)
{
	size_t n;

	if (!js_str(body, key, 0, TEXT_MAX, out, err))
		return false;
	n = str_characters(*out);
	return (n >= 1 && n <= USER_PASSWORD_MAX) ||
	       err_field(err, key, "%s must have 1 to %d characters", key,
			 USER_PASSWORD_MAX);
}

static bool read_role(json_t *body, struct user_wish *wish, struct err *err)
{
	struct str text;

	if (!js_str(body, "role", 0, TEXT_MAX, &text, err))
		return false;
	wish->has_role = true;
	return user_role_parse(text, &wish->role) ||
	       err_field(err, "role", "role must be \"customer\" or \"admin\"");
}

bool user_wish_new(json_t *body, bool with_role, struct user_wish *wish, struct err *err)
{
	static const char *const plain[] = {"name", "email", "password", NULL};
	static const char *const full[] = {"name", "email", "password", "role", NULL};

	*wish = (struct user_wish){0};
	if (!js_only(body, "", with_role ? full : plain, err))
		return false;
	return read_name(body, wish, err) && read_email(body, wish, err) &&
	       read_password(body, "password", &wish->password, err) &&
	       (!with_role || !js_has(body, "role") || read_role(body, wish, err));
}

bool user_wish_login(json_t *body, struct user_wish *wish, struct err *err)
{
	static const char *const allowed[] = {"email", "password", NULL};

	*wish = (struct user_wish){0};
	return js_only(body, "", allowed, err) && read_email(body, wish, err) &&
	       read_old_password(body, "password", &wish->password, err);
}

bool user_wish_patch(json_t *body, struct user_wish *wish, struct err *err)
{
	static const char *const allowed[] = {
		"name", "email", "password", "current_password", "role", NULL};

	*wish = (struct user_wish){0};
	if (!js_only(body, "", allowed, err))
		return false;
	if ((js_has(body, "name") && !read_name(body, wish, err)) ||
	    (js_has(body, "email") && !read_email(body, wish, err)) ||
	    (js_has(body, "role") && !read_role(body, wish, err)) ||
	    (js_has(body, "password") &&
	     !read_password(body, "password", &wish->password, err)))
		return false;
	if (js_has(body, "current_password") &&
	    !read_old_password(body, "current_password", &wish->current_password, err))
		return false;
	if (!wish->name.at && !wish->email[0] && !wish->has_role && !wish->password.at)
		return err_set(err, ERR_INPUT,
			       "give at least one of name, email, password, role");
	return true;
}

/* ---- answers ---- */

void user_write(struct jw *w, const struct user *user)
{
	jw_object(w);
	jw_kint(w, "user_id", user->id);
	jw_kstrz(w, "name", user->name);
	jw_kstrz(w, "email", user->email);
	jw_kstrz(w, "role", user_role_name(user->role));
	jw_ktime(w, "created_at", user->created_ms, false);
	jw_end(w);
}

void user_cursor_format(char *dst, int64_t last_id)
{
	snprintf(dst, USER_CURSOR_MAX, "u%" PRIx64, (uint64_t)last_id);
}

bool user_cursor_parse(struct str cursor, int64_t *last_id, struct err *err)
{
	uint64_t id = 0;
	char again[USER_CURSOR_MAX];

	for (size_t i = 1; i < cursor.len && cursor.len <= 16; i++) {
		const char *digits = "0123456789abcdef";
		const char *digit = cursor.at[i] ? strchr(digits, cursor.at[i]) : NULL;

		id = id << 4 | (digit ? (uint64_t)(digit - digits) : 0);
	}
	/* Only what we made ourselves reads back the same. */
	user_cursor_format(again, (int64_t)id);
	if (id == 0 || id > INT64_MAX || !str_eqz(cursor, again))
		return err_field(err, "cursor",
				 "cursor must be the next_cursor of an earlier answer");
	*last_id = (int64_t)id;
	return true;
}
