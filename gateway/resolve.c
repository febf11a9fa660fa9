/*
 * resolve.c - look up the endpoints that are names, again and again, without
 * blocking anybody: instances that come get requests within seconds, those that go get
 * no new ones.
 *
 * Each address that a name has holds one of the name's endpoints (slots) for as long as
 * it is there.  Runs on the main loop, and posts each change to every thread.
 */
#include "resolve.h"

#include <event2/dns.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "pool.h"
#include "timeutil.h"

#define AGAIN_MS 2000  /* an address is known */
#define RETRY_MS 500   /* none yet */
#define GONE_MS  30000 /* so long there was no such name: then its addresses go */

struct address {
	struct sockaddr_storage at;
	int len; /* 0: none */
};

/* One name with its slots. */
struct lookup {
	struct resolver *resolver;
	struct endpoint **slots; /* ENDPOINTS_OF_NAME */
	struct address addresses[ENDPOINTS_OF_NAME];
	struct loop_timer *timer;
	bool asked; /* and answered, whatever the answer was */
	bool found; /* once */
	unsigned n_known, failures;
	int64_t missing_since_ms; /* 0: not missing */
};

struct resolver {
	struct app *app;
	struct loop *loop;
	struct evdns_base *dns;
	struct lookup *lookups;
	unsigned n;
	bool found; /* somebody to send requests to, ever */
	bool closed;
	unsigned under_way; /* questions */
	int64_t start_ms;
};

/* ---- telling the threads ---- */

/* A change on its way to one thread. */
struct news {
	struct worker *worker;
	unsigned endpoint_id;
	struct address address;
};

static void deliver(void *arg)
{
	struct news *news = arg;

	pool_set_addr(news->worker->pools[news->endpoint_id], &news->address.at,
		      news->address.len);
	free(news);
}

static void text_of(const struct address *address, char *dst, socklen_t size)
{
	const struct sockaddr *at = (const struct sockaddr *)&address->at;

	if (!address->len || getnameinfo(at, (socklen_t)address->len, dst, size, NULL, 0,
					 NI_NUMERICHOST) != 0)
		dst[0] = '\0';
}

static void set_slot(struct lookup *lookup, unsigned slot, const struct address *address)
{
	struct app *app = lookup->resolver->app;
	struct endpoint *endpoint = lookup->slots[slot];
	char text[INET6_ADDRSTRLEN];

	text_of(address->len ? address : &lookup->addresses[slot], text, sizeof(text));
	log_info(address->len ? "endpoint found" : "endpoint gone",
		 LOG_STR("endpoint", endpoint->origin.authority), LOG_INT("slot", slot),
		 LOG_STR("address", text));
	lookup->addresses[slot] = *address;
	lookup->n_known += address->len ? 1 : (unsigned)-1;
	atomic_store(&endpoint->found, address->len != 0);
	health_address(app->health, endpoint, address->len ? text : "");
	for (unsigned i = 0; i < app->n_workers; i++) {
		struct news *news = xcalloc(1, sizeof(*news));

		*news = (struct news){&app->workers[i], endpoint->id, *address};
		loop_post(news->worker->loop, deliver, news);
	}
}

/* ---- what was found ---- */

static int place_of(const struct address *list, const struct address *wanted)
{
	for (int i = 0; i < ENDPOINTS_OF_NAME; i++) {
		if (list[i].len == wanted->len &&
		    memcmp(&list[i].at, &wanted->at, (size_t)wanted->len) == 0)
			return i;
	}
	return -1;
}

/* The different addresses among the answers. Of IPv4 and IPv6 only one kind: both would
 * lead to the same instances, which may listen on one of them only. */
static unsigned collect(const struct evutil_addrinfo *found, struct address *list)
{
	int family = AF_INET6;
	unsigned n = 0, more = 0;

	for (const struct evutil_addrinfo *ai = found; ai; ai = ai->ai_next) {
		if (ai->ai_family == AF_INET)
			family = AF_INET;
	}
	for (; found; found = found->ai_next) {
		struct address one = {.len = (int)found->ai_addrlen};

		if (found->ai_family != family)
			continue;
		memcpy(&one.at, found->ai_addr, (size_t)one.len);
		if (place_of(list, &one) >= 0)
			continue;
		if (n < ENDPOINTS_OF_NAME)
			list[n++] = one;
		else
			more++;
	}
	if (more)
		log_warn("a name has too many addresses", LOG_INT("used", n),
			 LOG_INT("not_used", more));
	return n;
}

static void add_new(struct lookup *lookup, const struct address *list, unsigned n)
{
	static const struct address none;

	for (unsigned i = 0; i < n; i++) {
		int slot;

		if (place_of(lookup->addresses, &list[i]) >= 0)
			continue;
		slot = place_of(lookup->addresses, &none);
		if (slot >= 0)
			set_slot(lookup, (unsigned)slot, &list[i]);
	}
}

