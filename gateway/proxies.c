/* proxies.c - read networks and X-Forwarded-For; all addresses are kept as IPv6. */
#include "proxies.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define V4_BITS 96 /* in front of an address of IPv4: ::ffff:0:0/96 */

/* ---- addresses ---- */

static bool address_parse(struct str text, struct in6_addr *out)
{
	char z[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (!str_copy(z, sizeof(z), text))
		return false;
	if (inet_pton(AF_INET6, z, out) == 1)
		return true;
	if (inet_pton(AF_INET, z, &v4) != 1)
		return false;
	*out = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
	memcpy(&out->s6_addr[V4_BITS / 8], &v4, sizeof(v4));
	return true;
}

static void address_text(const struct in6_addr *address, char text[INET6_ADDRSTRLEN])
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		inet_ntop(AF_INET, &address->s6_addr[V4_BITS / 8], text,
			  INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, address, text, INET6_ADDRSTRLEN);
}

/* ---- networks ---- */

static bool net_has(const struct proxy_net *net, const struct in6_addr *address)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;
	const uint8_t *a = net->base.s6_addr, *b = address->s6_addr;

	return memcmp(a, b, whole) == 0 &&
	       (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

static bool has_host_bits(const struct proxy_net *net)
{
	for (unsigned bit = net->bits; bit < 128; bit++) {
		if (net->base.s6_addr[bit / 8] & 0x80 >> bit % 8)
			return true;
	}
	return false;
}

static bool net_parse(struct str text, struct proxy_net *net, struct err *err)
{
	const char *slash = memchr(text.at, '/', text.len);
	struct str base = {text.at, slash ? (size_t)(slash - text.at) : text.len};
	unsigned skip = memchr(base.at, ':', base.len) ? 0 : V4_BITS;
	uint64_t bits = 128 - skip;

	if (!address_parse(base, &net->base) ||
	    (slash &&
	     !str_u64((struct str){slash + 1, text.len - base.len - 1}, &bits)) ||
	    bits > 128 - skip)
		return err_set(err, ERR_INPUT,
			       "'" STR_FMT "' is no network, as 10.0.0.0/8 is",
			       STR_ARG(text));
	if (bits == 0)
		return err_set(err, ERR_INPUT, "'" STR_FMT "' would trust everybody",
			       STR_ARG(text));
	net->bits = skip + (unsigned)bits;
	if (has_host_bits(net))
		return err_set(err, ERR_INPUT,
			       "'" STR_FMT "' has bits behind its first %u",
			       STR_ARG(text), (unsigned)bits);
	return true;
}

bool proxies_init(struct proxies *proxies, const char *text, struct err *err)
{
	struct str rest = str_from(text);
	bool more = rest.len > 0;

	*proxies = (struct proxies){0};
	while (more) {
		const char *comma = memchr(rest.at, ',', rest.len);
		size_t len = comma ? (size_t)(comma - rest.at) : rest.len;
		struct proxy_net net;

		if (!net_parse(str_trim((struct str){rest.at, len}), &net, err)) {
			proxies_fini(proxies);
			return false;
		}
		proxies->nets = xrealloc(proxies->nets,
					 (proxies->n + 1) * sizeof(*proxies->nets));
		proxies->nets[proxies->n++] = net;
		more = comma != NULL;
		rest = (struct str){rest.at + len + more, rest.len - len - more};
	}
	return true;
}

void proxies_fini(struct proxies *proxies)
{
	free(proxies->nets);
	*proxies = (struct proxies){0};
}

static bool is_trusted(const struct proxies *proxies, const struct in6_addr *address)
{
	for (unsigned i = 0; i < proxies->n; i++) {
		if (net_has(&proxies->nets[i], address))
			return true;
	}
	return false;
}

bool proxies_trust(const struct proxies *proxies, const char *address)
{
	struct in6_addr parsed;

	return proxies->n > 0 && address_parse(str_from(address), &parsed) &&
	       is_trusted(proxies, &parsed);
}

/* ---- X-Forwarded-For ---- */

static bool port_ok(struct str text)
{
	uint64_t port;

	return text.len == 0 ||
	       (text.at[0] == ':' &&
		str_u64((struct str){text.at + 1, text.len - 1}, &port) &&
		port <= UINT16_MAX);
}

/* 192.0.2.1  192.0.2.1:80  2001:db8::1  [2001:db8::1]  [2001:db8::1]:80 */
static bool element_parse(struct str text, struct in6_addr *out)
{
	struct str host = text, port = STR_NONE;
	const char *end =
		memchr(text.at, text.len && *text.at == '[' ? ']' : ':', text.len);

	if (text.len > 0 && *text.at == '[') {
		if (!end)
			return false;
		host = (struct str){text.at + 1, (size_t)(end - text.at) - 1};
		port = (struct str){end + 1, text.len - host.len - 2};
	} else if (end && !memchr(end + 1, ':', text.len - (size_t)(end - text.at) - 1)) {
		host.len = (size_t)(end - text.at);
		port = (struct str){end, text.len - host.len};
	}
	return port_ok(port) && address_parse(host, out);
}

/* From the right; false: the search is over. */
static bool search(const struct proxies *proxies, struct str list, char *client)
{
	for (;;) {
		const char *comma = memrchr(list.at, ',', list.len);
		size_t begin = comma ? (size_t)(comma - list.at) + 1 : 0;
		struct str one = {list.at + begin, list.len - begin};
		struct in6_addr address;

		if (!element_parse(str_trim(one), &address))
			return false;
		address_text(&address, client);
		if (!is_trusted(proxies, &address))
			return false;
		if (!comma)
			return true;
		list.len = begin - 1;
	}
}

void proxies_client(const struct proxies *proxies, const struct http_head *head,
		    char client[INET6_ADDRSTRLEN])
{
	for (unsigned i = head->n_fields; i-- > 0;) {
		const struct http_field *field = &head->fields[i];

		if (str_ieq(field->name, STR("X-Forwarded-For")) &&
		    !search(proxies, field->value, client))
			return;
	}
}
