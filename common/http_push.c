/* http_push.c - write first, ask the loop later. */
#include "http_push.h"

#include <event2/buffer.h>
#include <event2/event.h>

void http_push_begin(struct bufferevent *bev)
{
	bufferevent_disable(bev, EV_WRITE);
}

void http_push_end(struct bufferevent *bev, bool more)
{
	struct evbuffer *out = bufferevent_get_output(bev);

	if (evbuffer_get_length(out) > 0) {
		/* Frozen against others than libevent's own writing. */
		evbuffer_unfreeze(out, 1);
		evbuffer_write(out, bufferevent_getfd(bev));
		evbuffer_freeze(out, 1);
	}
	if (evbuffer_get_length(out) > 0 || more)
		bufferevent_enable(bev, EV_WRITE);
}
