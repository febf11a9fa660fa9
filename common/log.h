/*
 * log.h - one JSON line per event on stderr.
 *
 *   {"ts":"…","level":"warn","svc":"order-svc","msg":"query failed","why":"…"}
 *
 * Fields are given as typed pairs:
 *
 *   log_warn("query failed", LOG_STR("why", err->text), LOG_INT("attempt", n));
 *
 * Safe from any thread: a line is never cut by another.  Lines longer than 8 KB are cut
 * (still valid JSON).  Never log secrets or bodies.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
	const char *key; /* NULL ends the list */
	enum { LOG_T_STR, LOG_T_INT, LOG_T_BOOL, LOG_T_DOUBLE, LOG_T_MS } type;
	struct str s;
	int64_t i;
	double d;
};

#define LOG_STR(k, z) \
	((struct log_field){.key = (k), .type = LOG_T_STR, .s = str_from(z)})
#define LOG_SLICE(k, sl) ((struct log_field){.key = (k), .type = LOG_T_STR, .s = (sl)})
#define LOG_INT(k, n) \
	((struct log_field){.key = (k), .type = LOG_T_INT, .i = (int64_t)(n)})
#define LOG_BOOL(k, b)   ((struct log_field){.key = (k), .type = LOG_T_BOOL, .i = (b)})
#define LOG_DOUBLE(k, x) ((struct log_field){.key = (k), .type = LOG_T_DOUBLE, .d = (x)})
/* Microseconds, shown as milliseconds with three decimals. */
#define LOG_MS(k, us) \
	((struct log_field){.key = (k), .type = LOG_T_MS, .i = (int64_t)(us)})

/* Call once, before threads start. `svc` must outlive the process. */
void log_init(const char *svc, enum log_level min);
bool log_level_parse(const char *name, enum log_level *out);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *msg, const struct log_field *fields);

/* What a pipe takes in one piece: lines of different threads never mix. */
#define LOG_BATCH_BYTES 4096

/* Lines of one thread that are written together. Zero it before use. */
struct log_batch {
	size_t len;
	uint64_t flushed_us; /* monotonic */
	char text[LOG_BATCH_BYTES];
};

/* As log_write(), for lines that come by the thousand: one that comes alone is
 * written at once, others wait for a full batch or log_batch_flush(), which the
 * owner calls a few times a second and at its end. */
void log_batch_write(struct log_batch *batch, enum log_level level, const char *msg,
		     const struct log_field *fields);
void log_batch_flush(struct log_batch *batch);

#define LOG_AT(level, msg, ...)                                                      \
	do {                                                                         \
		if (log_enabled(level))                                              \
			log_write(level, msg,                                        \
				  (const struct log_field[]){                        \
					  __VA_ARGS__ __VA_OPT__(, ){.key = NULL}}); \
	} while (0)

#define log_debug(msg, ...) LOG_AT(LOG_DEBUG, msg, __VA_ARGS__)
#define log_info(msg, ...)  LOG_AT(LOG_INFO, msg, __VA_ARGS__)
#define log_warn(msg, ...)  LOG_AT(LOG_WARN, msg, __VA_ARGS__)
#define log_error(msg, ...) LOG_AT(LOG_ERROR, msg, __VA_ARGS__)

#endif
