/*
 * fuzz_proxies.c - any bytes as networks and as X-Forwarded-For.
 *
 * Besides not crashing: what is found is an address, and what a stranger wrote in front
 * of what the proxies added changes nothing.
 */
/* link: gateway/proxies.c */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>

#include "gateway/proxies.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void find(const struct proxies *proxies, const char *list, size_t len,
		 char *client)
{
	struct http_head head = {.n_fields = 1};
	struct in6_addr address;

	head.fields[0] = (struct http_field){STR("X-Forwarded-For"), {list, len}};
	memcpy(client, "10.0.0.1", sizeof("10.0.0.1"));
	proxies_client(proxies, &head, client);
	check(inet_pton(AF_INET, client, &address) == 1 ||
	      inet_pton(AF_INET6, client, &address) == 1);
}

static void try_networks(const char *text)
{
	struct proxies proxies;
	struct err err;

	if (!proxies_init(&proxies, text, &err))
		return;
	/* No network is everybody's. */
	for (unsigned i = 0; i < proxies.n; i++)
		check(proxies.nets[i].bits > 0 && proxies.nets[i].bits <= 128);
	proxies_trust(&proxies, text);
	proxies_fini(&proxies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char forged[] = "6.6.6.6, ";
	const size_t front = sizeof(forged) - 1;
	char client[INET6_ADDRSTRLEN], again[INET6_ADDRSTRLEN];
	char *text = malloc(front + size + 1);
	struct proxies proxies;
	struct err err;

	if (!text || !proxies_init(&proxies, "10.0.0.0/8,fd00::/8", &err))
		abort();
	memcpy(text, forged, front);
	memcpy(text + front, data, size);
	text[front + size] = '\0';
	try_networks(text + front);
	find(&proxies, text + front, size, client);
	find(&proxies, text, front + size, again);
	check(strcmp(client, again) == 0 || proxies_trust(&proxies, client));
	proxies_fini(&proxies);
	free(text);
	return 0;
}
