/*
 * route_match.c - find the route of a path.  Pure.
 *
 * Whole segments are compared; ":name" takes any one segment that is not empty.
 * The table is sorted so that the first match is the most literal one.
 */
#include <stdio.h>

#include "routes.h"

/* Next segment of a path that starts with '/'; false at its end. */
static bool next_segment(struct str *rest, struct str *segment)
{
	const char *slash;

	if (rest->len == 0)
		return false;
	rest->at++;
	rest->len--;
	slash = rest->len ? memchr(rest->at, '/', rest->len) : NULL;
	*segment = (struct str){rest->at, slash ? (size_t)(slash - rest->at) : rest->len};
	rest->at += segment->len;
	rest->len -= segment->len;
	return true;
}

static bool is_param(struct str segment)
{
	return segment.len > 0 && segment.at[0] == ':';
}

bool route_compile(struct route *route, struct err *err)
{
	struct str rest = str_from(route->pattern);
	struct str segment;

	if (rest.len == 0 || rest.at[0] != '/')
		return err_set(err, ERR_INPUT, "path must start with '/'");
	while (next_segment(&rest, &segment)) {
		if (route->n_segments == ROUTE_MAX_SEGMENTS)
			return err_set(err, ERR_INPUT, "path has too many segments");
		if (segment.len == 0 || str_eqz(segment, ":"))
			return err_set(err, ERR_INPUT, "path has an empty segment");
		route->segments[route->n_segments++] = segment;
	}
	return true;
}

bool route_overlaps(const struct route *a, const struct route *b)
{
	if (a->listener != b->listener || !(a->methods & b->methods) ||
	    a->n_segments != b->n_segments)
		return false;
	for (unsigned i = 0; i < a->n_segments; i++) {
		bool param = is_param(a->segments[i]);

		/* A literal beside a ":name" is fine: the literal wins. */
		if (param != is_param(b->segments[i]) ||
		    (!param && !str_eq(a->segments[i], b->segments[i])))
			return false;
	}
	return true;
}

int route_compare(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	for (unsigned i = 0; i < x->n_segments && i < y->n_segments; i++) {
		int order = is_param(x->segments[i]) - is_param(y->segments[i]);

		if (order)
			return order;
	}
	return strcmp(x->pattern, y->pattern);
}

static unsigned count_segments(struct str path)
{
	unsigned n = 0;

	for (size_t i = 0; i < path.len; i++)
		n += path.at[i] == '/';
	return n;
}

static bool matches(const struct route *route, struct str path)
{
	struct str segment;

	for (unsigned i = 0; i < route->n_segments; i++) {
		struct str want = route->segments[i];

		if (!next_segment(&path, &segment) || segment.len == 0)
			return false;
		if (!is_param(want) && !str_eq(want, segment))
			return false;
	}
	return path.len == 0;
}

const struct route *route_find(const struct routes *routes, enum listener_kind listener,
			       enum http_method_id method, struct str path,
			       unsigned *allowed)
{
	const unsigned n = count_segments(path);

	*allowed = 0;
	for (unsigned i = 0; i < routes->n; i++) {
		const struct route *route = &routes->list[i];

		if (route->n_segments != n || route->listener != listener ||
		    !matches(route, path))
			continue;
		if (route->methods & 1u << method)
			return route;
		*allowed |= route->methods;
	}
	return NULL;
}

void route_allow_text(unsigned methods, char *dst, size_t size)
{
	size_t len = 0;

	dst[0] = '\0';
	methods |= 1u << HTTP_OPTIONS;
	for (int m = 0; m < HTTP_METHODS; m++) {
		if (methods & 1u << m && len < size)
			len += (size_t)snprintf(dst + len, size - len, "%s%s",
						len ? ", " : "",
						http_method_name((enum http_method_id)m));
	}
}
