/*
 * http_push.h - send what a bufferevent has to send at once.
 *
 * libevent waits for the loop to say that a socket can be written, which it
 * nearly always can: that costs two system calls and a turn of the loop for each
 * message.  Here the write comes first, and the loop is asked only for what did
 * not fit.  In between, EV_WRITE of the socket is off.
 */
#ifndef COMMON_HTTP_PUSH_H
#define COMMON_HTTP_PUSH_H

#include <event2/bufferevent.h>
#include <stdbool.h>

/* Before anything is added to the output of this socket bufferevent. */
void http_push_begin(struct bufferevent *bev);
/* Sends. When something is left, or there is `more` to come, or it failed, the loop
 * is asked to go on; it tells of a failure by the usual event. */
void http_push_end(struct bufferevent *bev, bool more);

#endif
