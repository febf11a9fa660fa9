/* origin.c - parse the address of a service, and connect to it. */
#include "origin.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static bool host_ok(struct str host)
{
	for (size_t i = 0; i < host.len; i++) {
		unsigned char c = (unsigned char)host.at[i];
		bool alnum =
			(c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');

		if (!alnum && c != '-' && c != '.' && c != '_' && c != ':')
			return false;
	}
	return host.len > 0;
}

/* Splits "host:port" or "[v6]:port"; the port may be missing. */
static bool split(struct str rest, struct str *host, struct str *port)
{
	const char *end = rest.at + rest.len;
	const char *colon;

	*port = STR_NONE;
	if (rest.len > 0 && rest.at[0] == '[') {
		const char *close = memchr(rest.at, ']', rest.len);

		if (!close)
			return false;
		*host = (struct str){rest.at + 1, (size_t)(close - rest.at - 1)};
		if (close + 1 == end)
			return true;
		colon = close + 1;
	} else {
		colon = memchr(rest.at, ':', rest.len);
		*host = (struct str){rest.at,
				     colon ? (size_t)(colon - rest.at) : rest.len};
		if (!colon)
			return true;
	}
	*port = (struct str){colon + 1, (size_t)(end - colon - 1)};
	return *colon == ':' && port->len > 0;
}

static void fill_addr(struct origin *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->addr;

	if (inet_pton(AF_INET, out->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(out->port);
		out->addr_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, out->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(out->port);
		out->addr_len = sizeof(*v6);
	}
}

/* `text` is what was given, for errors; `form` is what it should have looked like. */
static bool parse(struct str server, uint16_t port, struct str text, const char *form,
		  struct origin *out, struct err *err)
{
	struct str host, digits;
	uint64_t number = port;

	memset(out, 0, sizeof(*out));
	if (!split(server, &host, &digits) || !host_ok(host) ||
	    !str_copy(out->host, sizeof(out->host), host))
		return err_set(err, ERR_INPUT, "'" STR_FMT "' is not %s", STR_ARG(text),
			       form);
	if (digits.at && (!str_u64(digits, &number) || number == 0 || number > 65535))
		return err_set(err, ERR_INPUT, "'" STR_FMT "' has a bad port",
			       STR_ARG(text));
	out->port = (uint16_t)number;
	fill_addr(out);
	snprintf(out->authority, sizeof(out->authority),
		 out->addr.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", out->host,
		 out->port);
	return true;
}

bool origin_parse(struct str url, struct origin *out, struct err *err)
{
	const struct str scheme = STR("http://");
	struct str server = url;

	if (!str_starts(url, scheme))
		return err_set(err, ERR_INPUT,
			       "'" STR_FMT "' does not start with http://", STR_ARG(url));
	server.at += scheme.len;
	server.len -= scheme.len;
	if (server.len > 0 && server.at[server.len - 1] == '/')
		server.len--;
	return parse(server, 80, url, "http://host:port", out, err);
}

bool origin_parse_server(struct str server, uint16_t port, struct origin *out,
			 struct err *err)
{
	return parse(server, port, server, "host:port", out, err);
}

/* libevent's own time-out of 5 s makes one lost datagram a failure of whoever asked; and
 * its 3 s for the second half of an answer (AAAA after A) keep back the first. */
static void be_quick(struct evdns_base *dns)
{
	evdns_base_set_option(dns, "timeout:", "1");
	evdns_base_set_option(dns, "attempts:", "3");
	evdns_base_set_option(dns, "getaddrinfo-allow-skew:", "0.2");
}

struct evdns_base *origin_resolver_new(struct loop *loop)
{
	int flags = EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE;
	struct evdns_base *dns = evdns_base_new(loop_base(loop), flags);

	/* Without a readable resolv.conf only the hosts file is left. */
	if (!dns)
		dns = evdns_base_new(loop_base(loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!dns)
		abort();
	be_quick(dns);
	return dns;
}

struct farewell {
	struct evdns_base *dns;
	struct loop_timer *timer;
};

static void on_farewell(void *arg)
{
	struct farewell *farewell = arg;

	evdns_base_free(farewell->dns, 1);
	loop_timer_free(farewell->timer);
	free(farewell);
}

/* Answers that have come are told by callbacks that wait for their turn and still look at
 * the resolver.  A timer of the next turn stands behind all of them. */
void origin_resolver_free(struct evdns_base *dns, struct loop *loop)
{
	struct farewell *farewell;

	if (!dns)
		return;
	evdns_base_clear_nameservers_and_suspend(dns);
	farewell = xcalloc(1, sizeof(*farewell));
	farewell->dns = dns;
	farewell->timer = loop_timer_new(loop, on_farewell, farewell);
	loop_timer_start(farewell->timer, 0);
}

bool origin_connect(const struct origin *origin, struct bufferevent *bev,
		    struct evdns_base *dns)
{
	if (origin->addr_len)
		return bufferevent_socket_connect(bev,
						  (const struct sockaddr *)&origin->addr,
						  origin->addr_len) == 0;
	return bufferevent_socket_connect_hostname(bev, dns, AF_UNSPEC, origin->host,
						   origin->port) == 0;
}
