/* metrics_internal.h - what the files of metrics*.c share. */
#ifndef COMMON_METRICS_INTERNAL_H
#define COMMON_METRICS_INTERNAL_H

#include <stdio.h>

#include "metrics.h"

/* ---- metrics_process.c ---- */

/* The process_* series, by the names that Prometheus' own clients use. */
void metrics_process(FILE *out, int64_t started_ms);

#endif
