/*
 * mail.c - headers and body of a mail.
 *
 * Everything is sent as 7-bit text: what is not plain ASCII goes out as base64
 * (RFC 2045, RFC 2047), which every server passes on untouched.
 */
#include "mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_LINE    900 /* RFC 5322 allows 998 */
#define BASE64_LINE 57  /* bytes that make 76 characters */
#define WORD_BYTES  42  /* of an encoded word: 56 characters and 12 around them */

bool mail_address_ok(struct str address)
{
	const char *at = address.at ? memchr(address.at, '@', address.len) : NULL;

	if (!at || at == address.at || address.len > MAIL_ADDRESS_MAX ||
	    at == address.at + address.len - 1)
		return false;
	for (size_t i = 0; i < address.len; i++) {
		char c = address.at[i];
		if (c <= ' ' || c > '~' || strchr("<>()[],;:\\\"", c))
			return false;
	}
	return !memchr(at + 1, '@', (size_t)(address.at + address.len - at - 1));
}

static bool is_inner_dot(struct str s, size_t i)
{
	return s.at[i] == '.' && i > 0 && i + 1 < s.len && s.at[i - 1] != ' ' &&
	       s.at[i + 1] != ' ';
}

bool mail_name_ok(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.at[i];

		if (c < ' ' || c == 127 || strchr("/@:<>", c) || is_inner_dot(name, i))
			return false;
	}
	return true;
}

static void base64(FILE *out, const unsigned char *in, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;
		if (i + 1 < n)
			bits |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < n)
			bits |= in[i + 2];
		fputc(digits[bits >> 18], out);
		fputc(digits[bits >> 12 & 63], out);
		fputc(i + 1 < n ? digits[bits >> 6 & 63] : '=', out);
		fputc(i + 2 < n ? digits[bits & 63] : '=', out);
	}
}

/* ASCII without controls but line ends, and no line too long? */
static bool is_plain(const char *text)
{
	size_t line = 0;

	for (; *text; text++) {
		line = *text == '\n' ? 0 : line + 1;
		if (line > MAX_LINE || *text == 127 ||
		    ((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') ||
		    (unsigned char)*text > 127)
			return false;
	}
	return true;
}

/* Encoded words hold whole characters (RFC 2047 section 5). */
static size_t word_len(const char *text)
{
	size_t n = strlen(text);

	if (n <= WORD_BYTES)
		return n;
	n = WORD_BYTES;
	while (n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static void write_subject(FILE *out, const char *subject)
{
	const char *between = "";

	fputs("Subject: ", out);
	if (is_plain(subject)) {
		fprintf(out, "%s\r\n", subject);
		return;
	}
	while (*subject) {
		size_t n = word_len(subject);
		fprintf(out, "%s=?UTF-8?B?", between);
		base64(out, (const unsigned char *)subject, n);
		fputs("?=", out);
		subject += n;
		between = "\r\n ";
	}
	fputs("\r\n", out);
}

/* The same with CRLF line ends; owned by the caller. */
static char *canonical(const char *text, size_t *len)
{
	char *all;
	FILE *out = open_memstream(&all, len);

	if (!out)
		abort();
	for (; *text; text++) {
		if (*text == '\n')
			fputc('\r', out);
		if (*text != '\r')
			fputc(*text, out);
	}
	fclose(out);
	return all;
}

static void write_base64(FILE *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i += BASE64_LINE) {
		base64(out, (const unsigned char *)text + i,
		       n - i < BASE64_LINE ? n - i : BASE64_LINE);
		fputs("\r\n", out);
	}
}

static void write_body(FILE *out, const char *text)
{
	bool plain = is_plain(text);
	size_t n;
	char *body = canonical(text, &n);

	fprintf(out,
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: %s\r\n\r\n",
		plain ? "7bit" : "base64");
	if (plain)
		fwrite(body, 1, n, out);
	else
		write_base64(out, body, n);
	free(body);
}

/* "order:7:created" is no part of an address: other characters turn into dots. */
static void write_message_id(FILE *out, const char *event_id, const char *from)
{
	const char *domain = strchr(from, '@');

	fputs("Message-ID: <", out);
	for (; *event_id; event_id++) {
		bool plain = (*event_id >= '0' && *event_id <= '9') ||
			     (*event_id >= 'A' && *event_id <= 'Z') ||
			     (*event_id >= 'a' && *event_id <= 'z');
		fputc(plain ? *event_id : '.', out);
	}
	fprintf(out, "%s>\r\n", domain ? domain : "@localhost");
}

static void write_date(FILE *out, int64_t now_ms)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed",
					   "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = (time_t)(now_ms / 1000);
	struct tm tm;

	gmtime_r(&now, &tm);
	fprintf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday],
		tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
}

char *mail_text(const struct notice *notice, const char *from, const char *to,
		const char *name, int64_t now_ms, size_t *len)
{
	char *all, *body;
	FILE *out = open_memstream(&all, len);

	if (!out ||
	    asprintf(&body, *name ? "Hello %s,\n\n%s" : "%s%s", name, notice->body) < 0)
		abort();
	fprintf(out, "From: <%s>\r\nTo: <%s>\r\n", from, to);
	write_subject(out, notice->subject);
	write_date(out, now_ms);
	write_message_id(out, notice->event_id, from);
	fputs("Auto-Submitted: auto-generated\r\n", out);
	write_body(out, body);
	fclose(out);
	free(body);
	return all;
}
