/*
 * resolve.c - look up the endpoints that are names, again and again, without
 * blocking anybody: a service that moves is found within seconds.
 *
 * Runs on the main loop and posts each new address to every thread.
 */
#include "resolve.h"

#include <event2/dns.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "pool.h"

#define AGAIN_MS 5000 /* an address is known */
#define RETRY_MS 500  /* none yet */

struct lookup {
	struct resolver *resolver;
	struct endpoint *endpoint;
	struct loop_timer *timer;
	struct sockaddr_storage addr; /* the newest */
	int addr_len;
	unsigned failures;
};

struct resolver {
	struct app *app;
	struct evdns_base *dns;
	struct lookup *lookups;
	unsigned n;
};

/* A new address on its way to one thread. */
struct news {
	struct worker *worker;
	unsigned endpoint_id;
	struct sockaddr_storage addr;
	int addr_len;
};

static void deliver(void *arg)
{
	struct news *news = arg;

	pool_set_addr(news->worker->pools[news->endpoint_id], &news->addr,
		      news->addr_len);
	free(news);
}

static void tell_threads(const struct lookup *lookup)
{
	struct app *app = lookup->resolver->app;

	for (unsigned i = 0; i < app->n_workers; i++) {
		struct news *news = xcalloc(1, sizeof(*news));

		news->worker = &app->workers[i];
		news->endpoint_id = lookup->endpoint->id;
		news->addr = lookup->addr;
		news->addr_len = lookup->addr_len;
		loop_post(news->worker->loop, deliver, news);
	}
}

static void learn(struct lookup *lookup, const struct evutil_addrinfo *found)
{
	int len = (int)found->ai_addrlen;

	if (len == lookup->addr_len &&
	    memcmp(&lookup->addr, found->ai_addr, (size_t)len) == 0)
		return;
	memcpy(&lookup->addr, found->ai_addr, (size_t)len);
	lookup->addr_len = len;
	log_info("endpoint found",
		 LOG_STR("endpoint", lookup->endpoint->origin.authority));
	tell_threads(lookup);
}

static void on_found(int error, struct evutil_addrinfo *found, void *arg)
{
	struct lookup *lookup = arg;

	if (error == EVUTIL_EAI_CANCEL)
		return;
	/* An old address beats none: keep it while the lookup fails. */
	if (error || !found) {
		if (++lookup->failures % 10 == 1)
			log_warn("cannot find endpoint",
				 LOG_STR("endpoint", lookup->endpoint->origin.authority),
				 LOG_STR("why", evutil_gai_strerror(error)));
	} else {
		lookup->failures = 0;
		learn(lookup, found);
	}
	if (found)
		evutil_freeaddrinfo(found);
	loop_timer_start(lookup->timer, lookup->addr_len ? AGAIN_MS : RETRY_MS);
}

static void ask(void *arg)
{
	struct lookup *lookup = arg;
	const struct origin *origin = &lookup->endpoint->origin;
	const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
					      .ai_socktype = SOCK_STREAM};
	char port[8];

	snprintf(port, sizeof(port), "%u", origin->port);
	evdns_getaddrinfo(lookup->resolver->dns, origin->host, port, &hints, on_found,
			  lookup);
}

struct resolver *resolver_new(struct app *app, struct loop *loop)
{
	struct resolver *resolver = xcalloc(1, sizeof(*resolver));
	struct routes *routes = app->routes;

	resolver->app = app;
	resolver->lookups = xcalloc(routes->n_endpoints + 1, sizeof(struct lookup));
	for (unsigned i = 0; i < routes->n_endpoints; i++) {
		struct lookup *lookup = &resolver->lookups[resolver->n];

		if (routes->endpoints[i]->origin.addr_len)
			continue;
		lookup->resolver = resolver;
		lookup->endpoint = routes->endpoints[i];
		lookup->timer = loop_timer_new(loop, ask, lookup);
		loop_timer_start(lookup->timer, 0);
		resolver->n++;
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
	origin_resolver_free(resolver->dns);
	free(resolver->lookups);
	free(resolver);
}
