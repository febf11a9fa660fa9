/*
 * headers.c - write heads anew instead of patching those that came.
 *
 * What a client says about itself (X-User-*, X-Forwarded-*) never reaches a
 * service; neither do names with '_', which some readers take for '-'.
 */
#include "headers.h"

#include "client.h"
#include "http_status.h"

static bool starts_ignoring_case(struct str s, struct str head)
{
	return s.len >= head.len && str_ieq((struct str){s.at, head.len}, head);
}

static bool is_one_of(struct str name, const char *const *names)
{
	for (; *names; names++) {
		if (str_ieq(name, str_from(*names)))
			return true;
	}
	return false;
}

bool headers_may_pass(const struct http_head *head, const struct http_field *field)
{
	static const char *const own[] = {"Host",
					  "Content-Length",
					  "Transfer-Encoding",
					  "Expect",
					  "Forwarded",
					  "X-Request-Id",
					  "X-Real-IP",
					  "traceparent",
					  "Proxy",
					  "Upgrade",
					  "TE",
					  "Trailer",
					  NULL};
	struct str name = field->name;

	if (memchr(name.at, '_', name.len) || is_one_of(name, own))
		return false;
	if (starts_ignoring_case(name, STR("X-User-")) ||
	    starts_ignoring_case(name, STR("X-Forwarded-")))
		return false;
	return !http_field_is_hop(head, field);
}

static void add_text(struct evbuffer *out, struct str text)
{
	evbuffer_add(out, text.at, text.len);
}

static void add_field(struct evbuffer *out, struct str name, struct str value)
{
	add_text(out, name);
	add_text(out, STR(": "));
	add_text(out, value);
	add_text(out, STR("\r\n"));
}

static struct str host_of(const struct exchange *x, const char *authority)
{
	struct str host = x->head.authority.at ? x->head.authority
					       : http_field_get(&x->head, "Host");

	return host.len ? host : str_from(authority);
}

static void add_framing(const struct http_head *head, struct evbuffer *out)
{
	bool wants_length = head->method == HTTP_POST || head->method == HTTP_PUT ||
			    head->method == HTTP_PATCH;

	if (head->framing == HTTP_CHUNKED)
		add_text(out, STR("Transfer-Encoding: chunked\r\n"));
	else if (head->framing == HTTP_LENGTH || wants_length)
		evbuffer_add_printf(out, "Content-Length: %llu\r\n",
				    (unsigned long long)head->content_length);
}

void headers_request(const struct exchange *x, const char *authority,
		     struct evbuffer *out)
{
	const struct http_head *head = &x->head;

	add_text(out, str_from(http_method_name(head->method)));
	add_text(out, STR(" "));
	add_text(out, str_from(x->path));
	if (head->query.at) {
		add_text(out, STR("?"));
		add_text(out, head->query);
	}
	add_text(out, STR(" HTTP/1.1\r\n"));
	add_field(out, STR("Host"), host_of(x, authority));
	for (unsigned i = 0; i < head->n_fields; i++) {
		const struct http_field *field = &head->fields[i];
		bool state = str_ieq(field->name, STR("tracestate"));

		if (headers_may_pass(head, field) && (!state || x->trace_kept))
			add_field(out, field->name, field->value);
	}
	add_framing(head, out);
	add_field(out, STR("X-Forwarded-For"), str_from(x->client->peer));
	add_field(out, STR("X-Forwarded-Proto"), STR("http"));
	add_field(out, STR("X-Request-Id"), str_from(x->request_id));
	add_field(out, STR("traceparent"), str_from(x->traceparent));
	add_text(out, STR("\r\n"));
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

static void add_cors(const struct exchange *x, struct evbuffer *out)
{
	const char *origins = x->worker->app->settings.cors_origins;
	struct str origin = http_field_get(&x->head, "Origin");

	if (!*origins || x->client->listener != LISTENER_PUBLIC)
		return;
	add_text(out, STR("Vary: Origin\r\n"));
	if (!origin.at || !headers_origin_ok(origins, origin))
		return;
	add_field(out, STR("Access-Control-Allow-Origin"), origin);
	add_text(out, STR("Access-Control-Expose-Headers: "
			  "ETag, Location, Retry-After, X-Request-Id\r\n"));
	if (x->head.method == HTTP_OPTIONS)
		add_text(out,
			 STR("Access-Control-Allow-Methods: "
			     "GET, POST, PUT, PATCH, DELETE\r\n"
			     "Access-Control-Allow-Headers: Authorization, Content-Type, "
			     "Idempotency-Key, If-Match, X-Request-Id\r\n"
			     "Access-Control-Max-Age: 600\r\n"));
}

void headers_common(const struct exchange *x, struct evbuffer *out)
{
	add_cors(x, out);
	if (x->request_id[0])
		add_field(out, STR("X-Request-Id"), str_from(x->request_id));
	if (x->traceparent[0])
		add_field(out, STR("traceparent"), str_from(x->traceparent));
	if (x->close)
		add_text(out, STR("Connection: close\r\n"));
}

static bool answer_may_pass(const struct http_head *head, const struct http_field *field)
{
	static const char *const own[] = {"Content-Length", "Transfer-Encoding",
					  "X-Request-Id",   "traceparent",
					  "Trailer",        NULL};

	return !is_one_of(field->name, own) && !http_field_is_hop(head, field);
}

static void add_answer_framing(const struct exchange *x, struct evbuffer *out)
{
	const struct http_head *head = &x->answer_head;
	struct str length = http_field_get(head, "Content-Length");
	uint64_t n;

	if (x->answer.out_chunked)
		add_text(out, STR("Transfer-Encoding: chunked\r\n"));
	else if (head->framing == HTTP_LENGTH)
		evbuffer_add_printf(out, "Content-Length: %llu\r\n",
				    (unsigned long long)head->content_length);
	else if (x->head.method == HTTP_HEAD && str_u64(length, &n))
		add_field(out, STR("Content-Length"), length);
}

void headers_answer(const struct exchange *x, struct evbuffer *out)
{
	const struct http_head *head = &x->answer_head;

	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", head->status,
			    http_reason(head->status));
	for (unsigned i = 0; i < head->n_fields; i++) {
		if (answer_may_pass(head, &head->fields[i]))
			add_field(out, head->fields[i].name, head->fields[i].value);
	}
	add_answer_framing(x, out);
	headers_common(x, out);
	add_text(out, STR("\r\n"));
}
