/*
 * cached.c - GET on a route with cache_ms:
 *
 *   look -> (answer | wait for who fetches it already | fetch -> store -> answer)
 *
 * The fetch is always of the whole answer: a 304 says nothing about what is in the body
 * but not in the tag, such as how many of a product are left.
 */
#include "cached.h"

#include <stdlib.h>

#include "cache.h"
#include "cache_rules.h"
#include "client.h"
#include "headers.h"
#include "http_lists.h"
#include "timeutil.h"

#define KEY_MAX     1024
#define FLIGHTS     256 /* buckets */
#define SHARERS_MAX 256 /* of one flight; the next fetch for themselves */
#define SHARE_MS    1000
/* Routes that name others as touched forget all of their answers. So often in a row,
 * and a second: then what is stored only ends by its age. */
#define TOUCHES        8
#define TOUCHES_A_TICK 3

struct flight {
	LIST_ENTRY(flight) link; /* while it is `open` */
	bool open;               /* others find it, and wait for it */
	struct exchange *leader;
	struct generation_tag tag;
	struct exchanges sharers;
	unsigned n;
	size_t key_len;
	char key[];
};
LIST_HEAD(flights, flight);

struct cached {
	struct worker *worker;
	struct cache *cache;
	struct evbuffer *scratch;
	struct flights flights[FLIGHTS];
	unsigned touches;      /* that are left */
	uint64_t evicted_seen; /* shown as a metric so far */
};

struct cached *cached_new(struct worker *worker)
{
	struct app *app = worker->app;
	size_t kib = (size_t)app->settings.cache_kib;
	struct cached *cached;

	if (kib == 0 || !worker->routes->caches)
		return NULL;
	cached = xcalloc(1, sizeof(*cached));
	cached->worker = worker;
	cached->cache = cache_new(&app->generations, kib * 1024);
	cached->scratch = evbuffer_new();
	if (!cached->scratch)
		abort();
	cached->touches = TOUCHES;
	for (unsigned i = 0; i < FLIGHTS; i++)
		LIST_INIT(&cached->flights[i]);
	return cached;
}

void cached_free(struct cached *cached)
{
	if (!cached)
		return;
	cache_free(cached->cache);
	evbuffer_free(cached->scratch);
	free(cached);
}

void cached_tick(struct worker *worker)
{
	struct cached *cached = worker->cached;

	if (!cached)
		return;
	cached->touches += TOUCHES_A_TICK;
	if (cached->touches > TOUCHES)
		cached->touches = TOUCHES;
}

static void count(struct exchange *x, enum cache_use use)
{
	x->cache_use = use;
	metric_add(x->worker->app->metrics.cache[use], 1);
}

/* ---- answering ---- */

/* `first`: it comes from the service just now. */
static void answer(struct exchange *x, const struct cache_answer *stored, bool first)
{
	struct http_text text = {.out = x->client->sock.out}, *w = &text;
	struct str listed = http_field_get(&x->head, "If-None-Match");
	bool same = listed.at && http_etag_listed(listed, stored->etag, true);

	x->status = same ? 304 : 200;
	x->close = exchange_must_close(x);
	http_text_add(w, same ? STR("HTTP/1.1 304 Not Modified\r\n")
			      : STR("HTTP/1.1 200 OK\r\n"));
	http_text_add(w, same ? stored->fields_304 : stored->fields);
	if (!first) {
		http_text_add(w, STR("Age: "));
		http_text_number(w, (time_mono_us() - stored->begun_us) / 1000000);
		http_text_add(w, STR("\r\n"));
	}
	if (!same)
		http_text_length(w, stored->body.len);
	headers_common(x, w);
	http_text_add(w, STR("\r\n"));
	if (!same && x->head.method == HTTP_GET) {
		http_text_add(w, stored->body);
		x->bytes_out += stored->body.len;
	}
	http_text_end(w);
}

/* ---- look ---- */

static char *append(char *at, struct str text)
{
	memcpy(at, text.at, text.len);
	return at + text.len;
}

/* "host/path?query" in `buf`; empty: too long to be worth it. Versions of a service may
 * answer differently, so the answers of a variant are kept apart, behind its name; a
 * write concerns them all, because it goes by the path. */
static struct str key_of(const struct exchange *x, char *buf)
{
	struct str host = headers_host(x), path = str_from(x->path);
	struct str variant = str_from(x->upstream->is_variant ? x->upstream->name : "");
	struct str query = x->head.query;
	char *at = buf;

