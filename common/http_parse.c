/*
 * http_parse.c - heads of requests and answers.
 *
 * Strict on purpose: whatever two readers could take for two different messages
 * is refused, also where RFC 9112 lets a recipient be lenient (bare LF, folded
 * lines, repeated Content-Length).
 */
#include "http_parse.h"

#include "http_chars.h"

#define MAX_METHOD      24
#define MAX_EMPTY_LINES 16 /* in front of a request (RFC 9112 section 2.2) */
#define VERSION_LEN     8  /* "HTTP/1.1" */
/* A first line may be a bit longer than its target. */
#define MAX_FIRST_LINE (HTTP_MAX_TARGET + MAX_METHOD + VERSION_LEN + 4)

static const char *const methods[HTTP_METHODS] = {
	[HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",     [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
	[HTTP_PATCH] = "PATCH",
};

const char *http_method_name(enum http_method_id method)
{
	return methods[method];
}

/* ---- where the head ends ---- */

static size_t empty_lines(struct str in)
{
	size_t n = 0;

	while (in.len >= n + 2 && in.at[n] == '\r' && in.at[n + 1] == '\n')
		n += 2;
	return n;
}

/* "HTTP/1.0" or "HTTP/1.1": 0 and `minor`; else the status to refuse with. */
static int parse_version(struct str s, int *minor)
{
	if (s.len != VERSION_LEN || memcmp(s.at, "HTTP/", 5) != 0 || s.at[5] < '0' ||
	    s.at[5] > '9' || s.at[6] != '.' || s.at[7] < '0' || s.at[7] > '9')
		return 400;
	*minor = s.at[7] - '0';
	return s.at[5] == '1' && *minor <= 1 ? 0 : 505;
}

/* Told as soon as the first line is there: a client of HTTP/0.9 or HTTP/2 waits
 * for us and sends no empty line. */
static int check_first_line(struct str line)
{
	int minor;

	if (line.len > MAX_FIRST_LINE)
		return -414;
	if (str_starts(line, STR("HTTP/"))) /* an answer */
		return 0;
	if (line.len < VERSION_LEN)
		return -400;
	return -parse_version((struct str){line.at + line.len - VERSION_LEN, VERSION_LEN},
			      &minor);
}

/* No line break in sight: is it too long already? */
static int check_unfinished(struct str in, size_t start, size_t first)
{
	if (start == first && in.len - start > MAX_FIRST_LINE + 1)
		return -414;
	return in.len > HTTP_MAX_HEAD || in.len - start > MAX_FIRST_LINE + 2 ? -431 : 0;
}

/* Checks the line [start, lf]; true: go on with the next one. */
static bool next_line(struct str in, size_t start, size_t lf, size_t first, int *result)
{
	struct str line = {in.at + start, lf - start};

	*result = -400;
	if (line.len == 0 || line.at[line.len - 1] != '\r')
		return false;
	line.len--;
	if (start == first)
		*result = check_first_line(line);
	else
		*result = line.len == 0 ? (int)lf + 1 : 0;
	if (*result >= 0 && (lf + 1 > HTTP_MAX_HEAD || line.len > MAX_FIRST_LINE))
		*result = -431;
	return *result == 0;
}

/* Told at the first byte: TLS to a plain port, for example. */
static bool may_start(struct str in, size_t first)
{
	return first == in.len || in.at[first] == '\r' ||
	       (in.at[first] >= 'A' && in.at[first] <= 'Z');
}

int http_head_end(struct str in, size_t *scanned)
{
	size_t first = empty_lines(in);
	/* `*scanned` is always the start of a line. */
	size_t start = *scanned > first ? *scanned : first;
	int result;

	if (first > 2 * MAX_EMPTY_LINES || !may_start(in, first))
		return -400;
	while (start < in.len) {
		const char *lf = memchr(in.at + start, '\n', in.len - start);

		if (!lf)
			break;
		if (!next_line(in, start, (size_t)(lf - in.at), first, &result))
			return result;
		start = (size_t)(lf - in.at) + 1;
	}
	*scanned = start;
	return check_unfinished(in, start, first);
}

/* ---- fields ---- */

/* Not the table of fields: it is large, and only its first n_fields count. */
static void clear(struct http_head *head)
{
	memset(head, 0, offsetof(struct http_head, fields));
}

/* What the fields say about the message's framing. */
struct framing {
	unsigned hosts, lengths, encodings;
	bool chunked, close, keep_alive;
	struct str host;
};

/* Cuts one line off `in`, without its CRLF; false: there is none. */
static bool cut_line(struct str *in, struct str *line)
{
	const char *lf = in->len ? memchr(in->at, '\n', in->len) : NULL;
	size_t used;

	if (!lf || lf == in->at || lf[-1] != '\r')
		return false;
	*line = (struct str){in->at, (size_t)(lf - in->at) - 1};
	used = line->len + 2;
	in->at += used;
	in->len -= used;
	return true;
}

static int parse_field(struct str line, struct http_field *field)
{
	const char *colon = memchr(line.at, ':', line.len);

	if (line.len > HTTP_MAX_LINE)
		return 431;
	if (!colon)
		return 400;
	field->name = (struct str){line.at, (size_t)(colon - line.at)};
	field->value = (struct str){colon + 1, line.len - field->name.len - 1};
	if (!http_is_token(field->name) || !http_is_value(field->value))
		return 400;
	field->value = str_trim(field->value);
	return 0;
}

static int see_length(struct http_head *head, struct framing *f, struct str value)
{
	/* 18 digits always fit, and nobody sends more. */
	if (f->lengths++ > 0 || value.len > 18 || !str_u64(value, &head->content_length))
		return 400;
	return 0;
}

static int see_encoding(struct framing *f, struct str value)
{
	if (f->encodings++ > 0)
		return 400;
	f->chunked = str_ieq(value, STR("chunked"));
	return f->chunked ? 0 : 501;
}

static int see_host(struct framing *f, struct str value)
{
	if (f->hosts++ > 0)
		return 400;
	f->host = value;
	for (size_t i = 0; i < value.len; i++) {
		if (!http_char_is(value.at[i], HTTP_C_HOST))
			return 400;
	}
	return 0;
}

static int see_expect(struct http_head *head, struct str value)
{
	if (!str_ieq(value, STR("100-continue")))
		return 417;
	head->expect_continue = true;
	return 0;
}

/* Notes the fields that frame the message. */
static int see_field(struct http_head *head, struct framing *f,
		     const struct http_field *field)
{
	struct str name = field->name;

	if (str_ieq(name, STR("content-length")))
		return see_length(head, f, field->value);
	if (str_ieq(name, STR("transfer-encoding")))
		return see_encoding(f, field->value);
	if (str_ieq(name, STR("host")))
		return see_host(f, field->value);
	if (str_ieq(name, STR("expect")))
		return see_expect(head, field->value);
	if (str_ieq(name, STR("connection"))) {
		f->close |= http_list_has(field->value, "close");
		f->keep_alive |= http_list_has(field->value, "keep-alive");
	}
	return 0;
}

/* All lines up to the empty one, which must be the last. */
static int parse_fields(struct str in, struct http_head *head, struct framing *f)
{
	struct str line;

	while (cut_line(&in, &line)) {
		struct http_field *field = &head->fields[head->n_fields];
		int status;

		if (line.len == 0)
			return in.len == 0 ? 0 : 400;
		if (head->n_fields == HTTP_MAX_FIELDS)
			return 431;
		status = parse_field(line, field);
		if (status == 0)
			status = see_field(head, f, field);
		if (status != 0)
			return status;
		head->n_fields++;
	}
	return 400;
}

/* ---- requests ---- */

/* Visible ASCII, no fragment, well-formed escapes, no encoded NUL. */
static bool target_ok(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (c < 0x21 || c > 0x7e || c == '#')
			return false;
		if (c != '%')
			continue;
		if (s.len - i < 3 || http_hex_digit(s.at[i + 1]) < 0 ||
		    http_hex_digit(s.at[i + 2]) < 0 ||
		    (s.at[i + 1] == '0' && s.at[i + 2] == '0'))
			return false;
	}
	return s.len > 0;
}

