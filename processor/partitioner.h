/*
 * partitioner.h - in which partition does a key belong?
 *
 * All producers use the partitioner of Kafka's own Java client (murmur2), so
 * that every client puts a user in the same place.
 */
#ifndef PROCESSOR_PARTITIONER_H
#define PROCESSOR_PARTITIONER_H

#include <stdint.h>

#include "str.h"

uint32_t partitioner_murmur2(struct str key);

/* 0 .. count - 1; `count` must be positive. */
int32_t partitioner_of(struct str key, int32_t count);

#endif
