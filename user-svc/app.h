/* app.h - everything a handler may use, and the handlers themselves. */
#ifndef USER_SVC_APP_H
#define USER_SVC_APP_H

#include "auth.h"
#include "db.h"
#include "flight.h"
#include "http.h"
#include "password.h"
#include "service.h"
#include "settings.h"
#include "tokens.h"
#include "user.h"

struct app {
	struct settings cfg;
	struct loop *loop;
	struct tokens *tokens;
	struct auth *auth;
	struct db_pool *db;
	struct flights *flights; /* reads on their way */
	struct passwords *passwords;
	struct http_server *http;
	bool stopping; /* flows must not start anything any more */
};

/* app.c - the life of the process; see service_spec. */
bool app_check(void *arg, struct err *err);
bool app_start(void *arg, struct service *service, struct err *err);
void app_drain(void *arg, struct service *service);
void app_stop(void *arg);
/* False while the process ends: then the request has been answered with 503. */
bool app_goes_on(struct app *app, struct http_req *req);

/* commands.c */
int command_make_key(void *arg, int argc, char **argv);
int command_rotate_key(void *arg, int argc, char **argv);
int command_create_admin(void *arg, int argc, char **argv); /* `arg`: the settings */

/* auth_http.c */
void handle_register(struct http_req *req, void *arg);
void handle_login(struct http_req *req, void *arg);
void handle_jwks(struct http_req *req, void *arg);

/* user_http.c */
void handle_user_list(struct http_req *req, void *arg);
void handle_user_get(struct http_req *req, void *arg);
void handle_user_create(struct http_req *req, void *arg);
void handle_user_remove(struct http_req *req, void *arg);
/* user_patch.c */
void handle_user_patch(struct http_req *req, void *arg);

/* internal_http.c */
void handle_internal_user(struct http_req *req, void *arg);

/* signup.c - makes a user: hash -> insert -> `reply`, which answers the request.
 * Failures are answered here. `admin_id`: see user_repo.h. */
typedef void (*signup_reply)(struct app *app, struct http_req *req,
			     const struct user *user);
void signup(struct app *app, struct http_req *req, int64_t admin_id,
	    const struct user_wish *wish, signup_reply reply);

/* caller.c */
/* Who is calling? An anonymous caller passes in demo mode only. */
bool caller_of(struct app *app, struct http_req *req, struct caller *caller,
	       struct err *err) __attribute__((warn_unused_result));
/* The user that the path names, and may this caller read or change it? Changes
 * are for people who signed in, in every mode. */
bool caller_of_user(struct app *app, struct http_req *req, bool change,
		    struct caller *caller, int64_t *user_id, struct err *err)
	__attribute__((warn_unused_result));
/* Whose right as an admin does it take to change this user? 0: nobody's, it is the own
 * record, or a service asks. */
int64_t caller_admin_id(const struct caller *caller, int64_t user_id);

#endif
