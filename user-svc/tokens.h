/*
 * tokens.h - signing keys, their public set, and access tokens (RS256 JWTs).
 *
 * The key file is a JWK or a JWK set (RFC 7517) with private RSA keys.  The
 * first key signs, the public halves of all are published, so a new key can be
 * announced before it signs.  All instances share one file.
 */
#ifndef USER_SVC_TOKENS_H
#define USER_SVC_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"
#include "user.h"

struct tokens;

/* Reads the keys; makes the file when it is missing and its folder may be
 * written. */
struct tokens *tokens_new(const char *key_file, const char *issuer, int64_t ttl_s,
			  struct err *err);
void tokens_free(struct tokens *tokens);

/* The JWKS document; valid as long as `tokens`. */
struct str tokens_jwks(const struct tokens *tokens);

/* A token for this user, valid from now_ms. NULL: `err`. Owned by the caller. */
char *tokens_issue(const struct tokens *tokens, const struct user *user, int64_t now_ms,
		   struct err *err);
int64_t tokens_ttl_s(const struct tokens *tokens);

#endif
