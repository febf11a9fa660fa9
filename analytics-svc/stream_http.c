/* stream_http.c - GET /api/analytics/stream: may they? -> follow. */
#include "app.h"

void get_stream(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct caller caller;
	struct err err;

	if (!caller_sees_all(app, req, &caller, &err) ||
	    !streams_add(app->streams, req, caller.expires_s, &err))
		http_reply_err(req, &err);
}
