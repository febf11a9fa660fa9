/* reservation.c - read and decide reservations, write their answers. */
#include "reservation.h"

#include <inttypes.h>
#include <stdio.h>

#include "js.h"

static const char *const state_names[] = {
	[RESERVATION_PENDING] = "pending",
	[RESERVATION_CONFIRMED] = "confirmed",
	[RESERVATION_RELEASED] = "released",
	[RESERVATION_RETURNED] = "returned",
};

const char *reservation_state_name(enum reservation_state state)
{
	return state_names[state];
}

enum reservation_state reservation_state_from(struct str name)
{
	for (unsigned i = 0; i < ARRAY_LEN(state_names); i++) {
		if (str_eqz(name, state_names[i]))
			return (enum reservation_state)i;
	}
	return RESERVATION_RELEASED;
}

/* ---- reading ---- */

unsigned reservation_room(json_t *body)
{
	size_t n = json_array_size(json_object_get(body, "lines"));

	return n >= 1 && n <= RESERVATION_MAX_LINES ? (unsigned)n : 1;
}

static bool is_hash(struct str s)
{
	unsigned char bytes[RESERVATION_KEY_HASH_LEN / 2];

	return str_unhex(bytes, sizeof(bytes), s);
}

static bool read_key_hash(json_t *body, struct reservation *res, struct err *err)
{
	struct str hash;

	res->key_hash[0] = '\0';
	if (!js_has(body, "key_hash"))
		return true;
	if (!js_str(body, "key_hash", RESERVATION_KEY_HASH_LEN, RESERVATION_KEY_HASH_LEN,
		    &hash, err))
		return false;
	if (!is_hash(hash))
		return err_field(err, "key_hash", "key_hash must be hex digits");
	return str_copy(res->key_hash, sizeof(res->key_hash), hash);
}

static bool read_line(json_t *item, unsigned i, struct reservation_line *line,
		      struct err *err)
{
	static const char *const allowed[] = {"product_id", "quantity", NULL};
	char path[24], prefix[28];
	struct str product_id;

	snprintf(path, sizeof(path), "lines[%u]", i);
	snprintf(prefix, sizeof(prefix), "%s.", path);
	if (!json_is_object(item))
		return err_field(err, path, "%s must be an object", path);
	if (!js_only(item, path, allowed, err) ||
	    !js_str_at(item, prefix, "product_id", 1, PRODUCT_ID_MAX, &product_id, err) ||
	    !js_int_at(item, prefix, "quantity", 1, RESERVATION_MAX_QUANTITY,
		       &line->quantity, err))
		return false;
	return str_copy(line->product_id, sizeof(line->product_id), product_id);
}

static bool read_lines(json_t *body, struct reservation *res, struct err *err)
{
	json_t *lines = json_object_get(body, "lines"), *item;
	size_t i;

	if (!json_is_array(lines) || json_array_size(lines) < 1 ||
	    json_array_size(lines) > RESERVATION_MAX_LINES)
		return err_field(err, "lines", "lines must be a list of 1 to %d",
				 RESERVATION_MAX_LINES);
	res->n_lines = 0;
	json_array_foreach(lines, i, item)
	{
		struct reservation_line *line = &res->lines[i];

		if (!read_line(item, (unsigned)i, line, err))
			return false;
		/* The order in which rows are locked: what keeps orders free of
		 * deadlock, so it is not left to the caller's good will. */
		if (i > 0 && strcmp(line[-1].product_id, line->product_id) >= 0)
			return err_field(err, "lines",
					 "lines must be sorted by product_id, each once");
		res->n_lines++;
	}
	return true;
}

bool reservation_parse(json_t *body, struct reservation *res, struct err *err)
{
	static const char *const allowed[] = {"ttl_s", "key_hash", "lines", NULL};

	return js_only(body, "", allowed, err) &&
	       js_int(body, "ttl_s", 1, RESERVATION_MAX_TTL_S, &res->ttl_s, err) &&
	       read_key_hash(body, res, err) && read_lines(body, res, err);
}

/* ---- deciding ---- */

enum reservation_verdict reservation_decide(const struct reservation *res, unsigned *line)
{
	for (*line = 0; *line < res->n_lines; ++*line) {
		if (!res->lines[*line].found)
			return RESERVATION_NO_PRODUCT;
	}
	for (*line = 0; *line < res->n_lines; ++*line) {
		if (res->lines[*line].available < res->lines[*line].quantity)
			return RESERVATION_SHORT;
	}
	return RESERVATION_FITS;
}

bool reservation_twin_holds(const struct reservation *res)
{
	for (unsigned i = 0; i < res->n_lines; i++) {
		const struct reservation_line *line = &res->lines[i];

		if (line->available + line->held < line->quantity)
			return false;
	}
	return true;
}

/* ---- writing ---- */

void reservation_write(struct jw *w, const struct reservation *res)
{
	int64_t total = 0;

	jw_object(w);
	jw_kstrz(w, "reservation_id", res->id);
	jw_kstrz(w, "state", reservation_state_name(res->state));
	jw_ktime(w, "expires_at", res->expires_at, true);
	jw_key(w, "lines");
	jw_array(w);
	for (unsigned i = 0; i < res->n_lines; i++) {
		const struct reservation_line *line = &res->lines[i];

		jw_object(w);
		jw_kstrz(w, "product_id", line->product_id);
		jw_kstrz(w, "name", line->name);
		jw_kint(w, "quantity", line->quantity);
		jw_kmoney(w, "unit_price", line->unit_price);
		jw_end(w);
		total += line->unit_price * line->quantity;
	}
	jw_end(w);
	jw_kmoney(w, "total", total);
	jw_end(w);
}

void shortage_write(struct jw *w, const struct shortage *shortage, struct str request_id)
{
	char detail[200];

	snprintf(detail, sizeof(detail),
		 "not enough of product %s in stock: %" PRId64 " available, %" PRId64
		 " wanted",
		 shortage->product_id, shortage->available, shortage->requested);
	jw_object(w);
	jw_kstrz(w, "type", "about:blank");
	jw_kstrz(w, "title", "Conflict");
	jw_kint(w, "status", 409);
	jw_kstrz(w, "detail", detail);
	jw_kstrz(w, "code", "insufficient_stock");
	jw_kstr(w, "request_id", request_id);
	jw_kstrz(w, "product_id", shortage->product_id);
	jw_kint(w, "available", shortage->available);
	jw_kint(w, "requested", shortage->requested);
	jw_end(w);
}
