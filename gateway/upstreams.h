/*
 * upstreams.h - the part of the routes file that says where services are.
 */
#ifndef GATEWAY_UPSTREAMS_H
#define GATEWAY_UPSTREAMS_H

#include <jansson.h>

#include "routes.h"

/* Fills the upstreams and endpoints of `routes`. false: `err` names the member. */
bool upstreams_parse(struct routes *routes, json_t *doc, struct err *err)
	__attribute__((warn_unused_result));
void upstreams_free(struct routes *routes);
/* NULL: unknown. */
struct upstream *upstreams_find(const struct routes *routes, struct str name);

/* Next part of a comma-separated list; false at its end. */
bool upstreams_next(struct str *rest, struct str *item);

/* ---- variants.c ---- */

/* Once all upstreams are known; `obj` is the upstream's own. */
bool variants_parse(const struct routes *routes, struct upstream *upstream, json_t *obj,
		    struct err *err) __attribute__((warn_unused_result));
void variants_free(struct upstream *upstream);

#endif
