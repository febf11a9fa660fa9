/*
 * scan.h - reading JSON whose every byte is expected: what our own programs wrote.
 *
 * A scanner goes on over a text in the one form in which we write it: members in a fixed
 * order, no white space, plain ASCII strings, short numbers.  At the first byte that
 * differs it fails and stays failed, and the caller reads the text with the general
 * parser (js.h). So it need never say what is wrong; what it accepts must mean the same
 * there, which fuzz_order_event and fuzz_results check.
 */
#ifndef PROCESSOR_SCAN_H
#define PROCESSOR_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "str.h"

/* So many digits cannot overflow, and keep an amount exact in jansson's double. */
#define SCAN_INT_DIGITS   18
#define SCAN_MONEY_DIGITS 13

struct scan {
	const char *at, *end;
	bool ok;
};

static inline struct scan scan_begin(struct str text)
{
	return (struct scan){text.at, text.at + text.len, true};
}

static inline bool scan_end(const struct scan *s)
{
	return s->ok && s->at == s->end;
}

/* Exactly these bytes. */
static inline void scan_bytes(struct scan *s, const char *bytes, size_t len)
{
	s->ok = s->ok && (size_t)(s->end - s->at) >= len &&
		memcmp(s->at, bytes, len) == 0;
	if (s->ok)
		s->at += len;
}
#define SCAN(s, lit) scan_bytes((s), (lit), sizeof(lit) - 1)

/* Is this byte next? Takes it if so; never fails. */
static inline bool scan_if(struct scan *s, char c)
{
	bool found = s->ok && s->at < s->end && *s->at == c;

	s->at += found;
	return found;
}

/* Digits without leading zeros, at most `max` of them. */
static inline uint64_t scan_digits(struct scan *s, int max)
{
	const char *from = s->at;
	uint64_t n = 0;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - from <= max)
		n = n * 10 + (uint64_t)(*s->at++ - '0');
	s->ok = s->ok && s->at > from && s->at - from <= max &&
		(*from != '0' || s->at == from + 1);
	return n;
}

static inline int64_t scan_int(struct scan *s)
{
	return (int64_t)scan_digits(s, SCAN_INT_DIGITS);
}

static inline int64_t scan_signed(struct scan *s)
{
	return scan_if(s, '-') ? -scan_int(s) : scan_int(s);
}

/* As money_format() writes it. */
static inline int64_t scan_money(struct scan *s)
{
	bool negative = scan_if(s, '-');
	int64_t cents = 100 * (int64_t)scan_digits(s, SCAN_MONEY_DIGITS);

	s->ok = s->ok && s->end - s->at >= 3 && s->at[0] == '.' && s->at[1] >= '0' &&
		s->at[1] <= '9' && s->at[2] >= '0' && s->at[2] <= '9';
	if (!s->ok)
		return 0;
	cents += 10 * (s->at[1] - '0') + s->at[2] - '0';
	s->at += 3;
	return negative ? -cents : cents;
}

/* A string that is its own text: printable ASCII without escapes. */
static inline struct str scan_str(struct scan *s)
{
	const char *from = s->at + 1;

	SCAN(s, "\"");
	while (s->ok && s->at < s->end && *s->at != '"') {
		s->ok = *s->at >= ' ' && *s->at <= '~' && *s->at != '\\';
		s->at++;
	}
	SCAN(s, "\"");
	return s->ok ? (struct str){from, (size_t)(s->at - from) - 1} : STR_NONE;
}

#endif
