/*
 * prefetch.c - keeps a consumer's fetcher awake without giving it more memory.
 *
 * The fetcher of this librdkafka (before 2.2) stops when its queue is full and looks
 * again only when something comes over that broker's connection, or after a second.  A
 * question to the brokers is such a thing: it is asked each time half of a queue was
 * taken without a pause, which happens only while catching up.
 */
#include "prefetch.h"

/* If they do not answer now, the second has to pass. */
#define ASK_MS 100

/* One small request to each leader: where does the partition end? */
static void wake(rd_kafka_t *consumer)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	if (rd_kafka_assignment(consumer, &list))
		return;
	for (int i = 0; i < list->cnt; i++)
		list->elems[i].offset = RD_KAFKA_OFFSET_END;
	if (list->cnt > 0)
		(void)rd_kafka_offsets_for_times(consumer, list, ASK_MS);
	rd_kafka_topic_partition_list_destroy(list);
}

void prefetch_taken(struct prefetch *prefetch, rd_kafka_t *consumer,
		    const rd_kafka_message_t *msg)
{
	prefetch->bytes += msg->len + msg->key_len;
	if (prefetch->bytes < PREFETCH_KBYTES / 2 * 1024)
		return;
	prefetch->bytes = 0;
	wake(consumer);
}

void prefetch_empty(struct prefetch *prefetch)
{
	prefetch->bytes = 0;
}
