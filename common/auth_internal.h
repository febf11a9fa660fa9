/* auth_internal.h - what the files of auth*.c share. */
#ifndef COMMON_AUTH_INTERNAL_H
#define COMMON_AUTH_INTERNAL_H

#include <jansson.h>

#include "auth.h"

/* Checked tokens; a new one overwrites what hashes to the same slot. */
#define AUTH_CACHE_SLOTS 1024

struct cached {
	unsigned char digest[32]; /* SHA-256 of the token; all zero: empty */
	struct caller caller;
};

struct auth {
	const struct auth_settings *cfg;
	struct metric *accepted, *refused;
	json_t *keys; /* array of JWKs; NULL until the first set arrives */
	struct cached cache[AUTH_CACHE_SLOTS];
	char *service_header;

	/* auth_keys.c: fetching */
	struct http_client *client;
	struct loop_timer *timer;
	bool fetching;
	unsigned failures;
	int64_t last_fetch_ms;
};

/* auth_keys.c */
void auth_keys_start(struct auth *auth, struct loop *loop, struct http_client *client);
void auth_keys_stop(struct auth *auth);
/* A token named a kid that is not known, or none is: fetch again, but not too often. */
void auth_keys_unknown(struct auth *auth);

/* auth_token.c: signature and claims of a JWT, without any cache. */
bool auth_token_check(struct auth *auth, struct str token, struct caller *caller,
		      struct err *err);

#endif
