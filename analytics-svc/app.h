/* app.h - everything a handler may use, and the handlers themselves. */
#ifndef ANALYTICS_SVC_APP_H
#define ANALYTICS_SVC_APP_H

#include "auth.h"
#include "feed.h"
#include "http.h"
#include "http_client.h"
#include "service.h"
#include "settings.h"
#include "stream.h"

struct app {
	struct settings cfg;
	struct loop *loop;
	struct feed *feed;
	struct http_client *internal; /* the gateway's internal listener, for keys */
	struct auth *auth;
	struct streams *streams;
	struct http_server *http;
};

/* The life of the process; see service_spec. */
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);

extern const struct http_route analytics_routes[];

/* GET /api/analytics/stream (stream_http.c) */
void get_stream(struct http_req *req, void *arg);

/* Who is calling, and may they see everybody's numbers? Administrators; in demo
 * mode anyone. Also false before everything was read. Fills `caller`. */
bool caller_sees_all(struct app *app, struct http_req *req, struct caller *caller,
		     struct err *err) __attribute__((warn_unused_result));

#endif
