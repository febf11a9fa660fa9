/* access.c - the route's list of callers against who is calling. */
#include "access.h"

static bool anyone_allowed(const struct route *route, enum auth_mode mode)
{
	return route->anyone || (route->demo_anyone && mode == AUTH_DEMO);
}

static bool user_allowed(const struct route *route, const struct caller *caller)
{
	return route->user || (route->admin && caller->admin);
}

bool access_allows(const struct route *route, const struct caller *caller,
		   enum auth_mode mode, struct err *err)
{
	switch (caller->kind) {
	case CALLER_ANONYMOUS:
		if (anyone_allowed(route, mode))
			return true;
		return err_set(err, ERR_UNAUTHORIZED, "sign in first");
	case CALLER_USER:
		if (anyone_allowed(route, mode) || user_allowed(route, caller))
			return true;
		return err_set(err, ERR_FORBIDDEN, "this is not for your account");
	case CALLER_SERVICE:
		/* The secret of services must be of no use from outside. */
		if (route->listener == LISTENER_INTERNAL &&
		    (route->anyone ||
		     (route->services && auth_is_service(caller, route->services, NULL))))
			return true;
		return err_set(err, ERR_FORBIDDEN, "this is not for that service");
	}
	return err_set(err, ERR_FORBIDDEN, "unknown caller");
}

bool access_check(struct auth *auth, const struct route *route, struct str authorization,
		  struct caller *caller, struct err *err)
{
	return auth_check(auth, authorization, caller, err) &&
	       access_allows(route, caller, auth_mode(auth), err);
}
