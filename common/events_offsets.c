/*
 * events_offsets.c - per partition of one topic: how far the consumer got, how
 * far its work is done, and what of that is still to be committed.
 */
#include <stdlib.h>

#include "events_internal.h"
#include "str.h"

/* An answer that has not come by then never comes: librdkafka 2.0.2 loses some when a
 * broker goes away. */
#define ANSWER_MS 5000

struct part {
	bool ours;
	bool ended;        /* passed the end of the log that was seen first */
	int64_t end;       /* of the log when it was seen first; -1: not yet */
	int64_t seen_end;  /* of the log when a leader was asked last; -1: not yet */
	int64_t position;  /* next to take; -1: not known yet */
	int64_t done;      /* everything before it is dealt with; -1: nothing */
	int64_t asked;     /* to commit, last; -1: nothing */
	int64_t asked_ms;  /* monotonic */
	int64_t committed; /* as the broker has said; -1: nothing */
};

struct events_offsets {
	rd_kafka_t *rk;
	char *topic;
	struct part *parts; /* by partition number */
	int32_t n;
};

static const struct part unknown = {.end = -1,
				    .seen_end = -1,
				    .position = -1,
				    .done = -1,
				    .asked = -1,
				    .committed = -1};

struct events_offsets *events_offsets_new(rd_kafka_t *rk, const char *topic)
{
	struct events_offsets *offsets = xcalloc(1, sizeof(*offsets));

	offsets->rk = rk;
	offsets->topic = xstrdup(topic);
	return offsets;
}

void events_offsets_free(struct events_offsets *offsets)
{
	if (!offsets)
		return;
	free(offsets->parts);
	free(offsets->topic);
	free(offsets);
}

void events_offsets_add(struct events_offsets *offsets, int32_t partition)
{
	if (partition >= offsets->n) {
		offsets->parts = xrealloc(offsets->parts, ((size_t)partition +
							   1) * sizeof(*offsets->parts));
		while (offsets->n <= partition)
			offsets->parts[offsets->n++] = unknown;
	}
	offsets->parts[partition] = unknown;
	offsets->parts[partition].ours = true;
}

void events_offsets_drop(struct events_offsets *offsets)
{
	for (int32_t p = 0; p < offsets->n; p++)
		offsets->parts[p] = unknown;
}

void events_offsets_assign(struct events_offsets *offsets,
			   const rd_kafka_topic_partition_list_t *list)
{
	events_offsets_drop(offsets);
	for (int i = 0; i < list->cnt; i++)
		events_offsets_add(offsets, list->elems[i].partition);
}

/* NULL for a partition that is not ours (any more). */
static struct part *find(struct events_offsets *offsets, int32_t partition)
{
	if (partition < 0 || partition >= offsets->n || !offsets->parts[partition].ours)
		return NULL;
	return &offsets->parts[partition];
}

static void move(struct part *part, int64_t next)
{
	part->position = next;
	if (part->end >= 0 && next >= part->end)
		part->ended = true;
}

void events_offsets_taken(struct events_offsets *offsets, int32_t partition, int64_t next)
{
	struct part *part = find(offsets, partition);

	if (part)
		move(part, next);
}

/* The end of what can be read is not the end of the log while a transaction is
 * open: what it hides was there before us. */
static int64_t log_end(const struct events_offsets *offsets, int32_t partition,
		       int64_t next)
{
	int64_t low, high;

	if (rd_kafka_get_watermark_offsets(offsets->rk, offsets->topic, partition, &low,
					   &high) ||
	    high < next)
		return next;
	return high;
}

void events_offsets_ended(struct events_offsets *offsets, int32_t partition, int64_t next)
{
	struct part *part = find(offsets, partition);

	if (!part)
		return;
	if (part->end < 0)
		part->end = log_end(offsets, partition, next);
	move(part, next);
}

void events_offsets_seen_end(struct events_offsets *offsets, int32_t partition,
			     int64_t end)
{
	struct part *part = find(offsets, partition);

	if (part)
		part->seen_end = end;
}

void events_offsets_done(struct events_offsets *offsets, int32_t partition, int64_t next)
{
	struct part *part = find(offsets, partition);

	if (part && next > part->done)
		part->done = next;
}

bool events_offsets_all_ended(const struct events_offsets *offsets)
{
	for (int32_t p = 0; p < offsets->n; p++)
		if (offsets->parts[p].ours && !offsets->parts[p].ended)
			return false;
	return offsets->n > 0;
}

int64_t events_offsets_lag(const struct events_offsets *offsets)
{
	int64_t lag = 0;

	for (int32_t p = 0; p < offsets->n; p++) {
		const struct part *part = &offsets->parts[p];
		int64_t end;

		if (!part->ours || part->position < 0)
			continue;
		/* What fetching tells stands still while a partition is paused, and is
		 * lost when a fetch fails. */
		end = log_end(offsets, p, part->seen_end);
		lag += end > part->position ? end - part->position : 0;
	}
	return lag;
}

static bool is_due(const struct part *part, int64_t now_ms)
{
	if (!part->ours || part->done <= part->committed)
		return false;
	return part->asked < part->done || now_ms - part->asked_ms >= ANSWER_MS;
}

void events_offsets_commit(struct events_offsets *offsets, int64_t now_ms)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(offsets->n);

	for (int32_t p = 0; p < offsets->n; p++) {
		struct part *part = &offsets->parts[p];

		if (!is_due(part, now_ms))
			continue;
		part->asked = part->done;
		part->asked_ms = now_ms;
		rd_kafka_topic_partition_list_add(list, offsets->topic, p)->offset =
			part->done;
	}
	if (list->cnt > 0) {
		rd_kafka_resp_err_t error = rd_kafka_commit(offsets->rk, list, 1);
		if (error)
			events_offsets_committed(offsets, list, error);
	}
	rd_kafka_topic_partition_list_destroy(list);
}

bool events_offsets_committed(struct events_offsets *offsets,
			      const rd_kafka_topic_partition_list_t *list,
			      rd_kafka_resp_err_t error)
{
	bool all = true;

	for (int i = 0; i < list->cnt; i++) {
		const rd_kafka_topic_partition_t *elem = &list->elems[i];
		struct part *part = find(offsets, elem->partition);
		bool failed = error || elem->err;

		all = all && !failed;
		if (part && failed)
			part->asked = -1;
		else if (part && elem->offset > part->committed)
			part->committed = elem->offset;
	}
	return all;
}

rd_kafka_topic_partition_list_t *events_offsets_list(const struct events_offsets *offsets)
{
	rd_kafka_topic_partition_list_t *list =
		rd_kafka_topic_partition_list_new(offsets->n);

	for (int32_t p = 0; p < offsets->n; p++)
		if (offsets->parts[p].ours)
			rd_kafka_topic_partition_list_add(list, offsets->topic, p);
	return list;
}
