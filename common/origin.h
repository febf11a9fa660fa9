/*
 * origin.h - "http://host:port" or "host:port": where a client connects to.
 *
 * An address is used as it is; a name is looked up without blocking, each time
 * a connection is made, so that a moved service is found again.
 */
#ifndef COMMON_ORIGIN_H
#define COMMON_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "err.h"
#include "loop.h"
#include "str.h"

struct bufferevent;
struct evdns_base;

#define ORIGIN_HOST_MAX 256

struct origin {
	char host[ORIGIN_HOST_MAX]; /* without the brackets of an IPv6 address */
	char authority[ORIGIN_HOST_MAX + 10]; /* for the Host header */
	uint16_t port;
	struct sockaddr_storage addr;
	int addr_len; /* 0: `host` is a name */
};

/* "http://host[:port]" with nothing behind it but an optional "/". */
bool origin_parse(struct str url, struct origin *out, struct err *err)
	__attribute__((warn_unused_result));

/* "host", "host:port" or "[v6]:port"; `port` is for those that name none. */
bool origin_parse_server(struct str server, uint16_t port, struct origin *out,
			 struct err *err) __attribute__((warn_unused_result));

/* A resolver for names on this loop: reads resolv.conf and hosts once, keeps
 * the loop alive only while a question is open. Asks three times, 1 s each, whatever
 * resolv.conf says of that; one kind of address waits 0.2 s for the other. Never NULL;
 * owned by caller. */
struct evdns_base *origin_resolver_new(struct loop *loop);
/* Open questions fail. It is gone on the loop's next turn (loop_free() has one, too). */
void origin_resolver_free(struct evdns_base *dns, struct loop *loop);

/* Starts connecting; the result comes as the bufferevent's event. false: it
 * could not even be started. */
bool origin_connect(const struct origin *origin, struct bufferevent *bev,
		    struct evdns_base *dns) __attribute__((warn_unused_result));

#endif
