/*
 * proxies.h - the proxies in front of us that may say who their client is: the
 * networks of TRUSTED_PROXIES, and the reading of X-Forwarded-For.  Pure.
 *
 * A network of IPv4 also holds its addresses as IPv6 writes them (::ffff:192.0.2.1).
 */
#ifndef GATEWAY_PROXIES_H
#define GATEWAY_PROXIES_H

#include <netinet/in.h>

#include "err.h"
#include "http_parse.h"

struct proxy_net {
	struct in6_addr base;
	unsigned bits; /* of IPv4 too as a part of IPv6: 96 and more */
};

struct proxies {
	struct proxy_net *nets; /* owned; NULL when none is trusted */
	unsigned n;
};

/* From "10.0.0.0/8, 2001:db8::/32, 192.0.2.1"; "" trusts nobody. On failure `err`
 * names the part that is wrong, and nothing is to be freed. */
bool proxies_init(struct proxies *proxies, const char *text, struct err *err)
	__attribute__((warn_unused_result));
void proxies_fini(struct proxies *proxies);

/* Is this address one of theirs? What is no address is not. */
bool proxies_trust(const struct proxies *proxies, const char *address);

/*
 * Whom a trusted peer speaks for.  `client` holds the peer's address, and gets the last
 * of X-Forwarded-For that is not a trusted proxy's: who stands left of it was named by
 * itself.  What is no address ends the search, and the one found so far remains.
 */
void proxies_client(const struct proxies *proxies, const struct http_head *head,
		    char client[INET6_ADDRSTRLEN]);

#endif
