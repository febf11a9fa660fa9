/* access_log.h - one line and a few counts for every finished exchange. */
#ifndef GATEWAY_ACCESS_LOG_H
#define GATEWAY_ACCESS_LOG_H

#include "exchange.h"

void access_log(const struct exchange *x);

#endif
