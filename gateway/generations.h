/*
 * generations.h - what is stored counts only until somebody writes (RFC 9111 section
 * 4.4).
 *
 * A table of counters that all threads share, by the hash of a name: the path of a
 * resource, or the pattern of a route for all that it answers.  Who fetches takes a
 * tag first; what was fetched counts as long as the tag's counters have not moved.  A
 * write moves them after the service has done it and before its sender hears of it, so
 * what was fetched before is never shown after.  Names that share a counter are only
 * forgotten more often than needed.
 */
#ifndef GATEWAY_GENERATIONS_H
#define GATEWAY_GENERATIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "str.h"

#define GENERATIONS 4096

struct generations {
	_Atomic uint32_t at[GENERATIONS];
};

struct generation_tag {
	uint32_t place[2], seen[2]; /* of the resource, and of its route */
};

void generations_take(const struct generations *all, struct str path, struct str pattern,
		      struct generation_tag *tag);
bool generations_hold(const struct generations *all, const struct generation_tag *tag);

/* One name. */
void generations_move(struct generations *all, struct str name);
/* A resource was written: it and those above it ("/a/b" and "/a" too). */
void generations_wrote(struct generations *all, struct str path);

#endif
