/*
 * watch.h - waits for the results of events in a topic of results, read committed.
 *
 * A user's record says up to which `seq` it counts; that ends the wait of all of the
 * user's events up to there.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <librdkafka/rdkafka.h>

#include "event.h"

struct watch;

/* Reads from the topic's end on. */
struct watch *watch_new(const char *bootstrap, const char *topic, uint64_t users);
void watch_free(struct watch *watch); /* accepts NULL */
/* `counts` false: only to warm up. */
void watch_sent(struct watch *watch, const struct event *event, double due, bool counts);
/* Takes the results that are there; waits `ms` for the first. */
void watch_poll(struct watch *watch, int ms);
/* Events that count and whose result was not seen yet. */
uint64_t watch_open(const struct watch *watch);
/* Members of the JSON that is being printed. */
void watch_report(const struct watch *watch);

double watch_now(void); /* monotonic seconds */
/* Ends the program when the library refuses it. */
void watch_conf(rd_kafka_conf_t *conf, const char *name, const char *value);

#endif
