/* cache.c - a table with short chains, and the list of what was used last. */
#include "cache.h"

#include <stdlib.h>

#define BUCKETS 4096
/* Callers choose the keys and can make them meet in one chain; all that they get is
 * that its oldest goes. */
#define CHAIN_MAX 16

struct cache *cache_new(const struct generations *generations, size_t max_bytes)
{
	struct cache *cache = xcalloc(1, sizeof(*cache));

	cache->generations = generations;
	cache->max_bytes = max_bytes;
	cache->buckets = xcalloc(BUCKETS, sizeof(struct cache_entry *));
	TAILQ_INIT(&cache->recent);
	return cache;
}

static void drop(struct cache *cache, struct cache_entry *entry)
{
	struct cache_entry **at = &cache->buckets[entry->hash % BUCKETS];

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	TAILQ_REMOVE(&cache->recent, entry, recent);
	cache->bytes -= entry->bytes;
	cache->n--;
	free(entry);
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	while (!TAILQ_EMPTY(&cache->recent))
		drop(cache, TAILQ_FIRST(&cache->recent));
	free(cache->buckets);
	free(cache);
}

static struct cache_entry *look_up(const struct cache *cache, uint64_t hash,
				   struct str key)
{
	struct cache_entry *entry = cache->buckets[hash % BUCKETS];

	while (entry && (entry->hash != hash || !str_eq(entry->answer.key, key)))
		entry = entry->next;
	return entry;
}

enum cache_found cache_find(struct cache *cache, struct str key, uint64_t now_us,
			    uint64_t max_age_us, struct cache_entry **found)
{
	struct cache_entry *entry = look_up(cache, str_hash(key), key);
	uint64_t age_us;

	if (!entry)
		return CACHE_NONE;
	if (!generations_hold(cache->generations, &entry->answer.tag))
		return CACHE_WRITTEN;
	age_us = now_us - entry->answer.begun_us;
	if (age_us >= entry->answer.lifetime_us || age_us > max_age_us)
		return CACHE_OLD;
	if (entry != TAILQ_FIRST(&cache->recent)) {
		TAILQ_REMOVE(&cache->recent, entry, recent);
		TAILQ_INSERT_HEAD(&cache->recent, entry, recent);
	}
	*found = entry;
	return CACHE_HIT;
}

static void copy(struct str *slice, char **at)
{
	if (slice->len)
		memcpy(*at, slice->at, slice->len);
	slice->at = *at;
	*at += slice->len;
}

static struct cache_entry *entry_new(const struct cache_answer *answer, uint64_t hash)
{
	size_t text = answer->key.len + answer->etag.len + answer->fields.len +
		      answer->fields_304.len + answer->body.len;
	struct cache_entry *entry = xcalloc(1, sizeof(*entry) + text);
	char *at = entry->text;

	entry->hash = hash;
	entry->bytes = sizeof(*entry) + text;
	entry->answer = *answer;
	copy(&entry->answer.key, &at);
	copy(&entry->answer.etag, &at);
	copy(&entry->answer.fields, &at);
	copy(&entry->answer.fields_304, &at);
	copy(&entry->answer.body, &at);
	return entry;
}

static void shorten(struct cache *cache, uint64_t hash)
{
	struct cache_entry *last = NULL;
	unsigned n = 0;

	for (struct cache_entry *e = cache->buckets[hash % BUCKETS]; e; e = e->next) {
		last = e;
		n++;
	}
	if (n >= CHAIN_MAX) {
		cache->evicted++;
		drop(cache, last);
	}
}

static void make_room(struct cache *cache, uint64_t hash, size_t bytes)
{
	shorten(cache, hash);
	while (cache->n >= CACHE_MAX_ENTRIES || cache->bytes + bytes > cache->max_bytes) {
		cache->evicted++;
		drop(cache, TAILQ_LAST(&cache->recent, cache_entries));
	}
}

struct cache_entry *cache_put(struct cache *cache, const struct cache_answer *answer)
{
	uint64_t hash = str_hash(answer->key);
	struct cache_entry *old = look_up(cache, hash, answer->key);
	struct cache_entry *entry;

	if (old && old->answer.begun_us > answer->begun_us)
		return NULL;
	if (old)
		drop(cache, old);
	entry = entry_new(answer, hash);
	if (entry->bytes > cache->max_bytes) {
		free(entry);
		return NULL;
	}
	make_room(cache, hash, entry->bytes);
	entry->next = cache->buckets[hash % BUCKETS];
	cache->buckets[hash % BUCKETS] = entry;
	TAILQ_INSERT_HEAD(&cache->recent, entry, recent);
	cache->bytes += entry->bytes;
	cache->n++;
	return entry;
}
