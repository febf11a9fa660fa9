/*
 * housekeeping.c - a small batch at a time, all instances alike.
 *
 * A fence must outlive every process that might still try to commit against it:
 * the reservation's time plus a day.  Keys are promised for a day and kept for
 * two.
 */
#include "housekeeping.h"

#include <stdlib.h>

#include "log.h"

#define AGAIN_MS   100 /* when a batch was full */
#define DAY_S      (24 * 3600)
#define KEEP_KEY_S (2 * DAY_S)

struct housekeeping {
	struct order_repo *repo;
	struct loop_timer *timer;
	struct order_sweep sweep;
	int64_t every_ms;
};

static void on_swept(const struct err *err, void *arg)
{
	struct housekeeping *hk = arg;

	if (err)
		log_warn("housekeeping failed", LOG_STR("why", err->text));
	loop_timer_start(hk->timer, !err && hk->sweep.more ? AGAIN_MS : hk->every_ms);
}

static void on_time(void *arg)
{
	struct housekeeping *hk = arg;

	order_repo_sweep(hk->repo, &hk->sweep, on_swept, hk);
}

struct housekeeping *housekeeping_new(struct loop *loop, struct order_repo *repo,
				      int64_t reservation_ttl_s, int64_t every_ms)
{
	struct housekeeping *hk = xcalloc(1, sizeof(*hk));

	hk->repo = repo;
	hk->every_ms = every_ms;
	hk->sweep.fence_age_s = reservation_ttl_s + DAY_S;
	hk->sweep.key_age_s = KEEP_KEY_S;
	hk->timer = loop_timer_new(loop, on_time, hk);
	loop_timer_start(hk->timer, every_ms);
	return hk;
}

void housekeeping_free(struct housekeeping *hk)
{
	if (!hk)
		return;
	loop_timer_free(hk->timer);
	free(hk);
}