	if (variant.len + host.len + path.len + query.len + 1 >= KEY_MAX)
		return STR("");
	if (variant.len) {
		at = append(at, variant);
		*at++ = ' ';
	}
	if (host.len)
		at = append(at, host);
	at = append(at, path);
	if (query.at) {
		*at++ = '?';
		at = append(at, query);
	}
	return (struct str){buf, (size_t)(at - buf)};
}

static struct flights *flights_of(struct cached *cached, struct str key)
{
	return &cached->flights[str_hash(key) % FLIGHTS];
}

/* Nobody joins it from here on. */
static void close_flight(struct flight *flight)
{
	if (flight->open)
		LIST_REMOVE(flight, link);
	flight->open = false;
}

static struct flight *find_flight(struct cached *cached, struct str key)
{
	struct flight *flight;

	LIST_FOREACH (flight, flights_of(cached, key), link)
		if (str_eq((struct str){flight->key, flight->key_len}, key))
			return flight;
	return NULL;
}

static void lead(struct exchange *x, struct str key)
{
	struct flight *flight = xcalloc(1, sizeof(*flight) + key.len);

	memcpy(flight->key, key.at, key.len);
	flight->key_len = key.len;
	flight->open = true;
	flight->leader = x;
	flight->tag = x->tag;
	TAILQ_INIT(&flight->sharers);
	LIST_INSERT_HEAD(flights_of(x->worker->cached, key), flight, link);
	x->flight = flight;
}

/* What waits for a connection yet is as good as new. */
static uint64_t age_us(const struct flight *flight, uint64_t now_us)
{
	uint64_t sent_us = flight->leader->sent_us;

	return sent_us && sent_us < now_us ? now_us - sent_us : 0;
}

/* Who comes after a write must not get what was fetched before it, nor anybody what he
 * would not get if it were stored. */
static bool may_share(const struct exchange *x, const struct flight *flight,
		      const struct cache_wish *wish)
{
	uint64_t age = age_us(flight, x->start_us);

	return !wish->exact && flight->n < SHARERS_MAX &&
	       age < (uint64_t)x->route->cache_ms * 1000 && age <= wish->max_age_us &&
	       generations_hold(&x->worker->app->generations, &flight->tag);
}

static void share(struct exchange *x, struct flight *flight)
{
	x->flight = flight;
	x->state = X_SHARING;
	x->deadline_ms = x->worker->now_ms + SHARE_MS;
	TAILQ_INSERT_TAIL(&flight->sharers, x, link);
	flight->n++;
	metric_add(x->worker->app->metrics.cache_waiting, 1);
}

static bool is_stored(struct exchange *x, struct str key, const struct cache_wish *wish)
{
	struct cache_entry *entry = NULL;
	struct cached *cached = x->worker->cached;

	if (wish->exact || cache_find(cached->cache, key, x->start_us, wish->max_age_us,
				      &entry) != CACHE_HIT)
		return false;
	count(x, CACHE_USE_HIT);
	answer(x, &entry->answer, false);
	exchange_over(x, false);
	return true;
}

bool cached_begin(struct exchange *x)
{
	struct cached *cached = x->worker->cached;
	struct cache_wish wish;
	struct flight *flight;
	char buf[KEY_MAX];
	struct str key;

	if (!cached || !x->route->cache_ms)
		return false;
	wish = cache_wish(&x->head);
	key = key_of(x, buf);
	if (wish.passes_by || key.len == 0)
		return false;
	if (is_stored(x, key, &wish))
		return true;
	if (x->head.method != HTTP_GET)
		return false;
	x->fills = true;
	generations_take(&x->worker->app->generations, str_from(x->path),
			 str_from(x->route->pattern), &x->tag);
	flight = find_flight(cached, key);
	if (flight && may_share(x, flight, &wish)) {
		share(x, flight);
		return true;
	}
	count(x, CACHE_USE_MISS);
	if (flight)
		close_flight(flight);
	lead(x, key);
	return false;
}

/* ---- wait ---- */

static void leave_flight(struct exchange *x)
{
	TAILQ_REMOVE(&x->flight->sharers, x, link);
	x->flight->n--;
	metric_add(x->worker->app->metrics.cache_waiting, -1);
	x->flight = NULL;
	x->state = X_CHECKING;
}

static void fetch_alone(struct exchange *x)
{
	leave_flight(x);
	count(x, CACHE_USE_MISS);
	dispatch(x);
}

void cached_waited(struct exchange *x)
{
	fetch_alone(x);
}

