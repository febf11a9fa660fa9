/* product.c - check products, write them as JSON, name their tags. */
#include "product.h"

#include <inttypes.h>
#include <stdio.h>

#include "http_lists.h"
#include "js.h"

#define PRICE_MIN       1
#define PRICE_MAX       999999999
#define DESCRIPTION_MAX 4000
#define CATEGORY_MAX    64
#define IMAGE_URL_MAX   500
#define QUERY_MAX       100

/* ---- reading ---- */

static bool id_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool product_id_ok(struct str id)
{
	if (id.len == 0 || id.len > PRODUCT_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		if (!id_char(id.at[i]))
			return false;
	}
	return true;
}

static bool has_control(struct str s, bool lines_ok)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c == 0x7f)
			return true;
		if (c < 0x20 && !(lines_ok && (c == '\n' || c == '\t')))
			return true;
	}
	return false;
}

/* One line of text that is more than blanks. */
static bool read_line(json_t *body, const char *key, size_t max, struct str *out,
		      struct err *err)
{
	if (!js_text(body, key, 1, max, out, err))
		return false;
	if (has_control(*out, false))
		return err_field(err, key, "%s must not contain control characters", key);
	if (str_trim(*out).len == 0)
		return err_field(err, key, "%s must not be blank", key);
	return true;
}

/* The storefront puts it into a page: only what a browser may load. */
static bool image_url_ok(struct str url)
{
	for (size_t i = 0; i < url.len; i++) {
		if ((unsigned char)url.at[i] <= 0x20 || url.at[i] == 0x7f ||
		    strchr("\"'<>\\`", url.at[i]))
			return false;
	}
	if (str_starts(url, STR("https://")) || str_starts(url, STR("http://")))
		return true;
	return str_starts(url, STR("/")) && !str_starts(url, STR("//"));
}

static bool read_optional(json_t *body, struct product *product, struct err *err)
{
	struct str currency;

	product->description = STR("");
	product->image_url = STR_NONE;
	if (js_has(body, "description") &&
	    !js_text(body, "description", 0, DESCRIPTION_MAX, &product->description, err))
		return false;
	if (has_control(product->description, true))
		return err_field(err, "description",
				 "description must not contain control characters");
	if (js_has(body, "image_url")) {
		if (!js_text(body, "image_url", 1, IMAGE_URL_MAX, &product->image_url,
			     err))
			return false;
		if (!image_url_ok(product->image_url))
			return err_field(err, "image_url",
					 "image_url must be an http(s) URL or a path");
	}
	if (js_has(body, "currency")) {
		if (!js_str(body, "currency", 3, 3, &currency, err))
			return false;
		if (!str_eqz(currency, PRODUCT_CURRENCY))
			return err_field(err, "currency", "currency must be %s",
					 PRODUCT_CURRENCY);
	}
	return true;
}

static bool read_id(json_t *body, struct str *id, struct err *err)
{
	if (!js_str(body, "product_id", 1, PRODUCT_ID_MAX, id, err))
		return false;
	if (!product_id_ok(*id))
		return err_field(err, "product_id",
				 "product_id may have letters, digits, '.', '_', '-'");
	return true;
}

static bool read_common(json_t *body, struct product *product, struct err *err)
{
	return read_line(body, "name", PRODUCT_NAME_MAX, &product->name, err) &&
	       read_line(body, "category", CATEGORY_MAX, &product->category, err) &&
	       js_money(body, "price", PRICE_MIN, PRICE_MAX, &product->price, err) &&
	       read_optional(body, product, err);
}

bool product_parse_new(json_t *body, struct product *product, struct err *err)
{
	static const char *const allowed[] = {"product_id", "name",      "description",
					      "category",   "price",     "currency",
					      "stock",      "image_url", NULL};

	memset(product, 0, sizeof(*product));
	if (!js_only(body, "", allowed, err) || !read_id(body, &product->id, err) ||
	    !read_common(body, product, err))
		return false;
	return !js_has(body, "stock") ||
	       js_int(body, "stock", 0, PRODUCT_STOCK_MAX, &product->stock, err);
}

