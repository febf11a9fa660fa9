/* internal_http.c - commit or fence, asked by product-svc's janitor. */
#include "app.h"
#include "log.h"

struct asking {
	struct http_req *req; /* also owns this struct */
	struct order_settle settle;
};

/* PUT /internal/outcomes/:id   check -> settle -> reply */
static void outcome_settled(const struct err *err, void *arg);

void settle_outcome(struct http_req *req, void *arg)
{
	struct asking *a = http_alloc(req, sizeof(*a));
	struct str id = http_param(req, "id");
	struct app *app = arg;
	struct caller caller;
	struct err err;

	a->req = req;
	if (!auth_check(app->auth, http_header(req, "Authorization"), &caller, &err) ||
	    !auth_is_service(&caller, "product-svc", &err)) {
		http_reply_err(req, &err);
		return;
	}
	if (!id_valid(id)) {
		err_field(&err, "id", "a reservation id has 32 hex digits");
		http_reply_err(req, &err);
		return;
	}
	http_action(req, "settling a reservation");
	str_copy(a->settle.reservation_id, sizeof(a->settle.reservation_id), id);
	order_repo_settle(app->repo, &a->settle, outcome_settled, a);
}

static void outcome_settled(const struct err *err, void *arg)
{
	struct asking *a = arg;
	struct jw w;

	if (err) {
		http_reply_err(a->req, err);
		return;
	}
	if (!a->settle.committed)
		log_info("reservation fenced",
			 LOG_STR("reservation_id", a->settle.reservation_id));
	jw_init(&w, 256);
	jw_object(&w);
	jw_kstrz(&w, "reservation_id", a->settle.reservation_id);
	jw_kstrz(&w, "outcome", a->settle.committed ? "committed" : "aborted");
	jw_end(&w);
	http_reply_jw(a->req, 200, &w);
}
