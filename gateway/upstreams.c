/*
 * upstreams.c - services and their endpoints, from the routes file.
 *
 * A name may stand for many instances, which come and go: it gets as many endpoints as
 * it may have addresses at a time, and resolve.c gives them out.
 */
#include "upstreams.h"

#include <stdio.h>
#include <stdlib.h>

#include "expand.h"
#include "js.h"

#define MAX_URLS_TEXT 4096

bool upstreams_next(struct str *rest, struct str *item)
{
	const char *comma = rest->len ? memchr(rest->at, ',', rest->len) : NULL;
	size_t len = comma ? (size_t)(comma - rest->at) : rest->len;

	if (rest->len == 0)
		return false;
	*item = str_trim((struct str){rest->at, len});
	rest->at += comma ? len + 1 : len;
	rest->len -= comma ? len + 1 : len;
	return true;
}

struct upstream *upstreams_find(const struct routes *routes, struct str name)
{
	for (unsigned i = 0; i < routes->n_upstreams; i++) {
		if (str_eqz(name, routes->upstreams[i].name))
			return &routes->upstreams[i];
	}
	return NULL;
}

/* ---- endpoints ---- */

static void add_endpoint(struct routes *routes, struct upstream *upstream,
			 const struct origin *origin)
{
	struct endpoint *endpoint = xcalloc(1, sizeof(*endpoint));

	endpoint->id = routes->n_endpoints;
	endpoint->upstream = upstream;
	endpoint->origin = *origin;
	routes->endpoints = xrealloc(
		routes->endpoints, (routes->n_endpoints + 1) * sizeof(struct endpoint *));
	routes->endpoints[routes->n_endpoints++] = endpoint;
	upstream->endpoints =
		xrealloc(upstream->endpoints,
			 (upstream->n_endpoints + 1) * sizeof(struct endpoint *));
	upstream->endpoints[upstream->n_endpoints++] = endpoint;
}

/* One address, or a name with room for its addresses. */
static bool add_place(struct routes *routes, struct upstream *upstream, struct str url,
		      struct err *err)
{
	struct origin origin;
	unsigned n;

	if (!origin_parse(url, &origin, err))
		return false;
	n = origin.addr_len ? 1 : ENDPOINTS_OF_NAME;
	if (upstream->n_endpoints + n > ROUTES_MAX_ENDPOINTS)
		return err_set(err, ERR_INPUT,
			       "too many endpoints: at most %d, a name counts for %d",
			       ROUTES_MAX_ENDPOINTS, ENDPOINTS_OF_NAME);
	for (unsigned i = 0; i < n; i++) {
		add_endpoint(routes, upstream, &origin);
		upstream->endpoints[upstream->n_endpoints - 1]->slot = i;
	}
	return true;
}

/* Of the endpoint number `n` as the file counts them. NULL: there is none. */
static struct endpoint **place(struct upstream *upstream, unsigned n)
{
	for (unsigned i = 0; i < upstream->n_endpoints; i++) {
		if (upstream->endpoints[i]->slot == 0 && n-- == 0)
			return &upstream->endpoints[i];
	}
	return NULL;
}

/* Each instance behind a name is asked at its own address, so only the port is new. */
static bool set_admin_port(struct endpoint **slots, const struct origin *admin,
			   struct err *err)
{
	if (strcmp(admin->host, slots[0]->origin.host) != 0)
		return err_set(err, ERR_INPUT,
			       "the admin address of %s must have the same name, not %s",
			       slots[0]->origin.authority, admin->host);
	for (unsigned i = 0; i < ENDPOINTS_OF_NAME; i++)
		slots[i]->admin_port = admin->port;
	return true;
}

static bool set_admin(struct upstream *upstream, unsigned n, struct str url,
		      struct err *err)
{
	struct endpoint **at = place(upstream, n);
	struct origin admin;

	if (!at)
		return err_set(err, ERR_INPUT, "more admin addresses than endpoints");
	if (!origin_parse(url, &admin, err))
		return false;
	if (endpoint_is_name(*at))
		return set_admin_port(at, &admin, err);
	(*at)->admin_url = xstrndup(url.at, url.len);
	return true;
}

static bool parse_endpoints(struct routes *routes, struct upstream *upstream, json_t *obj,
			    struct err *err)
{
	struct str text, item;
	char *urls;
	bool ok = true;

	if (!js_str(obj, "endpoints", 1, MAX_URLS_TEXT, &text, err))
		return false;
	urls = expand_env(text, err);
	if (!urls)
		return false;
	for (struct str rest = str_from(urls); ok && upstreams_next(&rest, &item);)
		ok = add_place(routes, upstream, item, err);
	free(urls);
	return ok;
}

static bool parse_admin(struct upstream *upstream, json_t *obj, struct err *err)
{
	struct str text, item;
	unsigned n = 0;
	char *urls;
	bool ok = true;

	if (!js_has(obj, "admin"))
		return true;
	if (!js_str(obj, "admin", 0, MAX_URLS_TEXT, &text, err))
		return false;
	urls = expand_env(text, err);
	if (!urls)
		return false;
	for (struct str rest = str_from(urls); ok && upstreams_next(&rest, &item);)
		ok = set_admin(upstream, n++, item, err);
	free(urls);
	return ok;
}

/* ---- upstreams ---- */

static bool parse_one(struct routes *routes, struct upstream *upstream, json_t *obj,
		      struct err *err)
{
	static const char *const allowed[] = {"endpoints", "admin", "weight", "variants",
					      NULL};

	if (!json_is_object(obj))
		return err_set(err, ERR_INPUT, "must be an object");
	return js_only(obj, "", allowed, err) &&
	       parse_endpoints(routes, upstream, obj, err) &&
	       parse_admin(upstream, obj, err);
}

static bool check_nesting(const struct routes *routes, struct err *err)
{
	for (unsigned i = 0; i < routes->n_upstreams; i++) {
		const struct upstream *upstream = &routes->upstreams[i];

		if (upstream->is_variant && upstream->n_variants)
			return err_set(err, ERR_INPUT,
				       "upstream %s: variants: it is itself a variant",
				       upstream->name);
	}
	return true;
}

bool upstreams_parse(struct routes *routes, json_t *doc, struct err *err)
{
	json_t *all = json_object_get(doc, "upstreams");
	json_t *obj;
	const char *name;
	unsigned n = 0;

	if (!json_is_object(all))
		return err_set(err, ERR_INPUT, "\"upstreams\" must be an object");
	routes->upstreams = xcalloc(json_object_size(all) + 1, sizeof(struct upstream));
	json_object_foreach(all, name, obj)
	{
		struct upstream *upstream = &routes->upstreams[routes->n_upstreams];

		upstream->id = routes->n_upstreams++;
		upstream->name = xstrdup(name);
		if (!parse_one(routes, upstream, obj, err))
			return err_wrap(err, "upstream %s", name);
	}
	json_object_foreach(all, name, obj)
	{
		if (!variants_parse(routes, &routes->upstreams[n++], obj, err))
			return err_wrap(err, "upstream %s", name);
	}
	return check_nesting(routes, err);
}

void upstreams_free(struct routes *routes)
{
	for (unsigned i = 0; i < routes->n_upstreams; i++) {
		free(routes->upstreams[i].name);
		free(routes->upstreams[i].endpoints);
		variants_free(&routes->upstreams[i]);
	}
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		free(routes->endpoints[i]->admin_url);
		free(routes->endpoints[i]);
	}
	free(routes->upstreams);
	free(routes->endpoints);
}
