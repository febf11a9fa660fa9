/*
 * routes.c - read the routes files strictly: unknown members, unknown names and
 * routes that hide each other are errors that name the route.
 */
#include "routes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "js.h"
#include "upstreams.h"

#define MAX_FILE     (1 << 20)
#define MAX_ROUTES   512
#define DEFAULT_BODY 65536
#define DEFAULT_MS   10000
#define MAX_TOUCHES  8

/* ---- one route ---- */

static bool parse_methods(struct route *route, json_t *obj, struct err *err)
{
	json_t *list = json_object_get(obj, "methods");
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		struct str name = str_from(json_string_value(item));
		int m = 0;

		while (m < HTTP_METHODS &&
		       !str_eqz(name, http_method_name((enum http_method_id)m)))
			m++;
		if (m == HTTP_METHODS || m == HTTP_OPTIONS || m == HTTP_HEAD)
			return err_set(
				err, ERR_INPUT,
				"methods[%zu] must be GET POST PUT PATCH or DELETE", i);
		route->methods |= 1u << m;
	}
	if (route->methods & 1u << HTTP_GET)
		route->methods |= 1u << HTTP_HEAD;
	return route->methods ? true : err_set(err, ERR_INPUT, "methods must be a list");
}

static bool is_service(const struct routes *routes, struct str name)
{
	/* That one is no upstream of ours. */
	return upstreams_find(routes, name) || str_eqz(name, "processor");
}

static void add_service(struct route *route, const char *name)
{
	size_t old = route->services ? strlen(route->services) : 0;
	size_t size = old + strlen(name) + 2;

	route->services = xrealloc(route->services, size);
	snprintf(route->services + old, size - old, "%s%s", old ? "," : "", name);
}

static bool parse_who(const struct routes *routes, struct route *route, json_t *obj,
		      struct err *err)
{
	json_t *list = json_object_get(obj, "who");
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		struct str name = str_from(json_string_value(item));

		if (str_eqz(name, "anyone"))
			route->anyone = true;
		else if (str_eqz(name, "user"))
			route->user = true;
		else if (str_eqz(name, "admin"))
			route->admin = true;
		else if (str_eqz(name, "demo_anyone"))
			route->demo_anyone = true;
		else if (route->listener == LISTENER_INTERNAL && is_service(routes, name))
			add_service(route, name.at);
		else
			return err_set(err, ERR_INPUT, "who[%zu] is not known here", i);
	}
	if (!json_is_array(list) || json_array_size(list) == 0)
		return err_set(err, ERR_INPUT, "who must be a list of callers");
	return true;
}

static bool parse_flag(json_t *obj, const char *key, bool *out, struct err *err)
{
	json_t *value = json_object_get(obj, key);

	*out = json_is_true(value);
	if (value && !json_is_boolean(value))
		return err_set(err, ERR_INPUT, "%s must be true or false", key);
	return true;
}

static bool parse_limits(struct route *route, json_t *obj, struct err *err)
{
	int64_t body = DEFAULT_BODY, timeout = DEFAULT_MS;

	if (js_has(obj, "max_body") && !js_int(obj, "max_body", 0, 1LL << 40, &body, err))
		return false;
	if (js_has(obj, "timeout_ms") &&
	    !js_int(obj, "timeout_ms", 1, 600000, &timeout, err))
		return false;
	route->max_body = (uint64_t)body;
	route->timeout_ms = (int)timeout;
	return parse_flag(obj, "stream", &route->stream, err) &&
	       parse_flag(obj, "ignore_token", &route->ignore_token, err);
}

/* What anyone may read is the same for everyone: only that is repeated. */
static bool parse_cache(struct routes *routes, struct route *route, json_t *obj,
			struct err *err)
{
	const unsigned reads = 1u << HTTP_GET | 1u << HTTP_HEAD;
	int64_t ms = 0;

	if (!js_has(obj, "cache_ms"))
		return true;
	if (!js_int(obj, "cache_ms", 1, 60000, &ms, err))
		return false;
	if (route->methods != reads || !route->anyone || route->stream ||
	    route->listener != LISTENER_PUBLIC)
		return err_set(err, ERR_INPUT,
			       "cache_ms is for public reads (GET alone, by anyone)");
	route->cache_ms = (int)ms;
	routes->caches = true;
	return true;
}

