/*
 * http_target.c - paths and queries: decoded once, here, and nowhere else.
 *
 * Routing, access rules and forwarding all see the same normalised path, so no
 * two of them can disagree about what "%2e%2e//x" means.
 */
#include "http_chars.h"
#include "http_parse.h"

/* Value of "%XX" at the start of `s`, -1 when it is not one. */
static int percent(struct str s)
{
	int hi, lo;

	if (s.len < 3 || s.at[0] != '%')
		return -1;
	hi = http_hex_digit(s.at[1]);
	lo = http_hex_digit(s.at[2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* One decoded byte of a path, and how many it took; -1: refuse the path. */
static int path_byte(struct str s, size_t *took)
{
	int c = (unsigned char)s.at[0];

	*took = 1;
	if (c == '%') {
		c = percent(s);
		*took = 3;
		if (c == '/')
			return -1;
	}
	return c < 0x20 || c == 0x7f || c == '\\' ? -1 : c;
}

static bool path_decode(struct str path, char *dst, size_t size, size_t *len)
{
	size_t n = 0;

	while (path.len > 0) {
		size_t took;
		int c = path_byte(path, &took);

		if (c < 0 || n + 1 >= size)
			return false;
		dst[n++] = (char)c;
		path.at += took;
		path.len -= took;
	}
	*len = n;
	return str_utf8_ok((struct str){dst, n});
}

/* Removes the last segment of what is written; false at the root. */
static bool drop_segment(const char *dst, size_t *out)
{
	size_t n = *out;

	if (n <= 1)
		return false;
	n--; /* the slash behind it */
	while (dst[n - 1] != '/')
		n--;
	*out = n;
	return true;
}

/* Resolves dot segments and empty ones in place. What is written so far always
 * ends with the slash in front of the next segment. */
static bool path_resolve(char *dst, size_t *len)
{
	size_t in = 1, out = 1;

	while (in < *len) {
		const char *slash = memchr(dst + in, '/', *len - in);
		size_t n = slash ? (size_t)(slash - dst) - in : *len - in;
		bool up = n == 2 && dst[in] == '.' && dst[in + 1] == '.';

		if (up && !drop_segment(dst, &out))
			return false;
		if (!up && n > 0 && !(n == 1 && dst[in] == '.')) {
			memmove(dst + out, dst + in, n);
			out += n;
			if (slash)
				dst[out++] = '/';
		}
		in += n + 1;
	}
	*len = out;
	return true;
}

bool http_path_normalise(struct str path, char *dst, size_t size, size_t *len)
{
	*len = 0;
	if (path.len == 0 || path.at[0] != '/' || !path_decode(path, dst, size, len) ||
	    !path_resolve(dst, len))
		return false;
	dst[*len] = '\0';
	return true;
}

size_t http_path_encode(struct str path, char *dst, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.at[i];
		bool plain = http_char_is(path.at[i], HTTP_C_PATH);

		if (n + (plain ? 1 : 3) >= size)
			return 0;
		if (plain) {
			dst[n++] = (char)c;
			continue;
		}
		dst[n++] = '%';
		dst[n++] = digits[c >> 4];
		dst[n++] = digits[c & 15];
	}
	if (n < size)
		dst[n] = '\0';
	return n;
}

/* One byte of "application/x-www-form-urlencoded"; -1: malformed. */
static int form_byte(struct str s, size_t *took)
{
	int c = (unsigned char)s.at[0];

	*took = 1;
	if (c == '+')
		return ' ';
	if (c == '%') {
		*took = 3;
		c = percent(s);
	}
	return c == 0 ? -1 : c;
}

static bool form_decode(struct str s, char *dst, size_t size, size_t *len)
{
	size_t n = 0;

	while (s.len > 0) {
		size_t took;
		int c = form_byte(s, &took);

		if (c < 0 || n + 1 >= size)
			return false;
		dst[n++] = (char)c;
		s.at += took;
		s.len -= took;
	}
	dst[n] = '\0';
	*len = n;
	return str_utf8_ok((struct str){dst, n});
}

/* Cuts the next "name=value" off the query. */
static void next_pair(struct str *query, struct str *name, struct str *value)
{
	const char *amp = memchr(query->at, '&', query->len);
	size_t len = amp ? (size_t)(amp - query->at) : query->len;
	const char *equals = memchr(query->at, '=', len);
	size_t name_len = equals ? (size_t)(equals - query->at) : len;
	size_t used = len + (amp ? 1 : 0);

	*name = (struct str){query->at, name_len};
	*value = (struct str){query->at + len, 0};
	if (equals)
		*value = (struct str){equals + 1, len - name_len - 1};
	query->at += used;
	query->len -= used;
}

bool http_query_get(struct str query, const char *name, char *dst, size_t size,
		    size_t *len, bool *malformed)
{
	bool dummy;

	if (!malformed)
		malformed = &dummy;
	*malformed = false;
	while (query.len > 0) {
		struct str key, value;
		char decoded[128];
		size_t key_len;

		next_pair(&query, &key, &value);
		if (!form_decode(key, decoded, sizeof(decoded), &key_len) ||
		    !str_eqz((struct str){decoded, key_len}, name))
			continue;
		*malformed = !form_decode(value, dst, size, len);
		return !*malformed;
	}
	return false;
}
