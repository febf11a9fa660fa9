/*
 * jw.h - write JSON without building a tree.
 *
 * A writer appends to a buffer that grows up to a limit set when it is made.
 * Commas and quoting are the writer's business; nesting is the caller's.
 *
 *   jw_object(w);  jw_key(w, "total"); jw_money(w, cents);  jw_end(w);
 *
 * A writer past its limit, or out of order, stays failed: check jw_ok() once at
 * the end.  Invalid UTF-8 is written as U+FFFD, so the output is always valid.
 */
#ifndef COMMON_JW_H
#define COMMON_JW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define JW_MAX_DEPTH 32

struct jw {
	char *buf; /* owned by the writer unless taken by jw_take() */
	size_t len, cap, max;
	size_t fits; /* so many bytes fit without looking further; 0 once failed */
	bool failed;
	bool fixed; /* buf is the caller's and does not grow */
	unsigned depth;
	unsigned char more[JW_MAX_DEPTH]; /* a comma is due before the next item */
	char close[JW_MAX_DEPTH];         /* '}' or ']' */
	bool after_key;
};

/* Grows on the heap up to `max` bytes. */
void jw_init(struct jw *w, size_t max);
/* Writes into a buffer of the caller, never allocates. */
void jw_init_fixed(struct jw *w, char *buf, size_t size);
void jw_fini(struct jw *w);

void jw_object(struct jw *w);
void jw_array(struct jw *w);
void jw_end(struct jw *w); /* closes the innermost object or array */
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, struct str s);
void jw_strz(struct jw *w, const char *z); /* NULL is written as null */
void jw_int(struct jw *w, int64_t n);
void jw_bool(struct jw *w, bool b);
void jw_null(struct jw *w);
void jw_money(struct jw *w, int64_t cents);
void jw_double(struct jw *w, double d);
void jw_time(struct jw *w, int64_t wall_ms, bool with_ms);
void jw_raw(struct jw *w, struct str json); /* one complete JSON value */

/* Key and value in one call. */
void jw_kstr(struct jw *w, const char *key, struct str s);
void jw_kstrz(struct jw *w, const char *key, const char *z);
void jw_kint(struct jw *w, const char *key, int64_t n);
void jw_kbool(struct jw *w, const char *key, bool b);
void jw_kmoney(struct jw *w, const char *key, int64_t cents);
void jw_ktime(struct jw *w, const char *key, int64_t wall_ms, bool with_ms);

bool jw_ok(const struct jw *w); /* complete, and nothing went wrong */
/* The text so far, valid until the next call on `w`; zero-terminated. */
struct str jw_text(struct jw *w);

#endif
