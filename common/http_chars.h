/*
 * http_chars.h - character classes of RFC 9110 and RFC 3986, shared by the
 * parser's files only.
 */
#ifndef COMMON_HTTP_CHARS_H
#define COMMON_HTTP_CHARS_H

#include <stdbool.h>

enum http_char {
	HTTP_C_TOKEN = 1, /* tchar */
	HTTP_C_VALUE = 2, /* may stand in a field value (obs-text too) */
	HTTP_C_HOST = 4,  /* reg-name, IP literal, port */
	HTTP_C_PATH = 8   /* pchar without "%", and "/" */
};

extern const unsigned char http_chars[256];

static inline bool http_char_is(char c, enum http_char what)
{
	return http_chars[(unsigned char)c] & what;
}

/* 0..15, or -1. */
int http_hex_digit(char c);

#endif
