/* access_log.h - one line and a few counts for every finished exchange. */
#ifndef GATEWAY_ACCESS_LOG_H
#define GATEWAY_ACCESS_LOG_H

#include "exchange.h"

void access_log(const struct exchange *x);

/* Makes the series of every route, so that counting one is an atomic add. */
void access_log_prepare(struct app *app, struct routes *routes);

#endif
