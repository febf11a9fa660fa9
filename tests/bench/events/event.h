/*
 * event.h - the order events of a made-up shop: who buys what follows from a counter
 * alone.
 *
 * Every tenth event of a user cancels the order before it, so that all kinds occur.
 */
#ifndef BENCH_EVENT_H
#define BENCH_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_MAX 512

struct event {
	uint64_t user, seq;
	uint64_t order; /* its id */
	int64_t cents, time_ms;
	bool cancelled;
};

struct event_source {
	uint64_t users, made;
	uint64_t *seq;         /* of each user, the last one used */
	int64_t orders, cents; /* what all events made so far add up to */
};

void event_source_init(struct event_source *source, uint64_t users);
void event_source_fini(struct event_source *source);
/* All but the time. */
void event_next(struct event_source *source, struct event *event);
/* As order-svc writes it; returns the length. */
size_t event_write(char *dst, size_t size, const struct event *event);
int64_t event_wall_ms(void);

#endif
