/* housekeeping.c - a small batch at a time, all instances alike. */
#include "housekeeping.h"

#include <stdlib.h>

#include "log.h"
#include "notify_repo.h"

#define AGAIN_MS 100 /* when a batch was full */

struct housekeeping {
	struct db_pool *db;
	struct loop_timer *timer;
	struct notice_sweep sweep;
	int64_t every_ms;
	struct metric *m_deleted;
};

static void on_swept(const struct err *err, void *arg)
{
	struct housekeeping *hk = arg;

	if (err)
		log_warn("housekeeping failed", LOG_STR("why", err->text));
	else
		metric_add(hk->m_deleted, (int64_t)hk->sweep.deleted);
	loop_timer_start(hk->timer, !err && hk->sweep.more ? AGAIN_MS : hk->every_ms);
}

static void on_time(void *arg)
{
	struct housekeeping *hk = arg;

	notify_repo_sweep(hk->db, &hk->sweep, on_swept, hk);
}

struct housekeeping *housekeeping_new(struct loop *loop, struct db_pool *db,
				      int64_t keep_days, int64_t every_ms,
				      struct metrics *metrics)
{
	struct housekeeping *hk = xcalloc(1, sizeof(*hk));

	hk->db = db;
	hk->every_ms = every_ms;
	hk->sweep.keep_days = keep_days;
	hk->m_deleted = metrics_counter(metrics, "shop_notifications_deleted_total",
					"old notifications deleted", NULL);
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
