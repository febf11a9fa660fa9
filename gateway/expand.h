/* expand.h - ${NAME} and ${NAME:-default} in a text, from the environment. */
#ifndef GATEWAY_EXPAND_H
#define GATEWAY_EXPAND_H

#include "err.h"
#include "str.h"

/* Owned by the caller. NULL: a variable is not set, or the text is malformed. */
char *expand_env(struct str text, struct err *err);

#endif