static bool has_scheme(struct str target, struct str scheme)
{
	return target.len >= scheme.len &&
	       str_ieq((struct str){target.at, scheme.len}, scheme);
}

/* absolute-form: cuts scheme and authority off `target`. */
static bool cut_authority(struct str *target, struct str *authority)
{
	size_t skip = has_scheme(*target, STR("http://"))    ? 7
		      : has_scheme(*target, STR("https://")) ? 8
							     : 0;
	size_t len = 0;

	if (skip == 0)
		return false;
	target->at += skip;
	target->len -= skip;
	while (len < target->len && http_char_is(target->at[len], HTTP_C_HOST))
		len++;
	*authority = (struct str){target->at, len};
	target->at += len;
	target->len -= len;
	return len > 0 &&
	       (target->len == 0 || target->at[0] == '/' || target->at[0] == '?');
}

static bool split_target(struct http_head *head)
{
	struct str rest = head->target;
	const char *mark;

	if (!target_ok(rest))
		return false;
	if (head->method == HTTP_OPTIONS && str_eqz(rest, "*")) {
		head->path = rest;
		return true;
	}
	if (rest.at[0] != '/' && !cut_authority(&rest, &head->authority))
		return false;
	head->path = rest;
	mark = rest.len ? memchr(rest.at, '?', rest.len) : NULL;
	if (mark) {
		head->path.len = (size_t)(mark - rest.at);
		head->query = (struct str){mark + 1, rest.len - head->path.len - 1};
	}
	if (head->path.len == 0)
		head->path = STR("/");
	return true;
}

