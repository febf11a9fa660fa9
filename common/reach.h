/*
 * reach.h - waits, once, until the network carries what this process sends.
 *
 * In Kubernetes the agents that enforce network policies may drop what a new pod sends
 * until they have heard of its address, some tenths of a second after its start.  The
 * kernel repeats a lost SYN after a whole second (RFC 6298, section 2.1), and client
 * libraries wait for it.  So before they begin, their servers are connected to, and again
 * every REACH_STEP_MS beside the attempts before, until one attempt has an outcome.  Any
 * will do, a refusal or an unknown name, too: only silence is worth another try.
 *
 * A database counts a connection without a login against its host, until the next login
 * (max_connect_errors of MySQL).  So it may be asked once, where logins follow at once.
 */
#ifndef COMMON_REACH_H
#define COMMON_REACH_H

#include "loop.h"

#define REACH_STEP_MS 250
#define REACH_TRIES   8

struct reach;
struct evdns_base;

/* `servers` is "host:port,host:port…", with `port` where one is missing; PROTOCOL:// in
 * front is skipped.  `done` runs once on the loop, after an outcome or REACH_TRIES *
 * REACH_STEP_MS of silence.  `dns` must outlive it.  NULL: there is no server in it.
 * Owned by the caller. */
struct reach *reach_new(struct loop *loop, struct evdns_base *dns, const char *servers,
			uint16_t port, loop_fn done, void *arg);
/* How many attempts there were when one had an outcome; 0: none had any. */
unsigned reach_tries(const struct reach *reach);
/* The connections, which carried not one byte, are closed on the loop's next turn. */
void reach_free(struct reach *reach); /* accepts NULL */

#endif
