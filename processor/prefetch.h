/* prefetch.h - how much a consumer reads ahead, and that it goes on doing so. */
#ifndef PROCESSOR_PREFETCH_H
#define PROCESSOR_PREFETCH_H

#include <librdkafka/rdkafka.h>

/* Payload that may wait in a consumer; with what the library adds, some twice as much
 * memory. */
#define PREFETCH_KBYTES 16384

struct prefetch {
	size_t bytes; /* taken since the queue was last seen empty, or its half was full
		       */
};

/* A message was taken from the consumer's queue. May wait for the brokers for 0.1 s. */
void prefetch_taken(struct prefetch *prefetch, rd_kafka_t *consumer,
		    const rd_kafka_message_t *msg);
/* There was none. */
void prefetch_empty(struct prefetch *prefetch);

#endif
