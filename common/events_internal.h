/* events_internal.h - what the files of events*.c share. */
#ifndef COMMON_EVENTS_INTERNAL_H
#define COMMON_EVENTS_INTERNAL_H

#include <librdkafka/rdkafka.h>

#include "err.h"

/* Sets one property; on failure the conf stays with the caller. */
bool events_set(rd_kafka_conf_t *conf, const char *name, const char *value,
		struct err *err) __attribute__((warn_unused_result));

/* {name, value} pairs up to {NULL}. */
bool events_set_all(rd_kafka_conf_t *conf, const char *const (*pairs)[2], struct err *err)
	__attribute__((warn_unused_result));

/* rd_kafka_new() that takes `conf` in any case and explains a failure. */
rd_kafka_t *events_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			      struct err *err) __attribute__((warn_unused_result));

#endif
