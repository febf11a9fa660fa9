/*
 * err.h - the one error type.
 *
 * A function that can fail returns bool (or NULL) and fills a `struct err *`.
 * The code says what kind of failure it is, `text` says all that is needed to
 * act on it.  For ERR_INTERNAL the text is for the log only; the HTTP layer
 * never shows it to a client.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdbool.h>

enum err_code {
	ERR_NONE = 0,
	ERR_INPUT,                 /* the caller sent something wrong: 400 */
	ERR_UNAUTHORIZED,          /* no or bad credentials: 401 */
	ERR_FORBIDDEN,             /* known caller, not allowed: 403 */
	ERR_NOT_FOUND,             /* 404 */
	ERR_CONFLICT,              /* the state forbids it: 409 */
	ERR_PRECONDITION,          /* If-Match failed: 412 */
	ERR_UNPROCESSABLE,         /* understood and refused: 422 */
	ERR_PRECONDITION_REQUIRED, /* If-Match is missing: 428 */
	ERR_BUSY,     /* a limit is reached or a part is away; try again: 503 */
	ERR_TIMEOUT,  /* a deadline passed, the outcome may be unknown: 504 */
	ERR_UPSTREAM, /* another service answered nonsense or not at all: 502 */
	ERR_INTERNAL, /* a fault of ours: 500 */
};

#define ERR_TEXT_MAX  256
#define ERR_SLUG_MAX  48
#define ERR_FIELD_MAX 64

struct err {
	enum err_code code;
	/* Stable machine-readable name of the problem, such as
	 * "insufficient_stock"; "" means the default name of the code. */
	char slug[ERR_SLUG_MAX];
	/* JSON path of the offending field ("items[2].quantity"), or "". */
	char field[ERR_FIELD_MAX];
	unsigned retry_after_s; /* 0: no Retry-After header */
	char text[ERR_TEXT_MAX];
};

/* Clears the other members, sets the text; always returns false, so that a
 * function can end with `return err_set(...)`.  `err` may be NULL. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a bad field of a request: ERR_INPUT with the field's path. */
bool err_field(struct err *err, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with a stable slug. */
bool err_slug(struct err *err, enum err_code code, const char *slug, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of the text, keeping everything else. Returns false. */
bool err_wrap(struct err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* HTTP status of a code; the slug shown when err->slug is empty. */
int err_status(enum err_code code);
const char *err_default_slug(enum err_code code);

#endif
