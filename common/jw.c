/* jw.c - the JSON writer. */
#include "jw.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "money.h"
#include "timeutil.h"

void jw_init(struct jw *w, size_t max)
{
	memset(w, 0, sizeof(*w));
	w->max = max;
}

void jw_init_fixed(struct jw *w, char *buf, size_t size)
{
	memset(w, 0, sizeof(*w));
	w->buf = buf;
	w->cap = size;
	w->max = size ? size - 1 : 0;
	w->fits = w->max;
	w->fixed = true;
}

void jw_fini(struct jw *w)
{
	if (!w->fixed)
		free(w->buf);
	memset(w, 0, sizeof(*w));
}

static bool fail(struct jw *w)
{
	w->failed = true;
	w->fits = 0;
	return false;
}

static bool grow(struct jw *w, size_t n)
{
	size_t cap = w->cap ? w->cap : 256;

	if (w->failed || n > w->max || w->len > w->max - n)
		return fail(w);
	while (cap < w->len + n + 1)
		cap *= 2;
	w->buf = xrealloc(w->buf, cap);
	w->cap = cap;
	w->fits = cap - 1 < w->max ? cap - 1 : w->max;
	return true;
}

static inline bool reserve(struct jw *w, size_t n)
{
	if (w->len <= w->fits && n <= w->fits - w->len)
		return true;
	return grow(w, n);
}

static inline void put(struct jw *w, const char *at, size_t n)
{
	if (!reserve(w, n))
		return;
	memcpy(w->buf + w->len, at, n);
	w->len += n;
}

static inline void put_char(struct jw *w, char c)
{
	if (reserve(w, 1))
		w->buf[w->len++] = c;
}

/* What must stand before a value or key: a comma, or nothing. */
static void separate(struct jw *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->depth && w->more[w->depth - 1])
		put_char(w, ',');
	if (w->depth)
		w->more[w->depth - 1] = 1;
}

static void open_with(struct jw *w, char open, char close)
{
	separate(w);
	put_char(w, open);
	if (w->depth == JW_MAX_DEPTH) {
		fail(w);
		return;
	}
	w->more[w->depth] = 0;
	w->close[w->depth++] = close;
}

void jw_object(struct jw *w)
{
	open_with(w, '{', '}');
}

void jw_array(struct jw *w)
{
	open_with(w, '[', ']');
}

void jw_end(struct jw *w)
{
	if (w->depth == 0 || w->after_key) {
		fail(w);
		return;
	}
	put_char(w, w->close[--w->depth]);
}

static void put_escaped(struct jw *w, unsigned char c)
{
	char esc[8];
	const char *at;

	switch (c) {
	case '"': at = "\\\""; break;
	case '\\': at = "\\\\"; break;
	case '\n': at = "\\n"; break;
	case '\r': at = "\\r"; break;
	case '\t': at = "\\t"; break;
	default: snprintf(esc, sizeof(esc), "\\u%04x", c); at = esc;
	}
	put(w, at, strlen(at));
}

/* What cannot be copied as it is. */
static const bool special[256] = {
	[0 ... 0x1f] = true, ['"'] = true, ['\\'] = true, [0x7f ... 0xff] = true};

/* Length of the longest well-formed UTF-8 sequence at s, or 0. */
static size_t sequence(const char *at, size_t left)
{
	for (size_t n = 2; n <= 4 && n <= left; n++) {
		if (str_utf8_ok((struct str){at, n}))
			return n;
	}
	return 0;
}

/* Sets the high bit of the bytes that are zero (and perhaps of others above one). */
static inline uint64_t zero_bytes(uint64_t v)
{
	const uint64_t ones = 0x0101010101010101u;

	return (v - ones) & ~v & ones << 7;
}

/* How many bytes can be copied as they are, from the first on? Eight at a time: most of
 * what is written are keys and ids, and nothing else is written as often. */
