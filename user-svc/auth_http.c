/*
 * auth_http.c - sign up, sign in, and the public keys.
 *
 * POST /api/auth/refresh and /logout belong here too, once there are sessions.
 */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "timeutil.h"
#include "user_repo.h"

#define ANSWER_MAX_BYTES 8192

/* {"access_token","token_type","expires_in","user"} */
static void reply_signed_in(struct app *app, struct http_req *req,
			    const struct user *user, int status)
{
	struct err err = {0};
	char *token = tokens_issue(app->tokens, user, time_now_ms(), &err);
	struct jw w;

	if (!token) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, ANSWER_MAX_BYTES);
	jw_object(&w);
	jw_kstrz(&w, "access_token", token);
	jw_kstrz(&w, "token_type", "Bearer");
	jw_kint(&w, "expires_in", tokens_ttl_s(app->tokens));
	jw_key(&w, "user");
	user_write(&w, user);
	jw_end(&w);
	free(token);
	http_set_header(req, "Cache-Control", "no-store");
	http_reply_jw(req, status, &w);
}

/* ---- POST /api/auth/register   check -> hash -> store -> reply ---- */

static void registered(struct app *app, struct http_req *req, const struct user *user)
{
	char location[48];

	snprintf(location, sizeof(location), "/api/users/%lld", (long long)user->id);
	http_set_header(req, "Location", location);
	reply_signed_in(app, req, user, 201);
}

void handle_register(struct http_req *req, void *arg)
{
	struct user_wish wish;
	struct err err = {0};
	json_t *body = http_body_json(req, &err);

	if (!body || !user_wish_new(body, false, &wish, &err)) {
		http_reply_err(req, &err);
		return;
	}
	signup(arg, req, 0, &wish, registered);
}

/* ---- POST /api/auth/login   check -> find -> compare -> reply ---- */

struct login {
	struct app *app;
	struct http_req *req;
	struct user user;
	struct password_job password;
};

static void login_found(const struct err *err, void *arg);
static void login_compared(const struct err *err, void *arg);

void handle_login(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct login *login = http_alloc(req, sizeof(*login));
	struct user_wish wish;
	struct err err = {0};
	json_t *body = http_body_json(req, &err);

	if (!body || !user_wish_login(body, &wish, &err)) {
		http_reply_err(req, &err);
		return;
	}
	login->app = app;
	login->req = req;
	str_copy(login->user.email, sizeof(login->user.email), str_from(wish.email));
	password_job_init(&login->password, wish.password);
	http_action(req, "finding the user");
	user_repo_by_email(app->db, &login->user, login_found, login);
}

/* An unknown address goes on, so that the time of the answer says nothing. */
static void login_found(const struct err *err, void *arg)
{
	struct login *login = arg;

	if (err && err->code != ERR_NOT_FOUND) {
		http_reply_err(login->req, err);
		return;
	}
	if (!app_goes_on(login->app, login->req))
		return;
	str_copy(login->password.hash, sizeof(login->password.hash),
		 str_from(err ? "" : login->user.hash));
	http_action(login->req, "comparing the password");
	password_check(login->app->passwords, &login->password, login_compared, login);
}

static void login_compared(const struct err *err, void *arg)
{
	struct login *login = arg;
	struct err wrong;

	if (err) {
		http_reply_err(login->req, err);
	} else if (!login->password.match) {
		err_slug(&wrong, ERR_UNAUTHORIZED, "invalid_credentials",
			 "e-mail or password is wrong");
		http_reply_err(login->req, &wrong);
	} else {
		reply_signed_in(login->app, login->req, &login->user, 200);
	}
}

/* ---- GET /.well-known/jwks.json ---- */

void handle_jwks(struct http_req *req, void *arg)
{
	struct app *app = arg;

	http_set_header(req, "Cache-Control", "public, max-age=300");
	http_reply(req, 200, "application/jwk-set+json", tokens_jwks(app->tokens));
}
