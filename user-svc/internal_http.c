/* internal_http.c - GET /internal/users/:id, for our own services only. */
#include "app.h"
#include "user_repo.h"

#define USER_MAX_BYTES 4096

struct lookup {
	struct http_req *req;
	struct user user;
};

static void internal_found(const struct err *err, void *arg)
{
	struct lookup *lookup = arg;
	struct jw w;

	if (err) {
		http_reply_err(lookup->req, err);
		return;
	}
	jw_init(&w, USER_MAX_BYTES);
	jw_object(&w);
	jw_kint(&w, "user_id", lookup->user.id);
	jw_kstrz(&w, "name", lookup->user.name);
	jw_kstrz(&w, "email", lookup->user.email);
	jw_kstrz(&w, "role", user_role_name(lookup->user.role));
	jw_end(&w);
	http_reply_jw(lookup->req, 200, &w);
}

void handle_internal_user(struct http_req *req, void *arg)
{
	struct app *app = arg;
	struct lookup *lookup = http_alloc(req, sizeof(*lookup));
	struct caller caller = {0};
	struct err err = {0};

	lookup->req = req;
	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, &err) ||
	    !auth_is_service(&caller, "notify-svc,order-svc", &err) ||
	    !http_param_id(req, "id", &lookup->user.id, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "finding the user");
	user_repo_by_id(app->db, &lookup->user, internal_found, lookup);
}