bool product_parse_put(json_t *body, struct str id, struct product *product,
		       struct err *err)
{
	static const char *const allowed[] = {"product_id", "name",  "description",
					      "category",   "price", "currency",
					      "image_url",  NULL};

	memset(product, 0, sizeof(*product));
	if (json_object_get(body, "stock"))
		return err_field(err, "stock",
				 "stock changes only by POST /api/products/{id}/stock");
	if (!js_only(body, "", allowed, err) || !read_common(body, product, err))
		return false;
	if (js_has(body, "product_id")) {
		if (!read_id(body, &product->id, err))
			return false;
		if (!str_eq(product->id, id))
			return err_field(err, "product_id",
					 "product_id is not that of the path");
	}
	product->id = id;
	return true;
}

bool product_parse_delta(json_t *body, int64_t *delta, struct err *err)
{
	static const char *const allowed[] = {"delta", NULL};

	if (!js_only(body, "", allowed, err) ||
	    !js_int(body, "delta", -PRODUCT_DELTA_MAX, PRODUCT_DELTA_MAX, delta, err))
		return false;
	if (*delta == 0)
		return err_field(err, "delta", "delta must not be 0");
	return true;
}

bool product_key_ok(struct str key, struct err *err)
{
	bool ok = key.len > 0 && key.len <= PRODUCT_KEY_MAX;

	if (!key.at)
		return err_field(err, "Idempotency-Key",
				 "the Idempotency-Key header is missing");
	for (size_t i = 0; i < key.len && ok; i++)
		ok = key.at[i] >= 0x20 && key.at[i] < 0x7f;
	if (!ok)
		return err_field(err, "Idempotency-Key",
				 "Idempotency-Key must be 1 to %d printable characters",
				 PRODUCT_KEY_MAX);
	return true;
}

/* ---- writing ---- */

size_t product_stock_text(char *dst, int64_t stock)
{
	return (size_t)snprintf(dst, PRODUCT_STOCK_TEXT, "%" PRId64 ",\"in_stock\":%s",
				stock, stock > 0 ? "true" : "false");
}

void product_write_marked(struct jw *w, const struct product *product, size_t *begin,
			  size_t *end)
{
	char stock[PRODUCT_STOCK_TEXT];

	jw_object(w);
	jw_kstr(w, "product_id", product->id);
	jw_kstr(w, "name", product->name);
	jw_kstr(w, "description", product->description);
	jw_kstr(w, "category", product->category);
	jw_kmoney(w, "price", product->price);
	jw_kstrz(w, "currency", PRODUCT_CURRENCY);
	jw_key(w, "stock");
	*begin = w->len;
	jw_raw(w, (struct str){stock, product_stock_text(stock, product->stock)});
	*end = w->len;
	if (product->image_url.at)
		jw_kstr(w, "image_url", product->image_url);
	jw_ktime(w, "created_at", product->created_at, false);
	jw_ktime(w, "updated_at", product->updated_at, false);
	jw_end(w);
}

void product_write(struct jw *w, const struct product *product)
{
	size_t begin, end;

	product_write_marked(w, product, &begin, &end);
}

/* ---- entity tags ---- */

void product_etag(char *dst, int64_t version)
{
	snprintf(dst, PRODUCT_ETAG_MAX, "\"%" PRId64 "\"", version);
}

bool product_wants_exact(struct str cache_control)
{
	struct http_directive one;

	while (http_directive_next(&cache_control, &one)) {
		if (str_ieq(one.name, STR("no-cache")) ||
		    (str_ieq(one.name, STR("max-age")) && one.number == 0))
			return true;
	}
	return false;
}

/* ---- searching ---- */

bool product_pattern(char *dst, struct str q)
{
	size_t n = 0;

	if (q.len > 4 * QUERY_MAX || str_characters(q) > QUERY_MAX)
		return false;
	dst[n++] = '%';
	for (size_t i = 0; i < q.len; i++) {
		if (q.at[i] == '%' || q.at[i] == '_' || q.at[i] == '!')
			dst[n++] = '!';
		dst[n++] = q.at[i];
	}
	if (q.len)
		dst[n++] = '%';
	dst[n] = '\0';
	return true;
}
