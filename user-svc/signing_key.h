/*
 * signing_key.h - the file with the private keys: a JWK set of the current key, which
 * signs, the next one, which is published already, and after a rotation the one before,
 * which tokens may still be signed with.
 */
#ifndef USER_SVC_SIGNING_KEY_H
#define USER_SVC_SIGNING_KEY_H

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

/* The keys of the file, as an array with at least one private RSA key, each with
 * a "kid". Owned by the caller. NULL: `err`. */
json_t *signing_keys_load(const char *path, struct err *err);

/* Makes a new key file, mode 0600, with a current and a next key. `made` (may be NULL):
 * false when the file was there already, which is left alone and is no failure. */
bool signing_key_make(const char *path, bool *made, struct err *err)
	__attribute__((warn_unused_result));

/* The text of such a file. Owned by the caller, who ends it with signing_keys_wipe().
 * NULL: `err`. */
char *signing_keys_new(struct err *err);
void signing_keys_wipe(char *text); /* accepts NULL */

/* The keys read from `fd` one step on: the next one signs, a new one is next, the old
 * one is kept to check with. Of a single key only a next one is made. Owned as above. */
char *signing_keys_rotated(int fd, const char *name, struct err *err);
/* Puts the text in the place of the file, at once and whole. */
bool signing_keys_replace(const char *path, const char *text, struct err *err)
	__attribute__((warn_unused_result));

#endif