/* It has come. Empties x->flight. */
static struct flight *land(struct exchange *x)
{
	struct flight *flight = x->flight;

	x->flight = NULL;
	if (flight)
		close_flight(flight);
	return flight;
}

void cached_leave(struct exchange *x)
{
	struct flight *flight;

	x->fills = false;
	if (x->state == X_SHARING)
		leave_flight(x);
	flight = land(x);
	if (!flight)
		return;
	while (!TAILQ_EMPTY(&flight->sharers))
		fetch_alone(TAILQ_FIRST(&flight->sharers));
	free(flight);
}

/* ---- store ---- */

bool cached_takes(struct exchange *x)
{
	uint64_t lifetime_us = (uint64_t)x->route->cache_ms * 1000;

	if (!x->fills)
		return false;
	if (!cache_may_store(&x->answer_head, &lifetime_us)) {
		cached_leave(x);
		return false;
	}
	x->body = evbuffer_new();
	if (!x->body)
		abort();
	return true;
}

/* Both kinds of head lines, one behind the other, in the scratch buffer. */
static void write_fields(const struct http_head *head, struct evbuffer *scratch,
			 struct cache_answer *stored)
{
	struct http_text text = {.out = scratch}, *w = &text;
	size_t all, repeated;

	evbuffer_drain(scratch, evbuffer_get_length(scratch));
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];

		if (headers_answer_may_pass(head, field))
			http_text_field(w, field->name, field->value);
	}
	http_text_end(w);
	all = evbuffer_get_length(scratch);
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];

		if (cache_repeats_in_304(field->name))
			http_text_field(w, field->name, field->value);
	}
	http_text_end(w);
	repeated = evbuffer_get_length(scratch) - all;
	stored->fields = (struct str){(char *)evbuffer_pullup(scratch, -1), all};
	stored->fields_304 = (struct str){stored->fields.at + all, repeated};
}

/* Slices point into x, `buf` and the scratch buffer. */
static void describe(struct exchange *x, char *buf, struct cache_answer *stored)
{
	*stored = (struct cache_answer){
		.key = key_of(x, buf),
		.etag = http_field_get(&x->answer_head, "ETag"),
		.tag = x->tag,
		.begun_us = x->sent_us,
		.lifetime_us = (uint64_t)x->route->cache_ms * 1000,
	};
	cache_may_store(&x->answer_head, &stored->lifetime_us);
	stored->body.len = evbuffer_get_length(x->body);
	stored->body.at = (const char *)evbuffer_pullup(x->body, -1);
	write_fields(&x->answer_head, x->worker->cached->scratch, stored);
}

static void store(struct cached *cached, const struct cache_answer *stored)
{
	const struct gateway_metrics *metrics = &cached->worker->app->metrics;
	size_t before = cached->cache->bytes;

	cache_put(cached->cache, stored);
	metric_add(metrics->cache_bytes, (int64_t)cached->cache->bytes - (int64_t)before);
	metric_add(metrics->cache_evictions,
		   (int64_t)(cached->cache->evicted - cached->evicted_seen));
	cached->evicted_seen = cached->cache->evicted;
}

static void answer_sharers(struct flight *flight, const struct cache_answer *stored)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&flight->sharers))) {
		leave_flight(x);
		count(x, CACHE_USE_SHARED);
		answer(x, stored, false);
		exchange_over(x, false);
	}
	free(flight);
}

void cached_filled(struct exchange *x, bool keep_up)
{
	struct cache_answer stored;
	char buf[KEY_MAX];
	struct flight *flight = land(x);

	describe(x, buf, &stored);
	store(x->worker->cached, &stored);
	answer(x, &stored, true);
	exchange_over(x, keep_up);
	if (flight)
		answer_sharers(flight, &stored);
}

/* ---- writes ---- */

void cached_wrote(const struct exchange *x, int status)
{
	struct app *app = x->worker->app;
	struct cached *cached = x->worker->cached;

	/* Refused: nothing was done, unless by a first try that nobody saw the end of. */
	if (!cached || !exchange_writes(x) ||
	    (status >= 400 && status < 500 && !x->fresh))
		return;
	generations_wrote(&app->generations, str_from(x->path));
	metric_add(app->metrics.cache_invalidations, 1);
	if (x->route->n_touches == 0 || cached->touches == 0)
		return;
	cached->touches--;
	for (unsigned i = 0; i < x->route->n_touches; i++)
		generations_move(&app->generations, str_from(x->route->touches[i]));
}