static bool parse_touches(struct route *route, json_t *obj, struct err *err)
{
	json_t *list = json_object_get(obj, "touches");
	json_t *item;
	size_t i;

	if (!list)
		return true;
	if (!json_is_array(list) || json_array_size(list) > MAX_TOUCHES)
		return err_set(err, ERR_INPUT,
			       "touches must be a list of at most %d paths", MAX_TOUCHES);
	route->touches = xcalloc(MAX_TOUCHES, sizeof(char *));
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return err_set(err, ERR_INPUT, "touches[%zu] must be a path", i);
		route->touches[route->n_touches++] = xstrdup(json_string_value(item));
	}
	return true;
}

static bool parse_upstream(const struct routes *routes, struct route *route, json_t *obj,
			   struct err *err)
{
	struct str name;

	if (!js_str(obj, "upstream", 1, 64, &name, err))
		return false;
	route->upstream = upstreams_find(routes, name);
	return route->upstream ? true : err_set(err, ERR_INPUT, "unknown upstream");
}

static bool parse_path(struct route *route, json_t *obj, struct err *err)
{
	struct str listener = STR("public"), path;

	if (js_has(obj, "listener") && !js_str(obj, "listener", 1, 16, &listener, err))
		return false;
	if (str_eqz(listener, "internal"))
		route->listener = LISTENER_INTERNAL;
	else if (!str_eqz(listener, "public"))
		return err_set(err, ERR_INPUT, "listener must be public or internal");
	if (!js_str(obj, "path", 1, 512, &path, err))
		return false;
	route->pattern = xstrndup(path.at, path.len);
	return route_compile(route, err);
}

static bool parse_route(struct routes *routes, struct route *route, json_t *obj,
			struct err *err)
{
	static const char *const allowed[] = {
		"listener", "path",       "methods",  "who",     "ignore_token", "stream",
		"max_body", "timeout_ms", "cache_ms", "touches", "upstream",     NULL};

	/* The path first: it names the route in every later error. */
	return parse_path(route, obj, err) && js_only(obj, "", allowed, err) &&
	       parse_methods(route, obj, err) && parse_who(routes, route, obj, err) &&
	       parse_limits(route, obj, err) && parse_cache(routes, route, obj, err) &&
	       parse_touches(route, obj, err) && parse_upstream(routes, route, obj, err);
}

/* ---- the whole table ---- */

static bool check_overlaps(const struct routes *routes, struct err *err)
{
	for (unsigned i = 0; i < routes->n; i++) {
		for (unsigned k = i + 1; k < routes->n; k++) {
			if (route_overlaps(&routes->list[i], &routes->list[k]))
				return err_set(
					err, ERR_INPUT,
					"routes %s and %s answer the same requests",
					routes->list[i].pattern, routes->list[k].pattern);
		}
	}
	return true;
}

static bool is_cached(const struct routes *routes, const char *pattern)
{
	for (unsigned i = 0; i < routes->n; i++) {
		if (routes->list[i].cache_ms && !strcmp(routes->list[i].pattern, pattern))
			return true;
	}
	return false;
}

static bool check_touches(const struct routes *routes, struct err *err)
{
	for (unsigned i = 0; i < routes->n; i++) {
		const struct route *route = &routes->list[i];

		for (unsigned k = 0; k < route->n_touches; k++) {
			if (!is_cached(routes, route->touches[k]))
				return err_set(err, ERR_INPUT,
					       "%s touches %s, which has no cache_ms",
					       route->pattern, route->touches[k]);
		}
	}
	return true;
}

static bool parse_list(struct routes *routes, json_t *doc, struct err *err)
{
	json_t *list = json_object_get(doc, "routes");
	json_t *obj;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > MAX_ROUTES)
		return err_set(err, ERR_INPUT, "\"routes\" must be a list");
	routes->list = xcalloc(json_array_size(list) + 1, sizeof(struct route));
	json_array_foreach(list, i, obj)
	{
		struct route *route = &routes->list[routes->n++];

		if (!json_is_object(obj))
			return err_set(err, ERR_INPUT, "routes[%zu] must be an object",
				       i);
		if (!parse_route(routes, route, obj, err))
			return err_wrap(err, "routes[%zu] %s", i,
					route->pattern ? route->pattern : "");
	}
	qsort(routes->list, routes->n, sizeof(struct route), route_compare);
	return check_overlaps(routes, err) && check_touches(routes, err);
}

