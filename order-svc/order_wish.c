/* order_wish.c - what a client asks for: check, merge, sort, hash. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "js.h"
#include "order.h"

static bool product_id_ok(struct str id)
{
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];
		bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			  (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';

		if (!ok)
			return false;
	}
	return true;
}

static struct order_line *find_line(struct order *order, struct str product_id)
{
	for (unsigned i = 0; i < order->n_lines; i++) {
		if (str_eqz(product_id, order->lines[i].product_id))
			return &order->lines[i];
	}
	return NULL;
}

/* `prefix` is "" or "items[2]."; equal products become one line. */
static bool add_line(struct order *order, json_t *item, const char *prefix, int source,
		     struct err *err)
{
	char field[ERR_FIELD_MAX];
	struct order_line *line;
	struct str product_id;
	int64_t quantity;

	if (!js_str_at(item, prefix, "product_id", 1, ORDER_PRODUCT_MAX, &product_id,
		       err))
		return false;
	snprintf(field, sizeof(field), "%sproduct_id", prefix);
	if (!product_id_ok(product_id))
		return err_field(err, field, "%s may have letters, digits, '.', '_', '-'",
				 field);
	if (!js_int_at(item, prefix, "quantity", 1, ORDER_MAX_QUANTITY, &quantity, err))
		return false;
	line = find_line(order, product_id);
	if (!line && order->n_lines == ORDER_MAX_LINES)
		return err_field(err, "items", "at most %d different products",
				 ORDER_MAX_LINES);
	if (!line) {
		line = &order->lines[order->n_lines++];
		str_copy(line->product_id, sizeof(line->product_id), product_id);
		line->source = source;
	}
	line->quantity += quantity;
	if (line->quantity > ORDER_MAX_QUANTITY) {
		snprintf(field, sizeof(field), "%squantity", prefix);
		return err_field(err, field, "more than %d of product %s",
				 ORDER_MAX_QUANTITY, line->product_id);
	}
	return true;
}

static bool add_items(struct order *order, json_t *items, struct err *err)
{
	static const char *const allowed[] = {"product_id", "quantity", NULL};
	json_t *item;
	size_t i;

	if (!json_is_array(items) || json_array_size(items) == 0)
		return err_field(err, "items",
				 "items must be a list with at least one line");
	json_array_foreach(items, i, item)
	{
		char path[32], prefix[34];

		snprintf(path, sizeof(path), "items[%zu]", i);
		snprintf(prefix, sizeof(prefix), "%s.", path);
		if (!json_is_object(item))
			return err_field(err, path, "%s must be an object", path);
		if (!js_only(item, path, allowed, err) ||
		    !add_line(order, item, prefix, (int)i, err))
			return false;
	}
	return true;
}

static int by_product_id(const void *a, const void *b)
{
	const struct order_line *left = a, *right = b;

	return strcmp(left->product_id, right->product_id);
}

static bool parse_lines(struct order *order, json_t *body, struct err *err)
{
	bool ok;

	order_new_lines(order, ORDER_MAX_LINES);
	order->n_lines = 0;
	if (!js_has(body, "items"))
		ok = add_line(order, body, "", -1, err);
	else if (js_has(body, "product_id") || js_has(body, "quantity"))
		ok = err_field(err, "items",
			       "give either items or product_id and quantity, not both");
	else
		ok = add_items(order, json_object_get(body, "items"), err);
	if (ok)
		qsort(order->lines, order->n_lines, sizeof(*order->lines), by_product_id);
	return ok;
}

/* Printable ASCII without spaces at the ends: the unique index would not see those. */
static bool key_ok(struct str key)
{
	if (key.len < 1 || key.len > ORDER_KEY_MAX)
		return false;
	for (size_t i = 0; i < key.len; i++) {
		if (key.at[i] < 0x20 || key.at[i] > 0x7e)
			return false;
	}
	return key.at[0] != ' ' && key.at[key.len - 1] != ' ';
}

static bool parse_key(struct order_wish *wish, json_t *body, struct str header,
		      struct err *err)
{
	json_t *member = json_object_get(body, "idempotency_key");
	struct str key = header;

	if (header.at && !key_ok(header))
		return err_field(err, "Idempotency-Key",
				 "Idempotency-Key must be 1 to %d printable characters",
				 ORDER_KEY_MAX);
	if (member && !json_is_null(member)) {
		if (!js_str(body, "idempotency_key", 1, ORDER_KEY_MAX, &key, err))
			return false;
		if (!key_ok(key))
			return err_field(err, "idempotency_key",
					 "idempotency_key must be printable characters");
		if (header.at && !str_eq(header, key))
			return err_field(err, "idempotency_key",
					 "idempotency_key differs from the header");
	}
	if (key.at)
		str_copy(wish->key, sizeof(wish->key), key);
	return true;
}

/* Everything that makes two requests the same order, in one normal form. */
static void hash_order(struct order_wish *wish)
{
	char text[32 + ORDER_MAX_LINES * (ORDER_PRODUCT_MAX + 8)];
	int len = snprintf(text, sizeof(text), "%" PRId64 "\n", wish->order.user_id);

	for (unsigned i = 0; i < wish->order.n_lines; i++) {
		const struct order_line *line = &wish->order.lines[i];

		len += snprintf(text + len, sizeof(text) - (size_t)len,
				"%s %" PRId64 "\n", line->product_id, line->quantity);
	}
	id_sha256_hex(wish->hash, text, (size_t)len);
}

static void hash_key(struct order_wish *wish)
{
	char text[32 + ORDER_KEY_MAX];
	int len;

	if (!wish->key[0])
		return;
	len = snprintf(text, sizeof(text), "%" PRId64 "\n%s", wish->order.user_id,
		       wish->key);
	id_sha256_hex(wish->key_hash, text, (size_t)len);
}

bool order_wish_parse(struct order_wish *wish, json_t *body, struct str header_key,
		      struct err *err)
{
	static const char *const allowed[] = {"user_id", "product_id",      "quantity",
					      "items",   "idempotency_key", NULL};

	memset(wish, 0, sizeof(*wish));
	if (!js_only(body, "", allowed, err) ||
	    !js_int(body, "user_id", 1, ORDER_MAX_ID, &wish->order.user_id, err) ||
	    !parse_lines(&wish->order, body, err) ||
	    !parse_key(wish, body, header_key, err))
		return false;
	hash_order(wish);
	hash_key(wish);
	return true;
}
