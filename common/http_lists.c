/* http_lists.c - commas separate, but for those in quotes. */
#include "http_lists.h"

static struct str rest_of(struct str text, size_t from)
{
	return (struct str){text.at + from, text.len - from};
}

/* ---- directives ---- */

/* Where the quoted string that begins at `from` ends; `from` if it is never closed: then
 * its quote is a character like others. */
static size_t quoted_end(struct str text, size_t from)
{
	for (size_t i = from + 1; i < text.len; i++) {
		if (text.at[i] == '\\')
			i++;
		else if (text.at[i] == '"')
			return i;
	}
	return from;
}

/* Only behind a "=".  So one that is not closed is the last of its list (the next would
 * close it), and hostile lists are not read again and again. */
static bool begins_quoted(struct str text, size_t at)
{
	return at > 0 && text.at[at] == '"' && text.at[at - 1] == '=';
}

static struct str next_member(struct str *list)
{
	struct str member = *list;
	size_t end = 0;

	while (end < list->len && list->at[end] != ',')
		end = (begins_quoted(*list, end) ? quoted_end(*list, end) : end) + 1;
	member.len = end;
	*list = rest_of(*list, end < list->len ? end + 1 : end);
	return str_trim(member);
}

static struct str unquoted(struct str value)
{
	if (value.len >= 2 && value.at[0] == '"' && quoted_end(value, 0) == value.len - 1)
		return (struct str){value.at + 1, value.len - 2};
	return value;
}

static void split(struct str member, struct http_directive *directive)
{
	const char *equals = memchr(member.at, '=', member.len);
	uint64_t number = 0;

	*directive = (struct http_directive){.name = member, .value = STR("")};
	if (!equals)
		return;
	directive->name.len = (size_t)(equals - member.at);
	directive->value = unquoted(rest_of(member, directive->name.len + 1));
	if (str_u64(directive->value, &number))
		directive->number = number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

bool http_directive_next(struct str *list, struct http_directive *directive)
{
	while (list->len > 0) {
		struct str member = next_member(list);

		if (member.len > 0) {
			split(member, directive);
			return true;
		}
	}
	return false;
}

/* ---- entity tags ---- */

/* Length of the tag that `text` begins with; 0: none. Nothing is escaped in a tag. */
static size_t tag_length(struct str text)
{
	size_t open = str_starts(text, STR("W/")) ? 2 : 0;
	const char *close;

	if (open + 2 > text.len || text.at[open] != '"')
		return 0;
	close = memchr(text.at + open + 1, '"', text.len - open - 1);
	return close ? (size_t)(close - text.at) + 1 : 0;
}

bool http_is_etag(struct str tag)
{
	return tag.len > 0 && tag_length(tag) == tag.len;
}

static struct str opaque(struct str tag)
{
	return str_starts(tag, STR("W/")) ? rest_of(tag, 2) : tag;
}

static struct str skip_empty(struct str list)
{
	size_t n = 0;

	while (n < list.len &&
	       (list.at[n] == ',' || list.at[n] == ' ' || list.at[n] == '\t'))
		n++;
	return rest_of(list, n);
}

/* A tag is one only if a comma or the end follows. */
static bool next_tag(struct str *list, struct str *tag)
{
	struct str text = skip_empty(*list), behind;
	size_t len = tag_length(text);

	if (len == 0)
		return false;
	*tag = (struct str){text.at, len};
	*list = rest_of(text, len);
	behind = str_trim(*list);
	return behind.len == 0 || behind.at[0] == ',';
}

bool http_etag_listed(struct str list, struct str etag, bool weak)
{
	struct str tag;

	if (str_eqz(str_trim(list), "*"))
		return true;
	if (!weak && str_starts(etag, STR("W/")))
		return false;
	while (next_tag(&list, &tag)) {
		if (str_eq(weak ? opaque(tag) : tag, weak ? opaque(etag) : etag))
			return true;
	}
	return false;
}