static size_t plain_length(struct str s)
{
	const uint64_t ones = 0x0101010101010101u;
	size_t i = 0;

	for (; i + sizeof(uint64_t) <= s.len; i += sizeof(uint64_t)) {
		uint64_t v;

		memcpy(&v, s.at + i, sizeof(v));
		if (((v - ones * ' ') & ~v & ones << 7) | (v & ones << 7) |
		    zero_bytes(v ^ ones * '"') | zero_bytes(v ^ ones * '\\') |
		    zero_bytes(v ^ ones * 0x7f))
			break;
	}
	while (i < s.len && !special[(unsigned char)s.at[i]])
		i++;
	return i;
}

static void put_special(struct jw *w, struct str s, size_t start)
{
	size_t i = start;

	put(w, s.at, start);
	while (i < s.len) {
		unsigned char c = (unsigned char)s.at[i];

		if (!special[c]) {
			i++;
			continue;
		}
		put(w, s.at + start, i - start);
		if (c >= 0x80) {
			size_t n = sequence(s.at + i, s.len - i);

			if (n)
				put(w, s.at + i, n);
			else
				put(w, "\xef\xbf\xbd", 3);
			i += n ? n : 1;
		} else {
			put_escaped(w, c);
			i++;
		}
		start = i;
	}
	put(w, s.at + start, i - start);
}

static void put_string(struct jw *w, struct str s)
{
	size_t plain = plain_length(s);

	put_char(w, '"');
	if (plain == s.len)
		put(w, s.at, s.len);
	else
		put_special(w, s, plain);
	put_char(w, '"');
}

void jw_key(struct jw *w, const char *key)
{
	separate(w);
	put_string(w, str_from(key));
	put_char(w, ':');
	w->after_key = true;
}

void jw_str(struct jw *w, struct str s)
{
	separate(w);
	put_string(w, s.at ? s : STR(""));
}

void jw_strz(struct jw *w, const char *z)
{
	if (z)
		jw_str(w, str_from(z));
	else
		jw_null(w);
}

void jw_raw(struct jw *w, struct str json)
{
	separate(w);
	put(w, json.at, json.len);
}

void jw_int(struct jw *w, int64_t n)
{
	char text[24], *at = text + sizeof(text);
	uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left);
	if (n < 0)
		*--at = '-';
	jw_raw(w, (struct str){at, (size_t)(text + sizeof(text) - at)});
}

void jw_bool(struct jw *w, bool b)
{
	jw_raw(w, b ? STR("true") : STR("false"));
}

void jw_null(struct jw *w)
{
	jw_raw(w, STR("null"));
}

void jw_money(struct jw *w, int64_t cents)
{
	char text[MONEY_TEXT_MAX];
	int len = money_format(text, cents);

	jw_raw(w, (struct str){text, (size_t)len});
}

void jw_double(struct jw *w, double d)
{
	char text[40];
	int len;

	if (!isfinite(d)) {
		jw_null(w);
		return;
	}
	len = snprintf(text, sizeof(text), "%.17g", d);
	jw_raw(w, (struct str){text, (size_t)len});
}

void jw_time(struct jw *w, int64_t wall_ms, bool with_ms)
{
	char text[TIME_TEXT_MAX];
	int len = time_format(text, wall_ms, with_ms);

	jw_str(w, (struct str){text, (size_t)len});
}

void jw_kstr(struct jw *w, const char *key, struct str s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kstrz(struct jw *w, const char *key, const char *z)
{
	jw_key(w, key);
	jw_strz(w, z);
}

void jw_kint(struct jw *w, const char *key, int64_t n)
{
	jw_key(w, key);
	jw_int(w, n);
}

void jw_kbool(struct jw *w, const char *key, bool b)
{
	jw_key(w, key);
	jw_bool(w, b);
}

void jw_kmoney(struct jw *w, const char *key, int64_t cents)
{
	jw_key(w, key);
	jw_money(w, cents);
}

void jw_ktime(struct jw *w, const char *key, int64_t wall_ms, bool with_ms)
{
	jw_key(w, key);
	jw_time(w, wall_ms, with_ms);
}

bool jw_ok(const struct jw *w)
{
	return !w->failed && w->depth == 0 && w->len > 0;
}

struct str jw_text(struct jw *w)
{
	if (!w->buf)
		return STR("");
	w->buf[w->len] = '\0';
	return (struct str){w->buf, w->len};
}
