/*
 * order_event.c - strict reading of an order event.
 *
 * The five fields of the first version (order_id user_id price quantity
 * timestamp) are all that is required; unknown members are left alone.
 */
#include "order_event.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "js.h"
#include "money.h"
#include "order_scan.h"
#include "timeutil.h"

const char *reject_name(enum reject_reason reason)
{
	static const char *const names[REJECT_COUNT] = {
		[REJECT_NONE] = "none",
		[REJECT_NO_VALUE] = "no_value",
		[REJECT_BAD_UTF8] = "bad_utf8",
		[REJECT_BAD_JSON] = "bad_json",
		[REJECT_MISSING_FIELD] = "missing_field",
		[REJECT_BAD_FIELD] = "bad_field",
		[REJECT_BAD_AMOUNT] = "bad_amount",
		[REJECT_BAD_TIME] = "bad_time",
		[REJECT_KEY_MISMATCH] = "key_mismatch",
		[REJECT_WRONG_PARTITION] = "wrong_partition",
		[REJECT_SEQ_JUMP] = "seq_jump",
		[REJECT_SEQ_LOST] = "missing_events",
		[REJECT_USER_LIMIT] = "user_limit",
	};

	return names[reason];
}

bool reject_set(struct reject *why, enum reject_reason reason, const char *fmt, ...)
{
	va_list ap;

	why->reason = reason;
	va_start(ap, fmt);
	vsnprintf(why->detail, sizeof(why->detail), fmt, ap);
	va_end(ap);
	return false;
}

static bool have(json_t *doc, const char *field, struct reject *why)
{
	if (js_has(doc, field))
		return true;
	return reject_set(why, REJECT_MISSING_FIELD, "%s is missing", field);
}

static bool read_int(json_t *doc, const char *field, int64_t max, int64_t *out,
		     struct reject *why)
{
	struct err err;

	if (!have(doc, field, why))
		return false;
	if (!js_int(doc, field, 1, max, out, &err))
		return reject_set(why, REJECT_BAD_FIELD, "%s", err.text);
	return true;
}

static bool read_price(json_t *doc, int64_t *cents, struct reject *why)
{
	struct err err;

	if (!have(doc, "price", why))
		return false;
	if (!js_money(doc, "price", 0, MONEY_MAX_CENTS, cents, &err))
		return reject_set(why, REJECT_BAD_AMOUNT, "%s", err.text);
	return true;
}

static bool read_time(json_t *doc, int64_t *time_ms, struct reject *why)
{
	struct str text;
	struct err err;

	if (!have(doc, "timestamp", why))
		return false;
	if (!js_str(doc, "timestamp", 1, ORDER_MAX_TIME, &text, &err))
		return reject_set(why, REJECT_BAD_TIME, "%s", err.text);
	if (!time_parse(text, time_ms))
		return reject_set(why, REJECT_BAD_TIME,
				  "timestamp \"" STR_FMT "\" is no RFC 3339 time",
				  STR_ARG(text));
	if (*time_ms < 0)
		return reject_set(why, REJECT_BAD_TIME,
				  "timestamp \"" STR_FMT "\" is before the epoch",
				  STR_ARG(text));
	return true;
}

static bool read_type(json_t *doc, enum order_type *type, struct reject *why)
{
	json_t *value = json_object_get(doc, "type");
	struct str name;

	*type = ORDER_CREATED;
	if (!value || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return reject_set(why, REJECT_BAD_FIELD, "type must be a string");
	name = (struct str){json_string_value(value), json_string_length(value)};
	if (str_eqz(name, "order.cancelled"))
		*type = ORDER_CANCELLED;
	else if (!str_eqz(name, "order.created"))
		*type = ORDER_OTHER;
	return true;
}

static bool read_seq(json_t *doc, uint64_t *seq, struct reject *why)
{
	int64_t number = 0;

	*seq = 0;
	if (!js_has(doc, "seq"))
		return true;
	if (!read_int(doc, "seq", INT64_MAX, &number, why))
		return false;
	*seq = (uint64_t)number;
	return true;
}

static bool check_key(struct str key, int64_t user_id, struct reject *why)
{
	char expected[24];

	snprintf(expected, sizeof(expected), "%" PRId64, user_id);
	if (key.at && str_eqz(key, expected))
		return true;
	return reject_set(why, REJECT_KEY_MISMATCH, "the key is not the user_id %s",
			  expected);
}

/* Of a type that we do not know, only what keeps the user's numbering whole;
 * it may lack anything, and then there is nothing to do. */
static bool read_other(json_t *doc, struct str key, struct order_event *out)
{
	struct reject ignored;

	if (!read_int(doc, "user_id", INT64_MAX, &out->user_id, &ignored) ||
	    !read_seq(doc, &out->seq, &ignored) ||
	    !check_key(key, out->user_id, &ignored)) {
		out->user_id = 0;
		out->seq = 0;
	}
	return true;
}

static bool read_event(json_t *doc, struct str key, struct order_event *out,
		       struct reject *why)
{
	int64_t quantity;

	if (!read_type(doc, &out->type, why))
		return false;
	if (out->type == ORDER_OTHER)
		return read_other(doc, key, out);
	return read_int(doc, "order_id", INT64_MAX, &out->order_id, why) &&
	       read_int(doc, "user_id", INT64_MAX, &out->user_id, why) &&
	       read_price(doc, &out->cents, why) &&
	       read_int(doc, "quantity", ORDER_MAX_QUANTITY, &quantity, why) &&
	       read_time(doc, &out->time_ms, why) && read_seq(doc, &out->seq, why) &&
	       check_key(key, out->user_id, why);
}

bool order_event_parse(struct str value, struct str key, struct order_event *out,
		       struct reject *why)
{
	struct err err;
	json_t *doc;
	bool ok;

	if (value.at && key.at && order_scan(value, key, out))
		return true;
	*out = (struct order_event){.type = ORDER_CREATED};
	if (!value.at || value.len == 0)
		return reject_set(why, REJECT_NO_VALUE, "the record has no value");
	if (!str_utf8_ok(value))
		return reject_set(why, REJECT_BAD_UTF8, "the value is not UTF-8");
	doc = js_parse_object(value, &err);
	if (!doc)
		return reject_set(why, REJECT_BAD_JSON, "%s", err.text);
	ok = read_event(doc, key, out, why);
	json_decref(doc);
	return ok;
}