static bool find_method(struct str name, enum http_method_id *method)
{
	for (int i = 0; i < HTTP_METHODS; i++) {
		if (str_eqz(name, methods[i])) {
			*method = (enum http_method_id)i;
			return true;
		}
	}
	return false;
}

static size_t upper_case(struct str s)
{
	size_t n = 0;

	while (n < s.len && s.at[n] >= 'A' && s.at[n] <= 'Z')
		n++;
	return n;
}

/* METHOD SP target SP HTTP/1.x */
static int parse_request_line(struct str line, struct http_head *head)
{
	size_t method_len = upper_case(line);
	size_t fixed = method_len + 2 + VERSION_LEN; /* all but the target */
	bool known;
	int status;

	if (method_len == 0 || method_len > MAX_METHOD || line.len <= fixed ||
	    line.at[method_len] != ' ' || line.at[line.len - VERSION_LEN - 1] != ' ')
		return 400;
	status =
		parse_version((struct str){line.at + line.len - VERSION_LEN, VERSION_LEN},
			      &head->minor);
	if (status != 0)
		return status;
	head->target = (struct str){line.at + method_len + 1, line.len - fixed};
	if (head->target.len > HTTP_MAX_TARGET)
		return 414;
	known = find_method((struct str){line.at, method_len}, &head->method);
	if (!known)
		return target_ok(head->target) ? 501 : 400;
	return split_target(head) ? 0 : 400;
}

/* The rules that need more than one field. */
static int check_request(struct http_head *head, const struct framing *f)
{
	if (f->chunked && (f->lengths > 0 || head->minor == 0))
		return 400;
	if (f->hosts == 0 && head->minor > 0)
		return 400;
	if (head->authority.at && f->hosts > 0 && !str_ieq(head->authority, f->host))
		return 400;
	head->framing = f->chunked       ? HTTP_CHUNKED
			: f->lengths > 0 ? HTTP_LENGTH
					 : HTTP_NO_BODY;
	head->close = f->close || (head->minor == 0 && !f->keep_alive);
	return 0;
}

int http_parse_request(struct str head, struct http_head *out)
{
	struct framing f = {0};
	size_t skip = empty_lines(head);
	struct str line;
	int status;

	clear(out);
	head.at += skip;
	head.len -= skip;
	if (!cut_line(&head, &line))
		return 400;
	status = parse_request_line(line, out);
	if (status == 0)
		status = parse_fields(head, out, &f);
	return status != 0 ? status : check_request(out, &f);
}

/* ---- answers ---- */

/* HTTP/1.x SP ddd [SP reason] */
static bool parse_status_line(struct str line, struct http_head *head)
{
	uint64_t status;

	if (line.len < VERSION_LEN + 4 ||
	    parse_version((struct str){line.at, VERSION_LEN}, &head->minor) != 0 ||
	    line.at[VERSION_LEN] != ' ' ||
	    !str_u64((struct str){line.at + VERSION_LEN + 1, 3}, &status) ||
	    status < 100 || status > 599)
		return false;
	if (line.len > VERSION_LEN + 4 && line.at[VERSION_LEN + 4] != ' ')
		return false;
	head->status = (int)status;
	return http_is_value(line);
}

static enum http_framing response_framing(const struct http_head *head,
					  const struct framing *f, bool to_head)
{
	if (to_head || head->status < 200 || head->status == 204 || head->status == 304)
		return HTTP_NO_BODY;
	if (f->chunked)
		return HTTP_CHUNKED;
	return f->lengths > 0 ? HTTP_LENGTH : HTTP_UNTIL_CLOSE;
}

int http_parse_response(struct str head, bool to_head, struct http_head *out)
{
	struct framing f = {0};
	struct str line;

	clear(out);
	if (!cut_line(&head, &line) || !parse_status_line(line, out) ||
	    parse_fields(head, out, &f) != 0)
		return -1;
	if (f.chunked && (f.lengths > 0 || out->minor == 0))
		return -1;
	out->framing = response_framing(out, &f, to_head);
	out->close = f.close || (out->minor == 0 && !f.keep_alive) ||
		     out->framing == HTTP_UNTIL_CLOSE;
	return 0;
}
