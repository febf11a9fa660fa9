/* release_http.c - PUT /internal/reservations/:id/release: stock that an order does not
 * need is given back; order-svc only, after it has fenced the order. */
#include "app.h"
#include "reservation_repo.h"

/* check -> release -> reply */

struct releasing {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct release release;
};

static void release_done(const struct err *err, void *arg);

void put_release(struct http_req *req, void *arg)
{
	struct releasing *r = http_alloc(req, sizeof(*r));
	struct app *app = arg;

	r->req = req;
	r->app = app;
	r->release.owner = r;
	if (!caller_is_order_svc(app, req) || !reservation_id_of(req, r->release.id))
		return;
	http_action(req, "releasing stock");
	reservation_repo_release(app->db, &r->release, release_done);
}

static void release_done(const struct err *err, void *arg)
{
	struct release *release = arg;
	struct releasing *r = release->owner;
	struct jw w;

	catalogue_stock_moved(r->app->catalogue);
	if (err) {
		http_reply_err(r->req, err);
		return;
	}
	if (release->changed)
		metric_add(r->app->counters.released, 1);
	jw_init(&w, 256);
	jw_object(&w);
	jw_kstrz(&w, "reservation_id", release->id);
	jw_kstrz(&w, "state", reservation_state_name(release->state));
	jw_end(&w);
	http_reply_jw(r->req, 200, &w);
}
