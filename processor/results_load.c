/*
 * results_load.c - reading the records back when a partition is restored.
 *
 * Nothing is guessed: computing on from a damaged or foreign state would give
 * wrong totals that look right, so the first doubtful record is an error.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "js.h"
#include "money.h"
#include "partitioner.h"
#include "results_json.h"
#include "results_scan.h"
#include "timeutil.h"

/* Sums may be larger than the largest single amount, so not js_money(). */
static bool read_sum(json_t *doc, const char *field, int64_t *cents, struct err *err)
{
	json_t *value = json_object_get(doc, field);

	if (!json_is_number(value))
		return err_field(err, field, "%s is no amount", field);
	if (!money_sum_from_double(json_number_value(value), cents) ||
	    llabs(*cents) > STATE_MAX_CENTS)
		return err_field(err, field, "%s is too large", field);
	return true;
}

static bool read_last_order(json_t *doc, int64_t *wall_ms, struct err *err)
{
	json_t *value = json_object_get(doc, "last_order_at");

	*wall_ms = -1;
	if (json_is_null(value))
		return true;
	if (!json_is_string(value) ||
	    !time_parse(str_from(json_string_value(value)), wall_ms))
		return err_field(err, "last_order_at", "last_order_at is no time");
	return true;
}

static bool read_seen(json_t *doc, uint64_t *seen, struct err *err)
{
	struct str hex;

	if (!js_str(doc, "seen", 16, 16, &hex, err))
		return false;
	if (!results_seen(hex, seen))
		return err_field(err, "seen", "seen is not 16 hex digits");
	return true;
}

static bool read_recent(json_t *doc, struct recent *recent, struct err *err)
{
	json_t *list = json_object_get(doc, "recent"), *item;
	size_t i;

	if (!list)
		return true;
	if (!json_is_array(list) || json_array_size(list) > STATE_RECENT)
		return err_field(err, "recent", "recent is no list of %d ids",
				 STATE_RECENT);
	json_array_foreach(list, i, item)
	{
		if (!json_is_integer(item))
			return err_field(err, "recent", "recent holds no number");
		recent->id[recent->n++] = json_integer_value(item);
	}
	return true;
}

/* `id` is the user's as in the key, which says where the user belongs. */
static bool put_user(struct state *state, int32_t partitions, struct str id,
		     const struct user *user, struct err *err)
{
	int32_t home = partitioner_of(id, partitions);

	if (home != state_partition(state))
		return err_set(err, ERR_CONFLICT,
			       "belongs to partition %" PRId32 " of %" PRId32
			       ": the number of partitions was changed, "
			       "which would split users' totals",
			       home, partitions);
	state_load_user(state, user);
	return true;
}

static bool load_user(struct state *state, int32_t partitions, struct str id, json_t *doc,
		      struct err *err)
{
	struct recent recent = {0};
	struct user user = {0};
	int64_t seq;

	if (!js_int(doc, "v", 1, INT64_MAX, &user.version, err) ||
	    !js_int(doc, "user_id", 1, INT64_MAX, &user.user_id, err) ||
	    !js_int(doc, "orders", INT64_MIN, INT64_MAX, &user.orders, err) ||
	    !read_sum(doc, "spent", &user.cents, err) ||
	    !read_last_order(doc, &user.last_order_ms, err) ||
	    !js_int(doc, "seq", 0, INT64_MAX, &seq, err) ||
	    !read_seen(doc, &user.seq.seen, err) || !read_recent(doc, &recent, err) ||
	    !js_int(doc, "window", 0, INT64_MAX, &user.window_s, err))
		return false;
	user.seq.seq = (uint64_t)seq;
	if (recent.n > 0)
		user.recent = &recent;
	return put_user(state, partitions, id, &user, err);
}

static bool load_window(struct state *state, json_t *doc, struct err *err)
{
	struct window win = {0};
	json_t *final = json_object_get(doc, "final");

	if (!js_int(doc, "v", 1, INT64_MAX, &win.version, err) ||
	    !js_int(doc, "start", 0, INT64_MAX / 1000, &win.start_s, err) ||
	    !js_int(doc, "orders", 0, INT64_MAX, &win.orders, err) ||
	    !read_sum(doc, "revenue", &win.revenue, err) ||
	    !js_int(doc, "cancelled", 0, INT64_MAX, &win.cancelled, err) ||
	    !read_sum(doc, "refunded", &win.refunded, err) ||
	    !js_int(doc, "users", 0, INT64_MAX, &win.users, err))
		return false;
	if (!json_is_boolean(final))
		return err_field(err, "final", "final is neither true nor false");
	win.final = json_is_true(final);
	state_load_window(state, &win);
	return true;
}

