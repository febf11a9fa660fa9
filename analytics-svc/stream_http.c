/* stream_http.c - GET /api/analytics/stream: may they? -> follow. */
#include "app.h"

void get_stream(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct err err;

	if (!may_see_all(app, req, &err) || !streams_add(app->streams, req, &err))
		http_reply_err(req, &err);
}
