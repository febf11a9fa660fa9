/*
 * metrics.h - counters, gauges and histograms in Prometheus text format 0.0.4.
 *
 * Metrics are registered at start (or when a label set is first seen, up to
 * METRICS_MAX_SERIES of a family, then counted under "other"); updating one is
 * an atomic add, safe from any thread.  Names: `shop_<what>_<unit>[_total]`.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "jw.h"

struct metrics; /* one registry per process */
struct metric;  /* one series: a family with fixed label values */

#define METRICS_MAX_SERIES 1024

struct metrics *metrics_new(void);
void metrics_free(struct metrics *metrics);

/* `labels` is the text between the braces (`route="/api/orders",code="2xx"`)
 * or NULL; label values must be safe (ours, or escaped by metrics_label()).
 * Registering the same name and labels again returns the same series.
 * Owned by `metrics`, valid until metrics_free(). Never NULL. */
struct metric *metrics_counter(struct metrics *metrics, const char *name,
			       const char *help, const char *labels);
struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
			     const char *labels);
/* Seconds; buckets 0.5 ms … 10 s, factor about 2.5. */
struct metric *metrics_histogram(struct metrics *metrics, const char *name,
				 const char *help, const char *labels);

void metric_add(struct metric *m, int64_t n); /* counter, gauge */
void metric_set(struct metric *m, int64_t n); /* gauge */
/* Gauge whose integer value is shown divided by `scale` (ms as seconds: 1000). */
void metric_scale(struct metric *m, int64_t scale);
int64_t metric_get(const struct metric *m);
void metric_observe_us(struct metric *m, uint64_t us); /* histogram */

/* Computes gauges just before they are shown; runs on the admin loop. */
typedef void (*metrics_collect)(void *arg);
void metrics_on_collect(struct metrics *metrics, metrics_collect fn, void *arg);

/* The whole page. Owned by the caller (free()). Adds the usual process_* series:
 * memory, cpu seconds, major faults, open fds, start time. */
char *metrics_text(struct metrics *metrics, size_t *len);

#endif
