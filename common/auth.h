/*
 * auth.h - who is calling?
 *
 * Users prove themselves with a JWT (RS256, RFC 7519/7515, kid in the JWKS of
 * user-svc), services with a shared secret:
 *
 *   Authorization: Bearer <jwt>
 *   Authorization: Service <name>:<secret>
 *
 * Every service checks again what the gateway checked: no bare header is
 * trusted.  The service scheme is the place where signed service tokens go.
 */
#ifndef COMMON_AUTH_H
#define COMMON_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "err.h"
#include "http.h"
#include "http_client.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"

enum auth_mode { AUTH_REQUIRED, AUTH_DEMO };

enum caller_kind { CALLER_ANONYMOUS, CALLER_USER, CALLER_SERVICE };

struct caller {
	enum caller_kind kind;
	int64_t user_id;   /* CALLER_USER */
	bool admin;        /* CALLER_USER with role "admin" */
	int64_t expires_s; /* CALLER_USER: Unix time at which the token ends */
	char service[24];  /* CALLER_SERVICE: "order-svc" */
};

struct auth_settings {
	int mode;             /* enum auth_mode */
	char *service_secret; /* shared by all services */
	char *issuer;         /* expected "iss" */
};
extern const struct config_entry auth_config[]; /* AUTH_MODE SERVICE_SECRET AUTH_ISSUER */

struct auth;

/* Keys are fetched from `path` of `client` (the gateway's internal listener)
 * at start, every 5 minutes, and at once (at most every 5 s) when a token names
 * an unknown kid. `client` may be NULL: only auth_set_keys() then (user-svc,
 * which has the keys itself). */
struct auth *auth_new(struct loop *loop, const struct auth_settings *cfg,
		      struct http_client *client, struct metrics *metrics,
		      struct err *err);
/* The client must be freed first: its pending calls end in here. */
void auth_free(struct auth *auth);
/* A JWKS document (RFC 7517); replaces all keys. Own thread. */
bool auth_set_keys(struct auth *auth, struct str jwks, struct err *err);
/* Has it keys? Shown in logs, no part of readiness. */
bool auth_has_keys(const struct auth *auth);
enum auth_mode auth_mode(const struct auth *auth);

/* Judges an Authorization header (.at == NULL: none). true: `caller` is filled,
 * anonymous without a header. false: forged, expired, malformed: ERR_UNAUTHORIZED
 * in both modes; ERR_BUSY when no keys are known yet. Checked tokens are kept in
 * a bounded cache until they expire. Thread-safe for the check itself is not
 * promised: one `struct auth` per loop. */
bool auth_check(struct auth *auth, struct str authorization, struct caller *caller,
		struct err *err) __attribute__((warn_unused_result));

/* The same for a request's header, and in required mode an anonymous caller is
 * ERR_UNAUTHORIZED. */
bool auth_caller(struct auth *auth, struct http_req *req, struct caller *caller,
		 struct err *err) __attribute__((warn_unused_result));

/* May this caller act for user_id? Own user, admin, any service; in demo mode
 * also an anonymous one. Otherwise ERR_UNAUTHORIZED (anonymous) or ERR_FORBIDDEN. */
bool auth_may_act_for(const struct auth *auth, const struct caller *caller,
		      int64_t user_id, struct err *err)
	__attribute__((warn_unused_result));
/* Admins; services; in demo mode also anonymous callers when `demo_anyone`. */
bool auth_is_admin(const struct auth *auth, const struct caller *caller, bool demo_anyone,
		   struct err *err) __attribute__((warn_unused_result));
/* Is it one of these services (a comma-separated list of names)? */
bool auth_is_service(const struct caller *caller, const char *names, struct err *err)
	__attribute__((warn_unused_result));

/* "Service <name>:<secret>" for our own calls; valid as long as `auth`. */
const char *auth_service_header(struct auth *auth, const char *name);

#endif
