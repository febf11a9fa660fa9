/*
 * cached.h - answers of a route with `cache_ms` are repeated for so long.
 *
 * One fetch for many: while one exchange fetches an answer (it leads a flight), others
 * that want the same wait for it (X_SHARING), a bounded number for a bounded time.
 * Answers are kept by thread; what is written is forgotten by all threads at once.
 */
#ifndef GATEWAY_CACHED_H
#define GATEWAY_CACHED_H

#include "exchange.h"

struct cached *cached_new(struct worker *worker); /* NULL: no route wants it */
void cached_free(struct cached *cached);          /* no exchange may be left */
/* A few times a second. */
void cached_tick(struct worker *worker);

/* true: x is answered, or waits for another's fetch. false: dispatch it. */
bool cached_begin(struct exchange *x);
/* X_SHARING took too long: fetches for itself. */
void cached_waited(struct exchange *x);

/* The head of the answer is there: does it want the body, to store it? */
bool cached_takes(struct exchange *x);
/* The body is whole too: stores the answer, gives it to x and to all who wait. */
void cached_filled(struct exchange *x, bool keep_up);
/* x ends or will not be stored: who waited for it fetches for himself. */
void cached_leave(struct exchange *x);

/* A service answered (or may have heard, status 0) a request that changes something:
 * before its sender hears of that. */
void cached_wrote(const struct exchange *x, int status);

#endif
