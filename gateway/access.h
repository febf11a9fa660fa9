/* access.h - may this caller use this route? */
#ifndef GATEWAY_ACCESS_H
#define GATEWAY_ACCESS_H

#include "auth.h"
#include "routes.h"

/* Judges the Authorization header and the route's list of callers. A present
 * but bad token is refused everywhere. Whose data it is about is decided by the
 * services. */
bool access_check(struct auth *auth, const struct route *route, struct str authorization,
		  struct caller *caller, struct err *err)
	__attribute__((warn_unused_result));

/* The second half, for a caller that is known. Pure. */
bool access_allows(const struct route *route, const struct caller *caller,
		   enum auth_mode mode, struct err *err)
	__attribute__((warn_unused_result));

#endif