static void drop_old(struct lookup *lookup, const struct address *list)
{
	static const struct address none;

	for (unsigned i = 0; i < ENDPOINTS_OF_NAME; i++) {
		const struct address *address = &lookup->addresses[i];

		if (address->len && place_of(list, address) < 0)
			set_slot(lookup, i, &none);
	}
}

static void learn(struct lookup *lookup, const struct evutil_addrinfo *found)
{
	struct address list[ENDPOINTS_OF_NAME] = {0};
	unsigned n = collect(found, list);

	lookup->failures = 0;
	lookup->missing_since_ms = 0;
	lookup->found = true;
	lookup->resolver->found = true;
	/* New ones first, as far as there is room: there is always one to ask. */
	add_new(lookup, list, n);
	drop_old(lookup, list);
	add_new(lookup, list, n);
}

/* Old addresses beat none: while the name servers fail, and for a while when they know
 * no such name; a service all of whose instances are unready has none either, and may
 * still know an answer. */
static void fail(struct lookup *lookup, int error)
{
	static const struct address none[ENDPOINTS_OF_NAME];
	bool missing = error == EVUTIL_EAI_NONAME || error == EVUTIL_EAI_NODATA;
	int64_t now_ms = time_mono_ms();

	if (++lookup->failures % 10 == 1)
		log_warn("cannot find endpoint",
			 LOG_STR("endpoint", lookup->slots[0]->origin.authority),
			 LOG_STR("why", evutil_gai_strerror(error)));
	if (!missing)
		lookup->missing_since_ms = 0;
	else if (!lookup->missing_since_ms)
		lookup->missing_since_ms = now_ms;
	else if (now_ms - lookup->missing_since_ms > GONE_MS)
		drop_old(lookup, none);
}

/* ---- asking ---- */

static void free_when_answered(struct resolver *resolver)
{
	if (!resolver->closed || resolver->under_way > 0)
		return;
	free(resolver->lookups);
	free(resolver);
}

static void use_answer(struct lookup *lookup, int error,
		       const struct evutil_addrinfo *found)
{
	if (error || !found)
		fail(lookup, error ? error : EVUTIL_EAI_NODATA);
	else
		learn(lookup, found);
	lookup->asked = true;
	loop_timer_start(lookup->timer, lookup->n_known ? AGAIN_MS : RETRY_MS);
}

static void on_found(int error, struct evutil_addrinfo *found, void *arg)
{
	struct lookup *lookup = arg;

	lookup->resolver->under_way--;
	if (lookup->resolver->closed)
		free_when_answered(lookup->resolver);
	else
		use_answer(lookup, error, found);
	if (found)
		evutil_freeaddrinfo(found);
}

static void ask(void *arg)
{
	struct lookup *lookup = arg;
	const struct origin *origin = &lookup->slots[0]->origin;
	const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
					      .ai_socktype = SOCK_STREAM};
	char port[8];

	lookup->resolver->under_way++;
	snprintf(port, sizeof(port), "%u", origin->port);
	evdns_getaddrinfo(lookup->resolver->dns, origin->host, port, &hints, on_found,
			  lookup);
}

static void add_lookup(struct resolver *resolver, struct loop *loop,
		       struct endpoint **slots)
{
	struct lookup *lookup = &resolver->lookups[resolver->n++];

	lookup->resolver = resolver;
	lookup->slots = slots;
	lookup->timer = loop_timer_new(loop, ask, lookup);
	loop_timer_start(lookup->timer, 0);
}

struct resolver *resolver_new(struct app *app, struct loop *loop)
{
	struct resolver *resolver = xcalloc(1, sizeof(*resolver));
	struct routes *routes = app->routes;

	resolver->app = app;
	resolver->loop = loop;
	resolver->start_ms = time_mono_ms();
	resolver->lookups = xcalloc(routes->n_endpoints / ENDPOINTS_OF_NAME + 1,
				    sizeof(struct lookup));
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		if (!endpoint_is_name(routes->endpoints[i]))
			resolver->found = true;
		else if (routes->endpoints[i]->slot == 0)
			add_lookup(resolver, loop, &routes->endpoints[i]);
	}
	if (resolver->n)
		resolver->dns = origin_resolver_new(loop);
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	for (unsigned i = 0; i < resolver->n; i++)
		loop_timer_free(resolver->lookups[i].timer);
	/* What is under way fails now, and is told on a later turn of the loop. */
	origin_resolver_free(resolver->dns, resolver->loop);
	resolver->closed = true;
	free_when_answered(resolver);
}

bool resolver_ready(void *arg, const char **why)
{
	const struct resolver *resolver = arg;
	bool grace = time_mono_ms() - resolver->start_ms < READY_GRACE_MS;

	*why = "looking up the names of the services";
	for (unsigned i = 0; i < resolver->n; i++) {
		const struct lookup *lookup = &resolver->lookups[i];

		if (!lookup->asked || (grace && !lookup->found))
			return false;
	}
	*why = "not one name of a service is found";
	return resolver->found || resolver->n == 0;
}
