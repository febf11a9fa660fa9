/*
 * user_patch.c - PATCH /api/users/:id
 *
 *   check -> [find -> compare the current password] -> [hash the new one] -> store ->
 * reply
 *
 * The steps in brackets are for a new password only, the first two not for admins.
 */
#include "app.h"
#include "user_repo.h"

#define USER_MAX_BYTES 4096

struct patch {
	struct app *app;
	struct http_req *req;
	struct user_wish wish; /* borrows from the body, which lives as long as req */
	struct user before;
	struct password_job password;
	struct user_change change;
	int64_t admin_id; /* see user_repo.h */
};

static void patch_found(const struct err *err, void *arg);
static void patch_compared(const struct err *err, void *arg);
static void patch_hash(struct patch *patch);
static void patch_hashed(const struct err *err, void *arg);
static void patch_store(struct patch *patch);
static void patch_stored(const struct err *err, void *arg);

/* `prove`: is the current password needed? */
static bool patch_check(struct patch *patch, bool *prove, struct err *err)
{
	struct app *app = patch->app;
	struct user_wish *wish = &patch->wish;
	struct caller caller = {0};
	struct err no_admin;
	json_t *body;
	bool admin;

	if (!caller_of_user(app, patch->req, true, &caller, &patch->change.id, err))
		return false;
	body = http_body_json(patch->req, err);
	if (!body || !user_wish_patch(body, wish, err))
		return false;
	admin = auth_is_admin(app->auth, &caller, false, &no_admin);
	if (wish->has_role && !admin)
		return err_set(err, ERR_FORBIDDEN, "only admins change roles");
	*prove = wish->password.at && !admin;
	if (*prove && !wish->current_password.at)
		return err_field(err, "current_password",
				 "is needed to set a new password");
	patch->admin_id = wish->has_role || (wish->password.at && admin)
				  ? caller.user_id
				  : caller_admin_id(&caller, patch->change.id);
	return true;
}

void handle_user_patch(struct http_req *req, void *arg)
{
	struct patch *patch = http_alloc(req, sizeof(*patch));
	struct err err = {0};
	bool prove = false;

	patch->app = arg;
	patch->req = req;
	if (!patch_check(patch, &prove, &err)) {
		http_reply_err(req, &err);
	} else if (prove) {
		patch->before.id = patch->change.id;
		http_action(req, "finding the user");
		user_repo_by_id(patch->app->db, &patch->before, patch_found, patch);
	} else if (patch->wish.password.at) {
		patch_hash(patch);
	} else {
		patch_store(patch);
	}
}

static void patch_found(const struct err *err, void *arg)
{
	struct patch *patch = arg;

	if (err) {
		http_reply_err(patch->req, err);
		return;
	}
	if (!app_goes_on(patch->app, patch->req))
		return;
	password_job_init(&patch->password, patch->wish.current_password);
	str_copy(patch->password.hash, sizeof(patch->password.hash),
		 str_from(patch->before.hash));
	http_action(patch->req, "comparing the password");
	password_check(patch->app->passwords, &patch->password, patch_compared, patch);
}

static void patch_compared(const struct err *err, void *arg)
{
	struct patch *patch = arg;
	struct err wrong;

	if (err) {
		http_reply_err(patch->req, err);
		return;
	}
	if (!patch->password.match) {
		err_field(&wrong, "current_password", "is not the current password");
		http_reply_err(patch->req, &wrong);
		return;
	}
	if (app_goes_on(patch->app, patch->req))
		patch_hash(patch);
}

static void patch_hash(struct patch *patch)
{
	password_job_init(&patch->password, patch->wish.password);
	http_action(patch->req, "hashing the password");
	password_hash(patch->app->passwords, &patch->password, patch_hashed, patch);
}

static void patch_hashed(const struct err *err, void *arg)
{
	struct patch *patch = arg;

	if (err) {
		http_reply_err(patch->req, err);
		return;
	}
	patch->change.hash = str_from(patch->password.hash);
	patch_store(patch);
}

static void patch_store(struct patch *patch)
{
	struct user_change *change = &patch->change;

	change->name = patch->wish.name;
	if (patch->wish.email[0])
		change->email = str_from(patch->wish.email);
	change->has_role = patch->wish.has_role;
	change->role = patch->wish.role;
	http_action(patch->req, "storing the user");
	user_repo_update(patch->app->db, patch->admin_id, change, patch_stored, patch);
}

static void patch_stored(const struct err *err, void *arg)
{
	struct patch *patch = arg;
	struct jw w;

	if (err) {
		http_reply_err(patch->req, err);
		return;
	}
	jw_init(&w, USER_MAX_BYTES);
	user_write(&w, &patch->change.user);
	http_reply_jw(patch->req, 200, &w);
}
