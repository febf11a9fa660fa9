/* app.h - everything a handler may use. */
#ifndef NOTIFY_SVC_APP_H
#define NOTIFY_SVC_APP_H

#include "addresses.h"
#include "auth.h"
#include "db.h"
#include "housekeeping.h"
#include "http.h"
#include "http_client.h"
#include "intake.h"
#include "sender.h"
#include "service.h"
#include "settings.h"
#include "smtp.h"

struct app {
	struct settings cfg;
	struct loop *loop;
	struct db_pool *db;
	struct http_client *internal; /* the gateway's internal listener */
	struct auth *auth;
	struct addresses *addresses;
	struct smtp *smtp;
	struct sender *sender;
	struct intake *intake;
	struct housekeeping *housekeeping;
	struct http_server *http;
	unsigned undrained; /* parts that have not finished yet */
	struct service *service;
};

/* The life of the process; see service_spec. */
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);

extern const struct http_route notify_routes[];

#endif
