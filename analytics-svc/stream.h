/*
 * stream.h - Server-Sent Events to many clients.
 *
 * Each event is a full snapshot, so a client that reconnects has missed nothing
 * and its Last-Event-ID needs no answer.  What changes is sent at once, but at
 * most every 100 ms; a client that does not read is dropped.
 */
#ifndef ANALYTICS_SVC_STREAM_H
#define ANALYTICS_SVC_STREAM_H

#include "feed.h"
#include "http.h"

struct streams;

struct streams *streams_new(struct loop *loop, size_t max, struct metrics *metrics);
void streams_free(struct streams *streams); /* accepts NULL */

/* Before the first client and before streams_changed(). Not owned. */
void streams_set_feed(struct streams *streams, struct feed *feed);

/* A set of enum feed_change has new values. */
void streams_changed(struct streams *streams, unsigned what);
/* One more client gets everything until its token ends (Unix time; 0: never), and a
 * closed connection with the first event or heartbeat after that; finishes `req`.
 * ERR_BUSY when there are too many: `req` is then still to be answered. */
bool streams_add(struct streams *streams, struct http_req *req, int64_t until_s,
		 struct err *err) __attribute__((warn_unused_result));
/* Ends all streams; clients come back to another instance. */
void streams_close(struct streams *streams);

#endif
