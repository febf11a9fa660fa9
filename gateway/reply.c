/* reply.c - early answers, in the same form as those of the services. */
#include "reply.h"

#include <time.h>

#include "client.h"
#include "headers.h"
#include "http_status.h"
#include "id.h"
#include "jw.h"
#include "log.h"

#define BODY_MAX 2048

struct usual {
	int status;
	const char *slug, *detail;
};

static const struct usual *usual_of(int status)
{
	static const struct usual table[] = {
		{400, "bad_request", "malformed HTTP request"},
		{405, "method_not_allowed", "this method is not answered"},
		{408, "request_timeout", "the request did not arrive in time"},
		{413, "content_too_large", "the body is larger than this path takes"},
		{414, "uri_too_long", "the request target is too long"},
		{417, "expectation_failed", "only 100-continue can be expected"},
		{431, "header_too_large", "the header fields are too large"},
		{501, "not_implemented", "this method or coding is not implemented"},
		{503, "overloaded", "too many connections"},
		{505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken"},
		{500, "internal", "internal error"},
	};
	size_t i = 0;

	while (i + 1 < sizeof(table) / sizeof(table[0]) && table[i].status != status)
		i++;
	return &table[i];
}

static struct str problem(const struct reply *reply, const char *request_id, char *buf)
{
	const struct usual *usual = usual_of(reply->status);
	struct jw w;

	jw_init_fixed(&w, buf, BODY_MAX);
	jw_object(&w);
	jw_kstrz(&w, "type", "about:blank");
	jw_kstrz(&w, "title", http_reason(reply->status));
	jw_kint(&w, "status", reply->status);
	jw_kstrz(&w, "detail", reply->detail ? reply->detail : usual->detail);
	jw_kstrz(&w, "code", reply->slug ? reply->slug : usual->slug);
	jw_kstrz(&w, "request_id", request_id);
	jw_end(&w);
	return jw_text(&w);
}

static void add_start(struct evbuffer *out, const struct reply *reply, size_t body_len)
{
	char date[40];
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", reply->status,
			    http_reason(reply->status), date);
	if (reply->status != 204)
		evbuffer_add_printf(out,
				    "Content-Type: application/problem+json\r\n"
				    "Content-Length: %zu\r\n",
				    body_len);
	if (reply->status == 401)
		evbuffer_add_printf(out, "WWW-Authenticate: Bearer\r\n");
	if (reply->allow)
		evbuffer_add_printf(out, "Allow: %s\r\n", reply->allow);
	if (reply->retry_after_s)
		evbuffer_add_printf(out, "Retry-After: %u\r\n", reply->retry_after_s);
}

void reply_send(struct exchange *x, const struct reply *reply)
{
	struct evbuffer *out = x->client->sock.out;
	struct http_text text = {.out = out};
	char buf[BODY_MAX];
	struct str body = STR("");

	if (!x->request_id[0])
		id_new(x->request_id);
	if (reply->status != 204)
		body = problem(reply, x->request_id, buf);
	x->status = reply->status;
	x->close = exchange_must_close(x);
	add_start(out, reply, body.len);
	headers_common(x, &text);
	http_text_end(&text);
	evbuffer_add(out, "\r\n", 2);
	if (x->head.method != HTTP_HEAD)
		evbuffer_add(out, body.at, body.len);
	x->bytes_out += body.len;
}

void reply_bad_head(struct client *client, int status)
{
	const struct reply reply = {.status = status,
				    .retry_after_s = status == 503 ? 1 : 0};
	struct evbuffer *out = client->sock.out;
	char id[ID_HEX_LEN + 1];
	char buf[BODY_MAX];
	struct str body;

	id_new(id);
	body = problem(&reply, id, buf);
	add_start(out, &reply, body.len);
	evbuffer_add_printf(out, "X-Request-Id: %s\r\nConnection: close\r\n\r\n", id);
	evbuffer_add(out, body.at, body.len);
	log_info("refused", LOG_STR("request_id", id), LOG_STR("peer", client->peer),
		 LOG_INT("status", status));
}
