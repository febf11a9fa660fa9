/* resolve.h - addresses of endpoints that are given by name. */
#ifndef GATEWAY_RESOLVE_H
#define GATEWAY_RESOLVE_H

#include "app.h"

/* The threads exist already. Freed before them. */
struct resolver *resolver_new(struct app *app, struct loop *loop);
void resolver_free(struct resolver *resolver);

#endif
