/* reply.c - early answers, in the same form as those of the services. */
#include "reply.h"

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

static void add_start(struct worker *worker, struct http_text *w,
		      const struct reply *reply, size_t body_len)
{
	http_text_add(w, STR("HTTP/1.1 "));
	http_text_number(w, (uint64_t)reply->status);
	http_text_add(w, STR(" "));
	http_text_add(w, str_from(http_reason(reply->status)));
	http_text_add(w, STR("\r\n"));
	http_text_field(w, STR("Date"), http_date(&worker->date));
	if (reply->status != 204) {
		http_text_add(w, STR("Content-Type: application/problem+json\r\n"));
		http_text_length(w, body_len);
	}
	if (reply->status == 401)
		http_text_add(w, STR("WWW-Authenticate: Bearer\r\n"));
	if (reply->allow)
		http_text_field(w, STR("Allow"), str_from(reply->allow));
	if (reply->retry_after_s) {
		http_text_add(w, STR("Retry-After: "));
		http_text_number(w, reply->retry_after_s);
		http_text_add(w, STR("\r\n"));
	}
}

void reply_send(struct exchange *x, const struct reply *reply)
{
	struct http_text text = {.out = x->client->sock.out}, *w = &text;
	char buf[BODY_MAX];
	struct str body = STR("");

	if (!x->request_id[0])
		id_new(x->request_id);
	if (reply->status != 204)
		body = problem(reply, x->request_id, buf);
	x->status = reply->status;
	x->close = exchange_must_close(x);
	add_start(x->worker, w, reply, body.len);
	headers_common(x, w);
	http_text_add(w, STR("\r\n"));
	if (x->head.method != HTTP_HEAD)
		http_text_add(w, body);
	http_text_end(w);
	x->bytes_out += body.len;
}

void reply_bad_head(struct client *client, int status)
{
	const struct reply reply = {.status = status,
				    .retry_after_s = status == 503 ? 1 : 0};
	struct http_text text = {.out = client->sock.out}, *w = &text;
	char id[ID_HEX_LEN + 1];
	char buf[BODY_MAX];
	struct str body;

	id_new(id);
	body = problem(&reply, id, buf);
	add_start(client->worker, w, &reply, body.len);
	http_text_field(w, STR("X-Request-Id"), str_from(id));
	http_text_add(w, STR("Connection: close\r\n\r\n"));
	http_text_add(w, body);
	http_text_end(w);
	log_info("refused", LOG_STR("request_id", id), LOG_STR("peer", client->peer),
		 LOG_INT("status", status));
}
