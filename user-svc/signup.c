/* signup.c - a new user, whoever asks for it:   hash -> store -> reply */
#include "app.h"
#include "user_repo.h"

struct signup {
	struct app *app;
	struct http_req *req;
	int64_t admin_id;
	struct user user;
	struct password_job password;
	signup_reply reply;
};

static void signup_hashed(const struct err *err, void *arg);
static void signup_stored(const struct err *err, void *arg);

void signup(struct app *app, struct http_req *req, int64_t admin_id,
	    const struct user_wish *wish, signup_reply reply)
{
	struct signup *s = http_alloc(req, sizeof(*s));

	s->app = app;
	s->req = req;
	s->admin_id = admin_id;
	s->reply = reply;
	s->user.role = wish->role;
	str_copy(s->user.name, sizeof(s->user.name), wish->name);
	str_copy(s->user.email, sizeof(s->user.email), str_from(wish->email));
	password_job_init(&s->password, wish->password);
	http_action(req, "hashing the password");
	password_hash(app->passwords, &s->password, signup_hashed, s);
}

static void signup_hashed(const struct err *err, void *arg)
{
	struct signup *s = arg;

	if (err) {
		http_reply_err(s->req, err);
		return;
	}
	str_copy(s->user.hash, sizeof(s->user.hash), str_from(s->password.hash));
	http_action(s->req, "storing the user");
	user_repo_insert(s->app->db, s->admin_id, &s->user, signup_stored, s);
}

static void signup_stored(const struct err *err, void *arg)
{
	struct signup *s = arg;

	if (err)
		http_reply_err(s->req, err);
	else
		s->reply(s->app, s->req, &s->user);
}
