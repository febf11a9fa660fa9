/*
 * http_lists.h - lists in header fields: directives, and entity tags.  Pure.
 *
 * One reader for the gateway and the services behind it: where they understood a list
 * differently, one would repeat what the other meant not to be repeated.  Slices point
 * into the caller's list.
 */
#ifndef COMMON_HTTP_LISTS_H
#define COMMON_HTTP_LISTS_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

struct http_directive {
	struct str name;  /* in the case in which it came */
	struct str value; /* without its quotes, escapes as they came; empty: none */
	/* The value as one; too large ones are cut. 0 of what is none: such a time is
	 * over at once. */
	uint32_t number;
};

/* Cuts the next one off a Cache-Control (RFC 9111 section 5.2), empty members left out.
 * false: there is none. */
bool http_directive_next(struct str *list, struct http_directive *directive);

/* An entity tag, weak or not (RFC 9110 section 8.8.3)? */
bool http_is_etag(struct str tag);
/* Is `etag` in an If-Match or If-None-Match, or the list "*"?  Weak tags match only when
 * `weak`.  What is no tag ends the list. */
bool http_etag_listed(struct str list, struct str etag, bool weak);

#endif
