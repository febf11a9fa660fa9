/* js.c - jansson with our limits and our error texts. */
#include "js.h"

#include <inttypes.h>
#include <stdio.h>

#include "money.h"

/* Depth by brackets outside strings, before jansson recurses. */
static bool depth_ok(struct str text)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JS_MAX_DEPTH)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

json_t *js_parse(struct str text, struct err *err)
{
	json_error_t why;
	json_t *doc;

	if (text.len == 0) {
		err_slug(err, ERR_INPUT, "invalid_json",
			 "the body is empty, JSON is expected");
		return NULL;
	}
	if (!depth_ok(text)) {
		err_slug(err, ERR_INPUT, "invalid_json",
			 "JSON nested deeper than %d levels", JS_MAX_DEPTH);
		return NULL;
	}
	doc = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &why);
	if (!doc && strstr(why.text, "JSON_ALLOW_NUL"))
		snprintf(why.text, sizeof(why.text),
			 "\\u0000 is not allowed in a string");
	if (!doc)
		err_slug(err, ERR_INPUT, "invalid_json",
			 "not valid JSON: %s (line %d, column %d)", why.text, why.line,
			 why.column);
	return doc;
}

json_t *js_parse_object(struct str text, struct err *err)
{
	json_t *doc = js_parse(text, err);

	if (doc && !json_is_object(doc)) {
		json_decref(doc);
		err_slug(err, ERR_INPUT, "invalid_json",
			 "the body must be a JSON object");
		return NULL;
	}
	return doc;
}

bool js_has(json_t *obj, const char *key)
{
	json_t *value = json_object_get(obj, key);

	return value && !json_is_null(value);
}

static bool listed(const char *const *allowed, const char *key)
{
	for (; *allowed; allowed++) {
		if (strcmp(*allowed, key) == 0)
			return true;
	}
	return false;
}

bool js_only(json_t *obj, const char *path, const char *const *allowed, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(obj, key, value)
	{
		char field[ERR_FIELD_MAX];

		if (listed(allowed, key))
			continue;
		snprintf(field, sizeof(field), "%s%s%.40s", path, *path ? "." : "", key);
		return err_field(err, field, "unknown field \"%.40s\"", key);
	}
	return true;
}

static bool bad(struct err *err, const char *prefix, const char *key, const char *what)
{
	char field[ERR_FIELD_MAX];

	snprintf(field, sizeof(field), "%s%s", prefix, key);
	return err_field(err, field, "%s %s", field, what);
}

static json_t *member(json_t *obj, const char *prefix, const char *key, struct err *err)
{
	json_t *value = json_object_get(obj, key);

	if (!value || json_is_null(value)) {
		bad(err, prefix, key, "is missing");
		return NULL;
	}
	return value;
}

static bool read_str(json_t *obj, const char *prefix, const char *key, struct str *out,
		     struct err *err)
{
	json_t *value = member(obj, prefix, key, err);

	if (!value)
		return false;
	if (!json_is_string(value))
		return bad(err, prefix, key, "must be a string");
	*out = (struct str){json_string_value(value), json_string_length(value)};
	return true;
}

static bool within(size_t len, size_t min, size_t max, const char *unit,
		   const char *prefix, const char *key, struct err *err)
{
	char what[80];

	if (len >= min && len <= max)
		return true;
	snprintf(what, sizeof(what), "must be %zu to %zu %s long", min, max, unit);
	return bad(err, prefix, key, what);
}

bool js_str_at(json_t *obj, const char *prefix, const char *key, size_t min, size_t max,
	       struct str *out, struct err *err)
{
	return read_str(obj, prefix, key, out, err) &&
	       within(out->len, min, max, "bytes", prefix, key, err);
}

bool js_text_at(json_t *obj, const char *prefix, const char *key, size_t min, size_t max,
		struct str *out, struct err *err)
{
	return read_str(obj, prefix, key, out, err) &&
	       within(str_characters(*out), min, max, "characters", prefix, key, err);
}

bool js_int_at(json_t *obj, const char *prefix, const char *key, int64_t min, int64_t max,
	       int64_t *out, struct err *err)
{
	json_t *value = member(obj, prefix, key, err);
	char what[96];

	if (!value)
		return false;
	if (!json_is_integer(value))
		return bad(err, prefix, key, "must be a whole number");
	*out = json_integer_value(value);
	if (*out < min || *out > max) {
		snprintf(what, sizeof(what), "must be from %" PRId64 " to %" PRId64, min,
			 max);
		return bad(err, prefix, key, what);
	}
	return true;
}

static bool to_cents(json_t *value, int64_t *cents)
{
	if (json_is_integer(value)) {
		int64_t n = json_integer_value(value);

		if (n > MONEY_MAX_CENTS / 100 || n < -MONEY_MAX_CENTS / 100)
			return false;
		*cents = n * 100;
		return true;
	}
	return money_from_double(json_real_value(value), cents);
}

bool js_money_at(json_t *obj, const char *prefix, const char *key, int64_t min,
		 int64_t max, int64_t *cents, struct err *err)
{
	json_t *value = member(obj, prefix, key, err);
	char low[MONEY_TEXT_MAX], high[MONEY_TEXT_MAX], what[96];

	if (!value)
		return false;
	if (!json_is_number(value))
		return bad(err, prefix, key, "must be a number");
	if (!to_cents(value, cents))
		return bad(err, prefix, key,
			   "must be an amount with at most two decimals");
	if (*cents < min || *cents > max) {
		money_format(low, min);
		money_format(high, max);
		snprintf(what, sizeof(what), "must be from %s to %s", low, high);
		return bad(err, prefix, key, what);
	}
	return true;
}