/* Takes `doc`, which may be NULL. */
static struct routes *parse_doc(json_t *doc, struct err *err)
{
	static const char *const allowed[] = {"upstreams", "routes", NULL};
	struct routes *routes = xcalloc(1, sizeof(*routes));
	bool ok = doc && js_only(doc, "", allowed, err) &&
		  upstreams_parse(routes, doc, err) && parse_list(routes, doc, err);

	atomic_init(&routes->refs, 1);
	json_decref(doc);
	if (!ok) {
		routes_unref(routes);
		return NULL;
	}
	return routes;
}

struct routes *routes_parse(struct str json, struct err *err)
{
	return parse_doc(js_parse_object(json, err), err);
}

/* ---- files ---- */

static char *read_file(const char *name, size_t *len, struct err *err)
{
	FILE *file = fopen(name, "re");
	char *text = NULL;

	if (!file) {
		err_set(err, ERR_INPUT, "%s", strerror(errno));
		return NULL;
	}
	text = xcalloc(1, MAX_FILE);
	*len = fread(text, 1, MAX_FILE, file);
	if (ferror(file) || *len == MAX_FILE) {
		err_set(err, ERR_INPUT, "cannot be read, or is too large");
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

/* Owned by the caller. */
static json_t *load_doc(const char *file, struct err *err)
{
	size_t len = 0;
	char *text = read_file(file, &len, err);
	json_t *doc = text ? js_parse_object((struct str){text, len}, err) : NULL;

	if (!doc)
		err_wrap(err, "%s", file);
	free(text);
	return doc;
}

/* Upstreams replace those of the same name, routes come on top. */
static bool merge(json_t *doc, json_t *more, struct err *err)
{
	static const char *const allowed[] = {"upstreams", "routes", NULL};
	json_t *upstreams = json_object_get(more, "upstreams");
	json_t *routes = json_object_get(more, "routes");

	if (!js_only(more, "", allowed, err))
		return false;
	if (upstreams &&
	    json_object_update(json_object_get(doc, "upstreams"), upstreams) != 0)
		return err_set(err, ERR_INPUT, "\"upstreams\" must be an object");
	if (routes && json_array_extend(json_object_get(doc, "routes"), routes) != 0)
		return err_set(err, ERR_INPUT, "\"routes\" must be a list");
	return true;
}

static bool add_file(json_t **doc, const char *file, struct err *err)
{
	json_t *more = load_doc(file, err);
	bool ok;

	if (!*doc || !more) {
		*doc = *doc ? *doc : more;
		return more != NULL;
	}
	ok = merge(*doc, more, err) || err_wrap(err, "%s", file);
	json_decref(more);
	return ok;
}

struct routes *routes_load(const char *files, struct err *err)
{
	struct routes *routes;
	json_t *doc = NULL;
	struct str item;

	for (struct str rest = str_from(files); upstreams_next(&rest, &item);) {
		char *file = xstrndup(item.at, item.len);
		bool ok = add_file(&doc, file, err);

		free(file);
		if (ok)
			continue;
		json_decref(doc);
		return NULL;
	}
	if (!doc) {
		err_set(err, ERR_INPUT, "no file is named");
		return NULL;
	}
	routes = parse_doc(doc, err);
	if (!routes)
		err_wrap(err, "%s", files);
	return routes;
}

struct routes *routes_ref(struct routes *routes)
{
	atomic_fetch_add_explicit(&routes->refs, 1, memory_order_relaxed);
	return routes;
}

static void free_route(struct route *route)
{
	for (unsigned i = 0; i < route->n_touches; i++)
		free(route->touches[i]);
	free(route->touches);
	free(route->pattern);
	free(route->services);
}

void routes_unref(struct routes *routes)
{
	if (!routes || atomic_fetch_sub(&routes->refs, 1) > 1)
		return;
	for (unsigned i = 0; i < routes->n; i++)
		free_route(&routes->list[i]);
	upstreams_free(routes);
	free(routes->list);
	free(routes);
}
