/*
 * http_parse.h - strict HTTP/1.1 message parsing (RFC 9110, RFC 9112), pure.
 *
 * One parser for everything that reads HTTP from a socket: the gateway (both
 * sides), the guard in front of libevhtp, and http_client.  It refuses every
 * framing that two readers could understand differently.  Slices point into
 * the caller's buffer.
 */
#ifndef COMMON_HTTP_PARSE_H
#define COMMON_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define HTTP_MAX_HEAD   32768
#define HTTP_MAX_LINE   8000
#define HTTP_MAX_TARGET 8000
#define HTTP_MAX_FIELDS 100

enum http_method_id {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_METHODS
};
const char *http_method_name(enum http_method_id method);

enum http_framing {
	HTTP_NO_BODY,
	HTTP_LENGTH, /* content_length bytes */
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE /* responses only */
};

struct http_field {
	struct str name, value; /* value trimmed */
};

struct http_head {
	/* requests */
	enum http_method_id method;
	struct str target;      /* as received */
	struct str authority;   /* of an absolute-form target, else .at == NULL */
	struct str path, query; /* raw; query.at == NULL when there is no '?' */
	bool expect_continue;
	/* responses */
	int status;
	/* both */
	int minor; /* HTTP/1.minor */
	enum http_framing framing;
	uint64_t content_length;
	bool close; /* the connection ends after this message */
	unsigned n_fields;
	struct http_field fields[HTTP_MAX_FIELDS]; /* last, and only n_fields are set */
};

/* Where does the head at the start of `in` end (offset behind the empty line)?
 * 0: not complete yet; `*scanned` remembers how far it looked (start with 0).
 * Negative: refuse with that status (-400, -414, -431, -505) already now: bare
 * LF, HTTP/0.9, too long. */
int http_head_end(struct str in, size_t *scanned);

/* 0, or the status to refuse with: 400 405 414 417 431 501 505. `head` holds
 * everything up to and including the empty line. */
int http_parse_request(struct str head, struct http_head *out);
/* 0, or -1 for a malformed answer (the caller says 502). `to_head`: it answers a
 * HEAD request, so there is no body. 1xx answers parse with HTTP_NO_BODY. */
int http_parse_response(struct str head, bool to_head, struct http_head *out);

/* Value of the first field of that name; .at == NULL when absent. */
struct str http_field_get(const struct http_head *head, const char *name);
/* Is `token` in the comma-separated list (case-insensitive)? */
bool http_list_has(struct str list, const char *token);
/* Hop-by-hop (RFC 9110 section 7.6.1), or named in this head's Connection? Host,
 * Content-Length, Authorization, X-Forwarded-* and traceparent never count as
 * hop-by-hop, whatever Connection names. */
bool http_field_is_hop(const struct http_head *head, const struct http_field *field);
/* Is it one of these, whatever the case of its letters? The table ends with {NULL, 0}. */
bool http_name_in(struct str name, const struct str *names);
/* A token (RFC 9110 section 5.6.2)? A field value without CR, LF, NUL, controls? */
bool http_is_token(struct str s);
bool http_is_value(struct str s);

/* ---- chunked bodies ---- */

enum http_chunk_state {
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_CRLF,
	HTTP_CHUNK_TRAILER,
	HTTP_CHUNK_END
};

struct http_chunks {
	enum http_chunk_state state;
	uint64_t left;  /* of the current chunk */
	uint64_t total; /* data bytes so far */
	uint64_t max_total;
	unsigned tiny; /* chunks under 16 bytes, capped */
	size_t trailer;
};

void http_chunks_init(struct http_chunks *chunks, uint64_t max_total);
/* One step over `in`: returns the bytes consumed (0: needs more input) and, when
 * they are body data, sets `data` to them (else data->len = 0). Extensions and
 * trailers are checked and dropped. Negative: -400, -413, -431. */
int64_t http_chunks_step(struct http_chunks *chunks, struct str in, struct str *data);

/* ---- targets ---- */

/* Percent-decodes once, refuses %00, encoded slash and backslash, controls and
 * invalid UTF-8, resolves "." and "..", folds "//". `dst` holds path.len + 1
 * bytes. false: answer 400. */
bool http_path_normalise(struct str path, char *dst, size_t size, size_t *len);
/* Percent-encodes a normalised path again for forwarding (RFC 3986 pchar and "/"
 * stay). Returns the length, or 0 if it does not fit. */
size_t http_path_encode(struct str path, char *dst, size_t size);
/* Value of a query parameter, decoded ('+' is a space) into dst. false: absent
 * or malformed; `*malformed` tells which (may be NULL). */
bool http_query_get(struct str query, const char *name, char *dst, size_t size,
		    size_t *len, bool *malformed);

#endif
