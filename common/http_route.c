/* http_route.c - finds the handler: whole paths, ":name" for one segment. */
#include <stdio.h>

#include "http_internal.h"

/* Cuts the next segment (without its slash) off `path`; false at the end. */
static bool segment(struct str *path, struct str *out)
{
	const char *slash;

	if (path->len == 0)
		return false;
	path->at++; /* every path starts with a slash */
	path->len--;
	slash = path->len ? memchr(path->at, '/', path->len) : NULL;
	*out = (struct str){path->at, slash ? (size_t)(slash - path->at) : path->len};
	path->at += out->len;
	path->len -= out->len;
	return true;
}

/* Does it match? `name`, when given, is a parameter wanted in `value`. */
static bool matches(const char *pattern, struct str path, const char *name,
		    struct str *value)
{
	struct str rest = str_from(pattern);
	struct str want, have;

	while (segment(&rest, &want)) {
		bool param = want.len > 0 && want.at[0] == ':';

		if (!segment(&path, &have))
			return false;
		if (param ? have.len == 0 : !str_eq(want, have))
			return false;
		if (param && name &&
		    str_eqz((struct str){want.at + 1, want.len - 1}, name))
			*value = have;
	}
	return path.len == 0;
}

static bool method_fits(const struct http_route *route, struct str method)
{
	return str_eqz(method, route->method) ||
	       (str_eqz(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

void http_route_find(const struct http_route *routes, struct str method, struct str path,
		     struct http_match *match)
{
	*match = (struct http_match){0};
	for (const struct http_route *r = routes; r->handler; r++) {
		if (!matches(r->pattern, path, NULL, NULL))
			continue;
		match->path_known = true;
		if (method_fits(r, method)) {
			match->route = r;
			return;
		}
	}
}

void http_route_allow(const struct http_route *routes, struct str path, char *dst,
		      size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	for (const struct http_route *r = routes; r->handler; r++) {
		int wrote;

		if (!matches(r->pattern, path, NULL, NULL))
			continue;
		wrote = snprintf(dst + n, size - n, "%s%s%s", n ? ", " : "", r->method,
				 strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
		if (wrote < 0 || (size_t)wrote >= size - n)
			return;
		n += (size_t)wrote;
	}
}

struct str http_route_param(const struct http_route *route, struct str path,
			    const char *name)
{
	struct str value = STR_NONE;

	if (route)
		matches(route->pattern, path, name, &value);
	return value;
}
