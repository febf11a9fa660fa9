/* cache_rules.c - read Cache-Control and its relatives. */
#include "cache_rules.h"

#include "http_lists.h"

#define US (uint64_t)1000000

/* ---- requests ---- */

static void read_wish(struct cache_wish *wish, struct str list)
{
	struct http_directive one;

	while (http_directive_next(&list, &one)) {
		if (str_ieq(one.name, STR("no-store")))
			wish->passes_by = true;
		else if (str_ieq(one.name, STR("no-cache")))
			wish->exact = true;
		else if (str_ieq(one.name, STR("max-age")) &&
			 one.number * US < wish->max_age_us)
			wish->max_age_us = one.number * US;
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

static bool control_allows(struct str list, uint64_t *lifetime_us)
{
	struct http_directive one;

	while (http_directive_next(&list, &one)) {
		if (str_ieq(one.name, STR("no-store")) ||
		    str_ieq(one.name, STR("private")))
			return false;
		if ((str_ieq(one.name, STR("max-age")) ||
		     str_ieq(one.name, STR("s-maxage"))) &&
		    one.number * US < *lifetime_us)
			*lifetime_us = one.number * US;
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
	    !http_is_etag(http_field_get(answer, "ETag")))
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
