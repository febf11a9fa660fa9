/*
 * variants.h - an upstream of which two or more versions run: who gets which?
 *
 * The upstream itself is the stable version; its variants are other upstreams.  A
 * request that matches all header rules of a variant goes there; else the weights decide,
 * for each request anew.  That is safe because nothing that a service must remember
 * between two requests is in its memory: an order that is tried again under its key finds
 * the first attempt in the database, whichever version took it.
 */
#ifndef GATEWAY_VARIANTS_H
#define GATEWAY_VARIANTS_H

#include "routes.h"

/* `dice` is any number; equal ones choose equally. Pure. */
const struct upstream *variants_choose(const struct upstream *stable,
				       const struct http_head *head, unsigned dice);

#endif
