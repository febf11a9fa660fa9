/* str.c - slices, numbers, hex, UTF-8 and the aborting allocators. */
#include "str.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : (unsigned char)c;
}

bool str_ieq_bytes(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool str_starts(struct str s, struct str head)
{
	return s.len >= head.len &&
	       (head.len == 0 || memcmp(s.at, head.at, head.len) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.len && is_blank(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool str_copy(char *dst, size_t size, struct str src)
{
	if (src.len >= size) {
		dst[0] = '\0';
		return false;
	}
	if (src.len)
		memcpy(dst, src.at, src.len);
	dst[src.len] = '\0';
	return true;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.at[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return true;
}

bool str_i64(struct str s, int64_t *out)
{
	bool negative = s.len > 0 && s.at[0] == '-';
	uint64_t n;

	if (negative) {
		s.at++;
		s.len--;
	}
	if (!str_u64(s, &n) || n > (uint64_t)INT64_MAX)
		return false;
	*out = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

/* Length of the sequence that starts at s[i], 0 if it is malformed. */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
	unsigned char c = s[0];
	size_t len = c < 0x80   ? 1
		     : c < 0xc2 ? 0
		     : c < 0xe0 ? 2
		     : c < 0xf0 ? 3
		     : c < 0xf5 ? 4
				: 0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong, surrogates, above U+10FFFF */
	if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) ||
	    (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

bool str_utf8_ok(struct str s)
{
	size_t i = 0;

	while (i < s.len) {
		size_t len = utf8_sequence((const unsigned char *)s.at + i, s.len - i);

		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

size_t str_characters(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return n;
}

void str_hex(char *dst, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = bytes;

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[b[i] >> 4];
		dst[2 * i + 1] = digits[b[i] & 15];
	}
	dst[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool str_unhex(void *dst, size_t n, struct str hex)
{
	unsigned char *out = dst;

	if (hex.len != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(hex.at[2 * i]);
		int lo = hex_value(hex.at[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

uint64_t str_hash(struct str s)
{
	uint64_t h = 14695981039346656037ULL;

	for (size_t i = 0; i < s.len; i++) {
		h ^= (unsigned char)s.at[i];
		h *= 1099511628211ULL;
	}
	return h;
}

static void *checked(void *p)
{
	if (!p) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t size)
{
	return checked(realloc(p, size ? size : 1));
}

char *xstrdup(const char *z)
{
	return checked(strdup(z));
}

char *xstrndup(const char *at, size_t len)
{
	return checked(strndup(at ? at : "", len));
}
