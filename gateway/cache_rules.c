/* cache_rules.c - read Cache-Control and its relatives. */
#include "cache_rules.h"

#define US 1000000u

/* Next directive of a Cache-Control list, and its number if it has one. */
static bool next_directive(struct str *list, struct str *name, uint64_t *number)
{
	const char *comma = list->len ? memchr(list->at, ',', list->len) : NULL;
	size_t len = comma ? (size_t)(comma - list->at) : list->len;
	struct str item = str_trim((struct str){list->at, len});
	const char *equals = item.len ? memchr(item.at, '=', item.len) : NULL;

	if (list->len == 0)
		return false;
	list->at += comma ? len + 1 : len;
	list->len -= comma ? len + 1 : len;
	*name = item;
	*number = 0; /* also of one that is no number: it counts as over at once */
	if (equals) {
		name->len = (size_t)(equals - item.at);
		str_u64((struct str){equals + 1, item.len - name->len - 1}, number);
	}
	if (*number > UINT32_MAX)
		*number = UINT32_MAX;
	return true;
}

/* ---- requests ---- */

static void read_wish(struct cache_wish *wish, struct str list)
{
	struct str name;
	uint64_t n;

	while (next_directive(&list, &name, &n)) {
		if (str_ieq(name, STR("no-store")))
			wish->passes_by = true;
		else if (str_ieq(name, STR("no-cache")))
			wish->exact = true;
		else if (str_ieq(name, STR("max-age")) && n * US < wish->max_age_us)
			wish->max_age_us = n * US;
	}
	wish->exact = wish->exact || wish->max_age_us == 0;
}

struct cache_wish cache_wish(const struct http_head *request)
{
	/* Parts, and conditions that are about more than the tag. */
	static const struct str others[] = {STR_INIT("Range"),
					    STR_INIT("If-Range"),
					    STR_INIT("If-Match"),
					    STR_INIT("If-Unmodified-Since"),
					    STR_INIT("If-Modified-Since"),
					    {NULL, 0}};
	struct cache_wish wish = {.max_age_us = UINT64_MAX};

	wish.passes_by = (request->method != HTTP_GET && request->method != HTTP_HEAD) ||
			 request->framing != HTTP_NO_BODY;
	for (unsigned i = 0; i < request->n_fields; i++) {
		const struct http_field *field = &request->fields[i];

		if (str_ieq(field->name, STR("Cache-Control")))
			read_wish(&wish, field->value);
		else if (http_name_in(field->name, others))
			wish.passes_by = true;
	}
	return wish;
}

bool cache_fetch_drops(struct str name)
{
	static const struct str names[] = {STR_INIT("Authorization"),
					   STR_INIT("Cookie"),
					   STR_INIT("If-None-Match"),
					   {NULL, 0}};

	return http_name_in(name, names);
}

/* ---- answers ---- */

static bool etag_ok(struct str tag)
{
	if (str_starts(tag, STR("W/"))) {
		tag.at += 2;
		tag.len -= 2;
	}
	return tag.len >= 2 && tag.at[0] == '"' &&
	       memchr(tag.at + 1, '"', tag.len - 1) == tag.at + tag.len - 1;
}

static bool control_allows(struct str list, uint64_t *lifetime_us)
{
	struct str name;
	uint64_t n;

	while (next_directive(&list, &name, &n)) {
		if (str_ieq(name, STR("no-store")) || str_ieq(name, STR("private")))
			return false;
		if ((str_ieq(name, STR("max-age")) || str_ieq(name, STR("s-maxage"))) &&
		    n * US < *lifetime_us)
			*lifetime_us = n * US;
	}
	return *lifetime_us > 0;
}

bool cache_may_store(const struct http_head *answer, uint64_t *lifetime_us)
{
	/* One that is old already, that is for one reader, whose choice hangs on more
	 * than we look at, or that says when it ends in a way we do not read. */
	static const struct str never[] = {STR_INIT("Age"),     STR_INIT("Warning"),
					   STR_INIT("Vary"),    STR_INIT("Set-Cookie"),
					   STR_INIT("Expires"), {NULL, 0}};

	if (answer->status != 200 || answer->framing != HTTP_LENGTH ||
	    answer->content_length > CACHE_BODY_MAX ||
	    !etag_ok(http_field_get(answer, "ETag")))
		return false;
	for (unsigned i = 0; i < answer->n_fields; i++) {
		const struct http_field *field = &answer->fields[i];

		if (http_name_in(field->name, never) ||
		    (str_ieq(field->name, STR("Cache-Control")) &&
		     !control_allows(field->value, lifetime_us)))
			return false;
	}
	return true;
}

bool cache_repeats_in_304(struct str name)
{
	static const struct str names[] = {STR_INIT("Cache-Control"),
					   STR_INIT("Content-Location"),
					   STR_INIT("Date"),
					   STR_INIT("ETag"),
					   {NULL, 0}};

	return http_name_in(name, names);
}

/* ---- If-None-Match ---- */

static struct str opaque(struct str tag)
{
	if (str_starts(tag, STR("W/")))
		return (struct str){tag.at + 2, tag.len - 2};
	return tag;
}

/* Next tag of a list. A quoted tag may hold commas. */
static bool next_tag(struct str *list, struct str *tag)
{
	const char *open = list->len ? memchr(list->at, '"', list->len) : NULL;
	const char *end = list->at + list->len;
	const char *close;

	if (!open || open + 1 == end)
		return false;
	close = memchr(open + 1, '"', (size_t)(end - open - 1));
	if (!close)
		return false;
	*tag = (struct str){open, (size_t)(close - open + 1)};
	list->at = close + 1;
	list->len = (size_t)(end - list->at);
	return true;
}

bool cache_etag_listed(struct str list, struct str etag)
{
	struct str tag;

	if (str_eqz(str_trim(list), "*"))
		return true;
	while (next_tag(&list, &tag)) {
		if (str_eq(tag, opaque(etag)))
			return true;
	}
	return false;
}
