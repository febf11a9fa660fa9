/* results.c - records of `analytics-results`, decoded. */
#include "results.h"

#include <stdio.h>

#include "js.h"
#include "money.h"
#include "timeutil.h"

#define MAX_INT     INT64_MAX
#define MAX_EPOCH_S 253402300799LL

/* Takes what stands before `end` off the front of `s`; all of it if there is none. */
static struct str take_until(struct str *s, char end)
{
	const char *at = memchr(s->at, end, s->len);
	struct str head = {s->at, at ? (size_t)(at - s->at) : s->len};
	size_t used = at ? head.len + 1 : head.len;

	s->at += used;
	s->len -= used;
	return head;
}

static bool number(struct str text, int64_t max, int64_t *out)
{
	uint64_t n;

	if (!str_u64(text, &n) || n > (uint64_t)max)
		return false;
	*out = (int64_t)n;
	return true;
}

static bool partition(struct str text, int32_t *out)
{
	int64_t n;

	if (!number(text, RESULT_MAX_PARTITION, &n))
		return false;
	*out = (int32_t)n;
	return true;
}

static bool decode_key(struct str key, struct result *out)
{
	struct str kind = take_until(&key, ':');

	if (str_eqz(kind, "u")) {
		out->type = RESULT_USER;
		return number(key, MAX_INT, &out->user_id) && out->user_id > 0;
	}
	if (str_eqz(kind, "w")) {
		out->type = RESULT_WINDOW;
		return number(take_until(&key, ':'), MAX_EPOCH_S, &out->start) &&
		       partition(key, &out->partition);
	}
	if (str_eqz(kind, "p")) {
		out->type = RESULT_PARTITION;
		return partition(key, &out->partition);
	}
	return true;
}

/* Sums over many orders may pass what a single amount may be. */
static bool amount(json_t *obj, const char *key, int64_t *cents, struct err *err)
{
	json_t *value = json_object_get(obj, key);

	return (json_is_number(value) &&
		money_sum_from_double(json_number_value(value), cents)) ||
	       err_field(err, key, "must be an amount");
}

/* Members "<prefix>orders", "<prefix>revenue" … */
static bool sums(json_t *obj, const char *prefix, struct sums *out, struct err *err)
{
	char names[4][32];
	static const char *const suffixes[] = {"orders", "revenue", "cancelled",
					       "refunded"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		snprintf(names[i], sizeof(names[i]), "%s%s", prefix, suffixes[i]);
	return js_int(obj, names[0], 0, MAX_INT, &out->orders, err) &&
	       amount(obj, names[1], &out->revenue, err) &&
	       js_int(obj, names[2], 0, MAX_INT, &out->cancelled, err) &&
	       amount(obj, names[3], &out->refunded, err);
}

static bool decode_user(json_t *obj, struct result *out, struct err *err)
{
	struct str at;

	if (!js_int(obj, "orders", INT32_MIN, MAX_INT, &out->orders, err) ||
	    !amount(obj, "spent", &out->spent, err))
		return false;
	if (!js_has(obj, "last_order_at"))
		return true;
	if (!js_str(obj, "last_order_at", 1, TIME_TEXT_MAX, &at, err))
		return false;
	if (!time_parse(at, &out->last_order_ms))
		return err_field(err, "last_order_at", "no time");
	return true;
}

static bool decode_value(json_t *obj, struct result *out, struct err *err)
{
	if (!js_int(obj, "v", 0, MAX_INT, &out->version, err))
		return false;
	if (out->type == RESULT_USER)
		return decode_user(obj, out, err);
	if (out->type == RESULT_PARTITION)
		return sums(obj, "late_", &out->late, err) &&
		       sums(obj, "folded_", &out->folded, err);
	out->final = json_is_true(json_object_get(obj, "final"));
	return js_int(obj, "users", 0, MAX_INT, &out->users, err) &&
	       sums(obj, "", &out->sums, err);
}

bool result_decode(struct str key, struct str value, struct result *out, struct err *err)
{
	json_t *obj;
	bool ok;

	*out = (struct result){.gone = value.at == NULL};
	if (!key.at || !decode_key(key, out))
		return err_set(err, ERR_INPUT, "malformed key");
	if (out->type == RESULT_UNKNOWN || out->gone)
		return true;
	obj = js_parse_object(value, err);
	if (!obj)
		return false;
	ok = decode_value(obj, out, err);
	json_decref(obj);
	return ok;
}
