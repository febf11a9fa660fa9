/* http_fields.c - header fields: character classes, look-up, lists, hop-by-hop. */
#include "http_chars.h"
#include "http_parse.h"

#define T HTTP_C_TOKEN
#define V HTTP_C_VALUE
#define H HTTP_C_HOST
#define P HTTP_C_PATH

const unsigned char http_chars[256] = {
	['\t'] = V,
	[' '] = V,
	['!'] = T | V | H | P,
	['"'] = V,
	['#'] = T | V,
	['$'] = T | V | H | P,
	['%'] = T | V | H,
	['&'] = T | V | H | P,
	['\''] = T | V | H | P,
	['('] = V | H | P,
	[')'] = V | H | P,
	['*'] = T | V | H | P,
	['+'] = T | V | H | P,
	[','] = V | H | P,
	['-'] = T | V | H | P,
	['.'] = T | V | H | P,
	['/'] = V | P,
	['0' ... '9'] = T | V | H | P,
	[':'] = V | H | P,
	[';'] = V | H | P,
	['<'] = V,
	['='] = V | H | P,
	['>'] = V,
	['?'] = V,
	['@'] = V | P,
	['A' ... 'Z'] = T | V | H | P,
	['['] = V | H,
	['\\'] = V,
	[']'] = V | H,
	['^'] = T | V,
	['_'] = T | V | H | P,
	['`'] = T | V,
	['a' ... 'z'] = T | V | H | P,
	['{'] = V,
	['|'] = T | V,
	['}'] = V,
	['~'] = T | V | H | P,
	[0x80 ... 0xff] = V,
};

int http_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool all(struct str s, enum http_char what)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!http_char_is(s.at[i], what))
			return false;
	}
	return true;
}

bool http_is_token(struct str s)
{
	return s.len > 0 && all(s, HTTP_C_TOKEN);
}

bool http_is_value(struct str s)
{
	return all(s, HTTP_C_VALUE);
}

struct str http_field_get(const struct http_head *head, const char *name)
{
	struct str want = str_from(name);

	for (unsigned i = 0; i < head->n_fields; i++) {
		if (str_ieq(head->fields[i].name, want))
			return head->fields[i].value;
	}
	return STR_NONE;
}

static bool list_names(struct str list, struct str want)
{
	while (list.len > 0) {
		const char *comma = memchr(list.at, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.at) : list.len;

		if (str_ieq(str_trim((struct str){list.at, len}), want))
			return true;
		len += comma ? 1 : 0;
		list.at += len;
		list.len -= len;
	}
	return false;
}

bool http_list_has(struct str list, const char *token)
{
	return list_names(list, str_from(token));
}

bool http_name_in(struct str name, const struct str *names)
{
	for (; names->at; names++) {
		if (str_ieq(name, *names))
			return true;
	}
	return false;
}

/* Is `name` in any Connection field of this head? */
static bool named_by_connection(const struct http_head *head, struct str name)
{
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (str_ieq(head->fields[i].name, STR("connection")) &&
		    list_names(head->fields[i].value, name))
			return true;
	}
	return false;
}

bool http_field_is_hop(const struct http_head *head, const struct http_field *field)
{
	static const struct str hop[] = {STR_INIT("connection"),
					 STR_INIT("keep-alive"),
					 STR_INIT("proxy-connection"),
					 STR_INIT("te"),
					 STR_INIT("transfer-encoding"),
					 STR_INIT("trailer"),
					 STR_INIT("upgrade"),
					 STR_INIT("proxy-authenticate"),
					 STR_INIT("proxy-authorization"),
					 {NULL, 0}};
	/* A client must not be able to strip these by naming them. */
	static const struct str kept[] = {STR_INIT("host"),
					  STR_INIT("content-length"),
					  STR_INIT("authorization"),
					  STR_INIT("traceparent"),
					  {NULL, 0}};
	static const struct str forwarded = STR_INIT("x-forwarded-");
	struct str name = field->name;

	if (http_name_in(name, hop))
		return true;
	if (http_name_in(name, kept) ||
	    (name.len > forwarded.len &&
	     str_ieq((struct str){name.at, forwarded.len}, forwarded)))
		return false;
	return named_by_connection(head, name);
}
