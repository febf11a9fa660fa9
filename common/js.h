/*
 * js.h - read JSON from outside, with errors that name the field.
 *
 * Parsing is strict: UTF-8, no duplicate keys, no NUL in strings, at most
 * JS_MAX_DEPTH levels (the library default of 2048 is a stack attack).
 * All getters fail with err_field() and the path given, so a handler reads:
 *
 *   if (!js_str(obj, "email", 3, 254, &email, err) || ...)
 */
#ifndef COMMON_JS_H
#define COMMON_JS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

#define JS_MAX_DEPTH 32

/* A JSON object or array; owned by the caller (json_decref). NULL: `err`. */
json_t *js_parse(struct str text, struct err *err);
/* The same, and it must be an object. */
json_t *js_parse_object(struct str text, struct err *err);

/* Refuses members that are not listed: a misspelt "quantitty" must not be
 * silently ignored. `allowed` ends with NULL; `path` is "" or "items[2]". */
bool js_only(json_t *obj, const char *path, const char *const *allowed, struct err *err);

/* Required members. `prefix` of the field name in errors is "" or "items[2].".
 * Strings are borrowed from the tree; lengths in bytes, inclusive. */
bool js_str_at(json_t *obj, const char *prefix, const char *key, size_t min, size_t max,
	       struct str *out, struct err *err);
/* The same, lengths in characters: text for people. */
bool js_text_at(json_t *obj, const char *prefix, const char *key, size_t min, size_t max,
		struct str *out, struct err *err);
/* Whole numbers; 1.0 is refused, so is "1". */
bool js_int_at(json_t *obj, const char *prefix, const char *key, int64_t min, int64_t max,
	       int64_t *out, struct err *err);
/* Amount in cents: number or decimal; at most two decimals; min..max in cents. */
bool js_money_at(json_t *obj, const char *prefix, const char *key, int64_t min,
		 int64_t max, int64_t *cents, struct err *err);

#define js_str(obj, key, min, max, out, err)  js_str_at(obj, "", key, min, max, out, err)
#define js_text(obj, key, min, max, out, err) js_text_at(obj, "", key, min, max, out, err)
#define js_int(obj, key, min, max, out, err)  js_int_at(obj, "", key, min, max, out, err)
#define js_money(obj, key, min, max, out, err) \
	js_money_at(obj, "", key, min, max, out, err)

/* Is the member there (and not null)? For optional ones. */
bool js_has(json_t *obj, const char *key);

#endif
