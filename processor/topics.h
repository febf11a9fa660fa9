/*
 * topics.h - the topics file: which topics there must be, and whether one that is
 * there is as it must be.  Pure but for reading the file.
 */
#ifndef PROCESSOR_TOPICS_H
#define PROCESSOR_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct topic_option {
	char *name, *value;
};

struct topic {
	char *name;
	int64_t partitions;
	struct topic_option *options; /* settings of the topic, as Kafka names them */
	size_t n_options;
};

struct topics {
	struct topic *list;
	size_t n;
};

/* Both fill `topics`, which the caller ends with topics_fini() also after a failure.
 * false: `err` names the file, the topic and the member. */
bool topics_load(const char *file, struct topics *topics, struct err *err)
	__attribute__((warn_unused_result));
bool topics_parse(struct str json, struct topics *topics, struct err *err)
	__attribute__((warn_unused_result));
void topics_fini(struct topics *topics);

/* NULL: the file does not have it. */
const struct topic *topics_find(const struct topics *topics, const char *name);

/* What Kafka says of a topic. `copies` of 0 wants nothing of them. */
bool topic_same_shape(const struct topic *topic, int64_t partitions, int64_t copies,
		      int64_t wanted_copies, struct err *err);
/* One of its settings; those that the file does not name may be anything. */
bool topic_same_option(const struct topic *topic, const char *name, const char *value,
		       struct err *err);

#endif
