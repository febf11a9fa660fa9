/*
 * user.h - what a user is: rules and JSON, no I/O.
 */
#ifndef USER_SVC_USER_H
#define USER_SVC_USER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "jw.h"
#include "str.h"

#define USER_NAME_MAX     100 /* characters */
#define USER_EMAIL_MAX    254 /* bytes, RFC 5321 */
#define USER_PASSWORD_MIN 8   /* characters */
#define USER_PASSWORD_MAX 128
#define USER_HASH_MAX     255
#define USER_CURSOR_MAX   24

enum user_role { USER_CUSTOMER, USER_ADMIN };

struct user {
	int64_t id;
	char name[USER_NAME_MAX * 4 + 1];
	char email[USER_EMAIL_MAX + 1]; /* normalised */
	enum user_role role;
	char hash[USER_HASH_MAX + 1]; /* encoded argon2id; never leaves the service */
	int64_t created_ms;
};

/* A request body, checked. Texts are borrowed from the tree; .at == NULL: not given. */
struct user_wish {
	struct str name;
	char email[USER_EMAIL_MAX + 1]; /* "": not given */
	struct str password, current_password;
	bool has_role;
	enum user_role role;
};

/* {"name","email","password"}; `with_role`: and optionally "role". */
bool user_wish_new(json_t *body, bool with_role, struct user_wish *wish, struct err *err)
	__attribute__((warn_unused_result));
/* {"email","password"}; a password that cannot be right is no error here. */
bool user_wish_login(json_t *body, struct user_wish *wish, struct err *err)
	__attribute__((warn_unused_result));
/* Any of name, email, password, current_password, role; at least one change. */
bool user_wish_patch(json_t *body, struct user_wish *wish, struct err *err)
	__attribute__((warn_unused_result));

/* Trims, checks and lower-cases; `out` holds USER_EMAIL_MAX + 1 bytes. */
bool user_email(struct str text, char *out, struct err *err)
	__attribute__((warn_unused_result));
bool user_name_ok(struct str name, struct err *err) __attribute__((warn_unused_result));
bool user_password_ok(struct str password, const char *field, struct err *err)
	__attribute__((warn_unused_result));

const char *user_role_name(enum user_role role);
bool user_role_parse(struct str text, enum user_role *role);

/* The public form: user_id name email role created_at. */
void user_write(struct jw *w, const struct user *user);

/* Page marks: opaque to clients, the last id seen to us. */
void user_cursor_format(char *dst, int64_t last_id);
bool user_cursor_parse(struct str cursor, int64_t *last_id, struct err *err)
	__attribute__((warn_unused_result));

#endif
