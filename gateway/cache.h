/*
 * cache.h - answers that one thread keeps, to give them again.
 *
 * Bounded in bytes and in number; the one that was not asked for the longest goes
 * first.  An answer counts while it is young enough and nobody has written since its
 * fetch began (generations.h).  One that does not count stays until the next takes its
 * place, or it is pushed out.  Knows nothing of requests.
 */
#ifndef GATEWAY_CACHE_H
#define GATEWAY_CACHE_H

#include <stddef.h>
#include <sys/queue.h>

#include "generations.h"

#define CACHE_MAX_ENTRIES 8192

/* All slices are copied by cache_put(). */
struct cache_answer {
	struct str key;
	struct str etag;
	struct str fields;     /* head lines of a 200; the framing is not among them */
	struct str fields_304; /* those that a 304 repeats */
	struct str body;
	struct generation_tag tag;
	uint64_t begun_us;    /* when its fetch was sent: its age counts from there */
	uint64_t lifetime_us; /* above 0 */
};

struct cache_entry {
	TAILQ_ENTRY(cache_entry) recent;
	struct cache_entry *next; /* in its bucket */
	uint64_t hash;
	size_t bytes;               /* all that it takes */
	struct cache_answer answer; /* slices into `text` */
	char text[];
};
TAILQ_HEAD(cache_entries, cache_entry);

struct cache {
	const struct generations *generations;
	size_t max_bytes, bytes;
	unsigned n;
	uint64_t evicted;            /* pushed out by others, so far */
	struct cache_entries recent; /* last used first */
	struct cache_entry **buckets;
};

struct cache *cache_new(const struct generations *generations, size_t max_bytes);
void cache_free(struct cache *cache);

enum cache_found { CACHE_NONE, CACHE_OLD, CACHE_WRITTEN, CACHE_HIT };

/* Of CACHE_HIT `*entry` is set, valid until the next cache_put(). `max_age_us` is the
 * caller's own limit. */
enum cache_found cache_find(struct cache *cache, struct str key, uint64_t now_us,
			    uint64_t max_age_us, struct cache_entry **entry);
/* Keeps it in the place of an older one. NULL: it does not fit, or the one that is
 * there was fetched later. */
struct cache_entry *cache_put(struct cache *cache, const struct cache_answer *answer);

#endif
