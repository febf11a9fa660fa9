/* app.h - everything a handler may use, and the handlers themselves. */
#ifndef PRODUCT_SVC_APP_H
#define PRODUCT_SVC_APP_H

#include "auth.h"
#include "catalogue.h"
#include "confirm.h"
#include "http.h"
#include "http_client.h"
#include "janitor.h"
#include "reservation.h"
#include "service.h"
#include "settings.h"

#define CALLER_NAME_MAX 64

/* How reservations are asked for; shop_reservations_total{result}. */
struct reservation_counters {
	struct metric *reserved, *replayed, *insufficient, *in_progress, *refused,
		*released;
};

struct app {
	struct settings cfg;
	struct loop *loop;
	struct db_pool *db;
	struct db_settings search_db;  /* of `searching` */
	struct db_pool *searching;     /* for those who read the whole catalogue */
	struct batch_stage *reserving; /* on connections of its own */
	struct catalogue *catalogue;
	struct http_client *internal; /* the gateway's internal listener */
	struct auth *auth;
	struct janitor *janitor;
	struct confirm *confirm;
	struct http_server *http;
	struct reservation_counters counters;
};

/* app.c: the parts' start and end. */
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);

extern const struct http_route product_routes[];

/* product_http.c */
void list_products(struct http_req *req, void *arg);
void get_product(struct http_req *req, void *arg);
/* product_admin_http.c */
void create_product(struct http_req *req, void *arg);
void replace_product(struct http_req *req, void *arg);
void remove_product(struct http_req *req, void *arg);
/* stock_http.c */
void change_stock(struct http_req *req, void *arg);
/* reserve_http.c */
void put_reservation(struct http_req *req, void *arg);
void put_reservations(struct http_req *req, void *arg);
/* release_http.c */
void put_release(struct http_req *req, void *arg);

/* caller.c: false: `req` was answered with 401, 403 or 503. */
bool caller_is_admin(struct app *app, struct http_req *req, char name[CALLER_NAME_MAX]);
bool caller_is_order_svc(struct app *app, struct http_req *req);

/* routes.c: ":id" of the path; false: `req` was answered with 404. */
bool product_id_of(struct http_req *req, struct str *id);
void reply_no_product(struct http_req *req, struct str id);
/* false: `req` was answered with 400. */
bool reservation_id_of(struct http_req *req, char dst[ID_HEX_LEN + 1]);
/* 409 insufficient_stock that says how many there are. */
void reply_shortage(struct http_req *req, const struct shortage *shortage);

#endif
