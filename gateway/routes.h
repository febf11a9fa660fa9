/*
 * routes.h - the routing table: which request goes where, and who may send it.
 *
 * Loaded from JSON files into an immutable snapshot that all threads share.
 * Requests in flight hold a reference, so a newer snapshot can take over at any
 * time.  The only things that change inside are the endpoints' health marks,
 * which are atomics.
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "http_parse.h"
#include "metrics.h"
#include "origin.h"
#include "str.h"

#define ROUTES_MAX_ENDPOINTS 64 /* of one upstream: bits of exchange->tried */
#define ENDPOINTS_OF_NAME    32 /* addresses that a name may have at a time */
#define ROUTE_MAX_SEGMENTS   16
#define VARIANT_MAX_RULES    4

enum listener_kind { LISTENER_PUBLIC, LISTENER_INTERNAL, LISTENER_KINDS };

enum endpoint_health { HEALTH_UNKNOWN, HEALTH_READY, HEALTH_UNREADY };

/* One instance of a service. A name has ENDPOINTS_OF_NAME of them, one behind the
 * other: each stands for one of its addresses, or for none at the time. */
struct endpoint {
	struct origin origin;
	struct upstream *upstream;
	unsigned slot;                 /* among those of its name */
	char *admin_url;               /* of its /readyz; NULL: not probed */
	uint16_t admin_port;           /* of a name: the same, at the address; 0: not */
	unsigned id;                   /* place in routes->endpoints */
	_Atomic bool found;            /* of a name: it has an address */
	_Atomic int health;            /* enum endpoint_health, by the probe */
	_Atomic int64_t down_until_ms; /* refused a connection; monotonic clock */
};

static inline bool endpoint_is_name(const struct endpoint *endpoint)
{
	return endpoint->origin.addr_len == 0;
}

static inline bool endpoint_is_probed(const struct endpoint *endpoint)
{
	return endpoint->admin_url || endpoint->admin_port;
}

struct header_rule {
	char *name, *value;
};

/* Another version of a service, see variants.h. */
struct variant {
	struct upstream *upstream;
	unsigned weight;
	struct header_rule rules[VARIANT_MAX_RULES]; /* all must match */
	unsigned n_rules;
};

/* What is counted for an upstream; the series belong to the registry. */
struct upstream_series {
	struct metric *by_class[6]; /* [status / 100] */
	struct metric *seconds;
	struct metric *fallbacks; /* NULL: it is no variant */
	struct metric *addresses;
};

/* A service with its instances. */
struct upstream {
	char *name;
	unsigned id;                 /* place in routes->upstreams */
	struct endpoint **endpoints; /* owned by the snapshot */
	unsigned n_endpoints;
	bool is_variant;          /* of another */
	unsigned weight;          /* its own, beside those of its variants */
	struct variant *variants; /* owned; with their weights, and the own, in all: */
	unsigned n_variants, total_weight;
	struct upstream_series series; /* set before the threads see it */
};

/* What is counted for a route; the series belong to the registry. */
struct route_series {
	struct metric *by_class[6]; /* [status / 100] */
	struct metric *seconds;
};

struct route {
	enum listener_kind listener;
	char *pattern;    /* "/api/orders/:id" */
	unsigned methods; /* bit 1 << enum http_method_id */
	/* who may call */
	bool anyone, user, admin, demo_anyone;
	char *services; /* comma-separated names, or NULL */
	/* Sign-in must work with a stale token at hand, so it is not looked at. */
	bool ignore_token;
	bool stream; /* Server-Sent Events: no total time, idle time only */
	uint64_t max_body;
	int timeout_ms;
	int cache_ms;   /* answers may be repeated for so long; 0: never */
	char **touches; /* patterns of routes whose answers change with this one */
	unsigned n_touches;
	struct upstream *upstream;
	struct route_series series[HTTP_METHODS]; /* set before the threads see it */
	/* made from the pattern */
	struct str segments[ROUTE_MAX_SEGMENTS];
	unsigned n_segments;
};

struct routes {
	_Atomic unsigned refs;
	struct route *list; /* the more literal pattern first */
	unsigned n;
	struct upstream *upstreams;
	unsigned n_upstreams;
	struct endpoint **endpoints; /* of all upstreams */
	unsigned n_endpoints;
	bool caches; /* a route has cache_ms */
};

/* Reads and checks the files (with commas between; what a later one says of an upstream
 * replaces what an earlier one said, its routes are added). ${NAME} and
 * ${NAME:-default} are replaced from the environment. NULL: `err` names the route and
 * the member. One reference is the caller's. */
struct routes *routes_load(const char *files, struct err *err);
struct routes *routes_parse(struct str json, struct err *err);
struct routes *routes_ref(struct routes *routes);
void routes_unref(struct routes *routes);

/* ---- route_match.c, pure ---- */

/* Splits the pattern; false: it is not one. */
bool route_compile(struct route *route, struct err *err);
/* Do the two answer a common path and method? */
bool route_overlaps(const struct route *a, const struct route *b);
/* Order of the table: literal segments before ":name". */
int route_compare(const void *a, const void *b);

/* The route of a normalised path. NULL: none, or not with this method; then
 * `allowed` has the methods that the path does answer (0: unknown path). */
const struct route *route_find(const struct routes *routes, enum listener_kind listener,
			       enum http_method_id method, struct str path,
			       unsigned *allowed);
/* "GET, HEAD, OPTIONS" for an Allow header. */
void route_allow_text(unsigned methods, char *dst, size_t size);

#endif
