/*
 * headers.c - write heads anew instead of patching those that came.
 *
 * What a client says about itself (X-User-*, X-Forwarded-*) never reaches a
 * service; neither do names with '_', which some readers take for '-'.
 * X-Forwarded-For is written anew: whom a trusted proxy speaks for, then the peer.
 */
#include "headers.h"

#include "cache_rules.h"
#include "client.h"
#include "http_status.h"
#include "http_text.h"

static bool starts_ignoring_case(struct str s, struct str head)
{
	return s.len >= head.len && str_ieq((struct str){s.at, head.len}, head);
}

bool headers_may_pass(const struct http_head *head, const struct http_field *field)
{
	static const struct str own[] = {STR_INIT("Host"),
					 STR_INIT("Content-Length"),
					 STR_INIT("Transfer-Encoding"),
					 STR_INIT("Expect"),
					 STR_INIT("Forwarded"),
					 STR_INIT("X-Request-Id"),
					 STR_INIT("X-Real-IP"),
					 STR_INIT("traceparent"),
					 STR_INIT("Proxy"),
					 STR_INIT("Upgrade"),
					 STR_INIT("TE"),
					 STR_INIT("Trailer"),
					 {NULL, 0}};
	struct str name = field->name;

	if (memchr(name.at, '_', name.len) || http_name_in(name, own))
		return false;
	if (starts_ignoring_case(name, STR("X-User-")) ||
	    starts_ignoring_case(name, STR("X-Forwarded-")))
		return false;
	return !http_field_is_hop(head, field);
}

struct str headers_host(const struct exchange *x)
{
	return x->head.authority.at ? x->head.authority
				    : http_field_get(&x->head, "Host");
}

static struct str host_of(const struct exchange *x, const char *authority)
{
	struct str host = headers_host(x);

	return host.len ? host : str_from(authority);
}

static void add_framing(const struct http_head *head, struct http_text *w)
{
	bool wants_length = head->method == HTTP_POST || head->method == HTTP_PUT ||
			    head->method == HTTP_PATCH;

	if (head->framing == HTTP_CHUNKED)
		http_text_add(w, STR("Transfer-Encoding: chunked\r\n"));
	else if (head->framing == HTTP_LENGTH || wants_length)
		http_text_length(w, head->content_length);
}

static void add_forwarded_for(const struct exchange *x, struct http_text *w)
{
	struct str from = str_from(x->from), peer = str_from(x->client->peer);

	http_text_add(w, STR("X-Forwarded-For: "));
	if (!str_eq(from, peer)) {
		http_text_add(w, from);
		http_text_add(w, STR(", "));
	}
	http_text_add(w, peer);
	http_text_add(w, STR("\r\n"));
}

void headers_request(const struct exchange *x, const char *authority,
		     struct evbuffer *out)
{
	struct http_text text = {.out = out}, *w = &text;
	const struct http_head *head = &x->head;

	http_text_add(w, str_from(http_method_name(head->method)));
	http_text_add(w, STR(" "));
	http_text_add(w, str_from(x->path));
	if (head->query.at) {
		http_text_add(w, STR("?"));
		http_text_add(w, head->query);
	}
	http_text_add(w, STR(" HTTP/1.1\r\n"));
	http_text_field(w, STR("Host"), host_of(x, authority));
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		bool state = str_ieq(field->name, STR("tracestate"));

		if (headers_may_pass(head, field) && (!state || x->trace_kept) &&
		    !(x->fills && cache_fetch_drops(field->name)))
			http_text_field(w, field->name, field->value);
	}
	add_framing(head, w);
	add_forwarded_for(x, w);
	http_text_field(w, STR("X-Forwarded-Proto"), STR("http"));
	http_text_field(w, STR("X-Request-Id"), str_from(x->request_id));
	http_text_field(w, STR("traceparent"), str_from(x->traceparent));
	http_text_add(w, STR("\r\n"));
	http_text_end(w);
}

/* ---- answers ---- */

bool headers_origin_ok(const char *origins, struct str origin)
{
	struct str rest = str_from(origins);

	while (rest.len > 0) {
		const char *comma = memchr(rest.at, ',', rest.len);
		size_t len = comma ? (size_t)(comma - rest.at) : rest.len;

		if (str_eq(str_trim((struct str){rest.at, len}), origin))
			return true;
		rest.at += comma ? len + 1 : len;
		rest.len -= comma ? len + 1 : len;
	}
	return false;
}

static void add_cors(const struct exchange *x, struct http_text *w)
{
	const char *origins = x->worker->app->settings.cors_origins;
	struct str origin = http_field_get(&x->head, "Origin");

	if (!*origins || x->client->listener != LISTENER_PUBLIC)
		return;
	http_text_add(w, STR("Vary: Origin\r\n"));
	if (!origin.at || !headers_origin_ok(origins, origin))
		return;
	http_text_field(w, STR("Access-Control-Allow-Origin"), origin);
	http_text_add(w, STR("Access-Control-Expose-Headers: "
			     "Age, ETag, Idempotency-Replayed, Location, Retry-After, "
			     "Warning, X-Request-Id, X-Served-By\r\n"));
	if (x->head.method == HTTP_OPTIONS)
		http_text_add(
			w, STR("Access-Control-Allow-Methods: "
			       "GET, POST, PUT, PATCH, DELETE\r\n"
			       "Access-Control-Allow-Headers: Authorization, "
			       "Cache-Control, Content-Type, Idempotency-Key, If-Match, "
			       "If-None-Match, X-Request-Id, traceparent\r\n"
			       "Access-Control-Max-Age: 600\r\n"));
}

void headers_common(const struct exchange *x, struct http_text *w)
{
	add_cors(x, w);
	if (x->request_id[0])
		http_text_field(w, STR("X-Request-Id"), str_from(x->request_id));
	if (x->traceparent[0])
		http_text_field(w, STR("traceparent"), str_from(x->traceparent));
	if (x->close)
		http_text_add(w, STR("Connection: close\r\n"));
}

bool headers_answer_may_pass(const struct http_head *head, const struct http_field *field)
{
	static const struct str own[] = {
		STR_INIT("Content-Length"), STR_INIT("Transfer-Encoding"),
		STR_INIT("X-Request-Id"),   STR_INIT("traceparent"),
		STR_INIT("Trailer"),        {NULL, 0}};

	return !http_name_in(field->name, own) && !http_field_is_hop(head, field);
}

static void add_answer_framing(const struct exchange *x, struct http_text *w)
{
	const struct http_head *head = &x->answer_head;
	struct str length = http_field_get(head, "Content-Length");
	uint64_t n;

	if (x->answer.out_chunked)
		http_text_add(w, STR("Transfer-Encoding: chunked\r\n"));
	else if (head->framing == HTTP_LENGTH)
		http_text_length(w, head->content_length);
	else if (x->head.method == HTTP_HEAD && str_u64(length, &n))
		http_text_field(w, STR("Content-Length"), length);
}

void headers_answer(const struct exchange *x, struct evbuffer *out)
{
	struct http_text text = {.out = out}, *w = &text;
	const struct http_head *head = &x->answer_head;

	http_text_add(w, STR("HTTP/1.1 "));
	http_text_number(w, (uint64_t)head->status);
	http_text_add(w, STR(" "));
	http_text_add(w, str_from(http_reason(head->status)));
	http_text_add(w, STR("\r\n"));
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (headers_answer_may_pass(head, &head->fields[i]))
			http_text_field(w, head->fields[i].name, head->fields[i].value);
	}
	add_answer_framing(x, w);
	headers_common(x, w);
	http_text_add(w, STR("\r\n"));
	http_text_end(w);
}
