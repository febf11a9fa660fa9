/* signing_key.h - the file with the private keys. */
#ifndef USER_SVC_SIGNING_KEY_H
#define USER_SVC_SIGNING_KEY_H

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

/* The keys of the file, as an array with at least one private RSA key, each with
 * a "kid". Owned by the caller. NULL: `err`. */
json_t *signing_keys_load(const char *path, struct err *err);

/* Makes a new key file, mode 0600. `made` (may be NULL): false when the file was
 * there already, which is left alone and is no failure. */
bool signing_key_make(const char *path, bool *made, struct err *err)
	__attribute__((warn_unused_result));

#endif