static bool load_totals(struct state *state, json_t *doc, struct err *err)
{
	struct totals t = {0};

	if (!js_int(doc, "v", 1, INT64_MAX, &t.version, err) ||
	    !js_int(doc, "next", -1, INT64_MAX, &t.next, err) ||
	    !js_int(doc, "watermark", -1, INT64_MAX, &t.watermark_ms, err) ||
	    !js_int(doc, "late_orders", 0, INT64_MAX, &t.late.orders, err) ||
	    !read_sum(doc, "late_revenue", &t.late.revenue, err) ||
	    !js_int(doc, "late_cancelled", 0, INT64_MAX, &t.late.cancelled, err) ||
	    !read_sum(doc, "late_refunded", &t.late.refunded, err) ||
	    !js_int(doc, "folded_orders", 0, INT64_MAX, &t.folded.orders, err) ||
	    !read_sum(doc, "folded_revenue", &t.folded.revenue, err) ||
	    !js_int(doc, "folded_cancelled", 0, INT64_MAX, &t.folded.cancelled, err) ||
	    !read_sum(doc, "folded_refunded", &t.folded.refunded, err))
		return false;
	state_load_totals(state, &t);
	return true;
}

/* ---- keys ---- */

struct results_key {
	char kind;         /* 'u', 'w', 'p' */
	int64_t id;        /* user, or start of the window */
	struct str text;   /* of the user's id */
	int64_t partition; /* -1: none in the key */
};

static bool parse_window_key(struct str rest, struct results_key *out)
{
	const char *colon = rest.len ? memchr(rest.at, ':', rest.len) : NULL;
	size_t len = colon ? (size_t)(colon - rest.at) : 0;

	return colon && str_i64((struct str){rest.at, len}, &out->id) &&
	       str_i64((struct str){colon + 1, rest.len - len - 1}, &out->partition);
}

static bool parse_key(struct str key, struct results_key *out)
{
	struct str rest;

	if (key.len < 3 || key.at[1] != ':')
		return false;
	rest = (struct str){key.at + 2, key.len - 2};
	*out = (struct results_key){.kind = key.at[0], .text = rest, .partition = -1};
	switch (out->kind) {
	case 'u': return str_i64(rest, &out->id);
	case 'w': return parse_window_key(rest, out);
	case 'p': return str_i64(rest, &out->partition);
	default: return false;
	}
}

/* The value repeats what its key says. */
static bool matches(const struct results_key *key, json_t *doc)
{
	json_t *id = json_object_get(doc, key->kind == 'u' ? "user_id" : "start");
	json_t *partition = json_object_get(doc, "partition");

	if (key->kind != 'p' && json_integer_value(id) != key->id)
		return false;
	return key->partition < 0 || json_integer_value(partition) == key->partition;
}

static bool load_value(struct state *state, int32_t partitions,
		       const struct results_key *key, json_t *doc, struct err *err)
{
	if (!matches(key, doc))
		return err_set(err, ERR_CONFLICT, "key and value do not agree");
	switch (key->kind) {
	case 'u': return load_user(state, partitions, key->text, doc, err);
	case 'w': return load_window(state, doc, err);
	default: return load_totals(state, doc, err);
	}
}

/* Most records are users of the very form in which we write them. */
static bool is_plain_user(const struct results_key *key, struct str value,
			  struct user *user)
{
	return key->kind == 'u' && results_scan_user(value, user) &&
	       user->user_id == key->id;
}

static bool load_document(struct state *state, int32_t partitions,
			  const struct results_key *key, struct str value,
			  struct err *err)
{
	json_t *doc = js_parse_object(value, err);
	bool ok;

	if (!doc)
		return false;
	ok = load_value(state, partitions, key, doc, err);
	json_decref(doc);
	return ok;
}

static bool load(struct state *state, int32_t partitions, struct str key,
		 struct str value, struct err *err)
{
	struct results_key parsed;
	struct user user;

	if (!parse_key(key, &parsed))
		return err_set(err, ERR_CONFLICT, "unknown kind of key");
	if (parsed.partition >= 0 && parsed.partition != state_partition(state))
		return err_set(err, ERR_CONFLICT, "belongs to another partition");
	if (!value.at) {
		if (parsed.kind != 'w')
			return err_set(err, ERR_CONFLICT,
				       "was deleted, which the processor never does");
		state_drop_window(state, parsed.id);
		return true;
	}
	if (is_plain_user(&parsed, value, &user))
		return put_user(state, partitions, parsed.text, &user, err);
	return load_document(state, partitions, &parsed, value, err);
}

bool results_load(struct state *state, int32_t partitions, struct str key,
		  struct str value, struct err *err)
{
	if (load(state, partitions, key, value, err))
		return true;
	return err_wrap(err, "results record \"" STR_FMT "\"",
			(int)(key.len < 64 ? key.len : 64), key.at);
}
