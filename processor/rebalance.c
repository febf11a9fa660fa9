/*
 * rebalance.c - partitions come and go (eager: all of them each time).
 *
 * Runs inside rd_kafka_consumer_poll() and rd_kafka_consumer_close().
 */
#include <string.h>

#include "engine_internal.h"
#include "failpoint.h"
#include "log.h"

void drop_partitions(struct engine *engine)
{
	for (int32_t i = 0; i < engine->partitions; i++) {
		state_free(engine->part[i].state);
		memset(&engine->part[i], 0, sizeof(engine->part[i]));
	}
	engine->heap_is_loose = true;
	/* What comes next, a restore or new clients, may take long: meanwhile the alarm
	 * about partitions that nobody counts must see that they are gone. */
	(void)engine_show(engine);
}

static void assigned(struct engine *engine, rd_kafka_topic_partition_list_t *list)
{
	metric_add(engine->metrics.rebalances, 1);
	drop_partitions(engine);
	for (int i = 0; i < list->cnt; i++) {
		if (list->elems[i].partition >= engine->partitions) {
			engine_fail(engine,
				    "%s got more partitions than the %d known: users "
				    "would be split; see docs/OPERATIONS.md",
				    engine->cfg->orders_topic, engine->partitions);
			return;
		}
	}
	if (list->cnt == 0)
		metric_set(engine->metrics.restoring, 0);
	else if (!restore(engine, list))
		drop_partitions(engine);
}

/* Not ours any more already (`lost`): nothing may be committed. */
static void revoked(struct engine *engine, bool lost)
{
	if (lost)
		txn_abort(engine, false);
	else
		txn_commit(engine, false);
	if (FAILPOINT("processor_revoked"))
		engine_fail(engine, "failpoint processor_revoked");
	drop_partitions(engine);
	metric_set(engine->metrics.restoring, 0);
}

void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t what,
		  rd_kafka_topic_partition_list_t *list, void *opaque)
{
	struct engine *engine = opaque;
	bool lost = rd_kafka_assignment_lost(rk);
	rd_kafka_resp_err_t error;

	log_info("rebalance", LOG_STR("what", rd_kafka_err2name(what)),
		 LOG_INT("partitions", list->cnt), LOG_BOOL("lost", lost));
	if (FAILPOINT("processor_rebalancing"))
		engine_fail(engine, "failpoint processor_rebalancing");
	engine_turned(engine);
	if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		assigned(engine, list);
		error = rd_kafka_assign(rk, engine_running(engine) ? list : NULL);
	} else {
		revoked(engine, lost);
		error = rd_kafka_assign(rk, NULL);
	}
	if (error)
		engine_fail(engine, "assign: %s", rd_kafka_err2str(error));
	engine_turned(engine);
}
