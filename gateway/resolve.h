/* resolve.h - the addresses of endpoints that are given by name. */
#ifndef GATEWAY_RESOLVE_H
#define GATEWAY_RESOLVE_H

#include "app.h"

/* The threads and the probes exist already. Freed before them. */
struct resolver *resolver_new(struct app *app, struct loop *loop);
void resolver_free(struct resolver *resolver);

/* A service_check: not before every name was asked for once, and while nobody at all is
 * known. A name that is not known (yet) costs its own requests a 503. */
bool resolver_ready(void *resolver, const char **why);

#endif
