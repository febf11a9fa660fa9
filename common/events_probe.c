/*
 * events_probe.c - asks the brokers for the topic's metadata, and the leaders for the
 * ends of its partitions: a client that fetches nothing learns them from nobody else.
 *
 * librdkafka has only a blocking call for this, so it runs on a thread of its
 * own.  An answer proves that a broker is reachable, which nothing else does
 * while a topic is idle.
 */
#include <stdlib.h>

#include "events_internal.h"
#include "str.h"
#include "work.h"

#define ANSWER_MS 1000

struct events_probe {
	struct work_pool *pool; /* one thread */
	rd_kafka_t *rk;
	rd_kafka_topic_t *topic;
	bool all_leaders;
	events_probe_cb cb;
	void *arg;
	bool running;
	/* filled by the thread */
	rd_kafka_resp_err_t error;
	int partitions;
	int64_t *ends; /* by partition; -1: not known */
};

/* Any broker answers for metadata; where a partition ends only its leader can say. */
static rd_kafka_resp_err_t ask_leaders(struct events_probe *probe)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(probe->partitions);
	rd_kafka_resp_err_t error;

	for (int p = 0; p < probe->partitions; p++)
		rd_kafka_topic_partition_list_add(list, rd_kafka_topic_name(probe->topic),
						  p)
			->offset = RD_KAFKA_OFFSET_END;
	error = rd_kafka_offsets_for_times(probe->rk, list, ANSWER_MS);
	probe->ends =
		xrealloc(probe->ends, (size_t)probe->partitions * sizeof(*probe->ends));
	for (int p = 0; p < probe->partitions; p++) {
		const rd_kafka_topic_partition_t *elem = &list->elems[p];

		/* Where nobody answered it still is RD_KAFKA_OFFSET_END, which is -1. */
		probe->ends[p] = elem->err ? -1 : elem->offset;
		if (!error)
			error = elem->err;
	}
	rd_kafka_topic_partition_list_destroy(list);
	return error;
}

static void ask(void *worker, void *arg)
{
	struct events_probe *probe = arg;
	const struct rd_kafka_metadata *answer = NULL;
	rd_kafka_resp_err_t leaders;

	(void)worker;
	probe->partitions = 0;
	probe->error = rd_kafka_metadata(probe->rk, 0, probe->topic, &answer, ANSWER_MS);
	if (probe->error)
		return;
	if (answer->topic_cnt != 1)
		probe->error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	else if (answer->topics[0].err)
		probe->error = answer->topics[0].err;
	else
		probe->partitions = answer->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(answer);
	if (probe->error)
		return;
	leaders = ask_leaders(probe);
	if (probe->all_leaders)
		probe->error = leaders;
}

static void on_asked(enum work_end end, void *arg)
{
	struct events_probe *probe = arg;

	probe->running = false;
	if (end == WORK_DONE)
		probe->cb(probe->error, probe->partitions, probe->ends, probe->arg);
}

struct events_probe *events_probe_new(struct loop *loop, rd_kafka_t *rk,
				      rd_kafka_topic_t *topic, bool all_leaders,
				      events_probe_cb cb, void *arg, struct err *err)
{
	const struct work_config cfg = {.name = "kafka", .threads = 1, .max_queue = 1};
	struct events_probe *probe = xcalloc(1, sizeof(*probe));

	probe->rk = rk;
	probe->topic = topic;
	probe->all_leaders = all_leaders;
	probe->cb = cb;
	probe->arg = arg;
	probe->pool = work_pool_new(loop, &cfg, err);
	if (probe->pool)
		return probe;
	free(probe);
	return NULL;
}

void events_probe_start(struct events_probe *probe)
{
	if (probe->running)
		return;
	probe->running = true;
	work_submit(probe->pool, 0, ask, on_asked, probe);
}

void events_probe_free(struct events_probe *probe)
{
	if (!probe)
		return;
	work_pool_free(probe->pool);
	free(probe->ends);
	free(probe);
}
