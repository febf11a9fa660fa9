/*
 * str.h - borrowed text, and the small helpers every part needs.
 *
 * `struct str` is a slice that somebody else owns; it is not zero-terminated.
 */
#ifndef COMMON_STR_H
#define COMMON_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *at;
	size_t len;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
/* The same for tables. */
#define STR_INIT(lit)                  \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define STR_NONE   ((struct str){NULL, 0})
#define STR_FMT    "%.*s"
#define STR_ARG(s) (int)(s).len, (s).at

static inline struct str str_from(const char *z)
{
	return (struct str){z, z ? strlen(z) : 0};
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool str_eqz(struct str a, const char *z)
{
	return str_eq(a, str_from(z));
}

/* Equal but for the case of ASCII letters? */
bool str_ieq_bytes(const char *a, const char *b, size_t len);
/* ASCII only: header names, methods, tokens. Most differ in length already. */
static inline bool str_ieq(struct str a, struct str b)
{
	return a.len == b.len && str_ieq_bytes(a.at, b.at, a.len);
}

bool str_starts(struct str s, struct str head);
struct str str_trim(struct str s); /* spaces and tabs, both ends */

/* Copies with a terminating zero; false (and dst = "") if it does not fit. */
bool str_copy(char *dst, size_t size, struct str src);

/* Whole slice, decimal, no sign, no leading '+', no overflow. */
bool str_u64(struct str s, uint64_t *out);
/* The same with an optional '-'. */
bool str_i64(struct str s, int64_t *out);

/* Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool str_utf8_ok(struct str s);
/* Code points of UTF-8, as columns and contracts count. */
size_t str_characters(struct str s);

/* dst must hold 2 * n + 1 bytes; lower case. */
void str_hex(char *dst, const void *bytes, size_t n);
bool str_unhex(void *dst, size_t n, struct str hex); /* exactly 2 * n digits */

/* 64-bit FNV-1a: for tables whose keys no attacker chooses (or after a keyed
 * step).  Not for anything that must resist chosen keys. */
uint64_t str_hash(struct str s);

/* Allocation that cannot fail: aborts. For small sizes of our own choosing. */
void *xcalloc(size_t n, size_t size) __attribute__((returns_nonnull, malloc));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *z) __attribute__((returns_nonnull, malloc));
char *xstrndup(const char *at, size_t len) __attribute__((returns_nonnull, malloc));

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
