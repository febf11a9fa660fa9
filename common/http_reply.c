/*
 * http_reply.c - writes answers.
 *
 * The whole answer is ours, status line to body, and goes out as libevhtp's
 * "body": its own heads add Content-Length to a 204, know no 429 and no Date.
 * It is sent on the next turn of the loop, because libevhtp loses pipelined
 * requests when an answer comes from inside its parser; then it is resumed, in
 * this order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "http_internal.h"
#include "http_push.h"
#include "http_status.h"
#include "http_text.h"
#include "log.h"
#include "timeutil.h"

bool http_reply_to_head(const struct http_req *req)
{
	return req->msg->head.method == HTTP_HEAD;
}

/* Old clients too: keeping their connections is not worth its rules. */
bool http_reply_closes(const struct http_req *req)
{
	return req->msg->head.close || req->msg->head.minor == 0 ||
	       http_conn_at_end(req->conn) || req->conn->server->draining;
}

static void write_head(struct http_text *w, struct http_req *req, int status,
		       const struct http_fields *fields)
{
	http_text_add(w, STR("HTTP/1.1 "));
	http_text_number(w, (uint64_t)status);
	http_text_add(w, STR(" "));
	http_text_add(w, str_from(http_reason(status)));
	http_text_add(w, STR("\r\n"));
	http_text_field(w, STR("Date"), http_date(&req->conn->server->date));
	http_text_field(w, STR("X-Request-Id"), str_from(req->id));
	if (req->conn->server->limits.served_by)
		http_text_field(w, STR("X-Served-By"),
				str_from(req->conn->server->limits.served_by));
	if (fields->content_type)
		http_text_field(w, STR("Content-Type"), str_from(fields->content_type));
	if (fields->length >= 0)
		http_text_length(w, (uint64_t)fields->length);
	if (fields->chunked)
		http_text_field(w, STR("Transfer-Encoding"), STR("chunked"));
	if (fields->close)
		http_text_field(w, STR("Connection"), STR("close"));
	http_text_add(w, (struct str){req->headers, req->headers_len});
	http_text_add(w, STR("\r\n"));
}

void http_reply_head(struct http_req *req, int status, const struct http_fields *fields)
{
	struct http_text w = {.out = req->out};

	write_head(&w, req, status, fields);
	http_text_end(&w);
}

static void log_reply(struct http_req *req, uint64_t us)
{
	/* A listener without statistics is an admin one: its 503s are answers, not
	 * trouble, and probes ask every second. */
	bool trouble = req->status >= 500 && req->stats;
	enum log_level level = trouble ? LOG_WARN : LOG_DEBUG;

	LOG_AT(level, "request", LOG_SLICE("method", http_method(req)),
	       LOG_SLICE("path", req->path), LOG_INT("status", req->status),
	       LOG_INT("us", us), LOG_STR("request_id", req->id),
	       LOG_STR("action", req->action ? req->action : ""));
}

/* The loop's turn: send, then resume. */
static void on_send(void *arg)
{
	struct http_req *req = arg;
	evhtp_request_t *ev = req->ev;

	req->sending = false;
	if (!req->conn) { /* the server went in between */
		http_request_free(req);
		return;
	}
	if (req->stream || !http_reply_closes(req))
		evhtp_request_enable_flag(ev, EVHTP_REQ_FLAG_KEEPALIVE);
	else
		evhtp_request_disable_flag(ev, EVHTP_REQ_FLAG_KEEPALIVE);
	http_push_begin(req->conn->under);
	evhtp_send_reply_body(ev, req->out);
	/* What did not fit under the filter's limit follows from the loop. */
	http_push_end(req->conn->under,
		      req->stream || evbuffer_get_length(bufferevent_get_output(
					     req->conn->filter)) > 0);
	if (req->stream)
		http_stream_begin(req->stream);
	else
		evhtp_send_reply_end(ev);
	evhtp_request_resume(ev);
}

void http_reply_finish(struct http_req *req, int status)
{
	uint64_t us = time_mono_us() - req->start_us;

	req->replied = true;
	req->status = status;
	log_reply(req, us);
	if (req->conn)
		http_stats_count(req->conn->server, req->stats, status, us);
	req->sending = true;
	loop_defer(req->loop, on_send, req);
}

void http_set_header(struct http_req *req, const char *name, const char *value)
{
	size_t more;

	if (!http_is_token(str_from(name)) || !http_is_value(str_from(value))) {
		log_warn("header dropped: bad character", LOG_STR("name", name),
			 LOG_STR("request_id", req->id));
		return;
	}
	more = strlen(name) + strlen(value) + 4;
	req->headers = xrealloc(req->headers, req->headers_len + more + 1);
	snprintf(req->headers + req->headers_len, more + 1, "%s: %s\r\n", name, value);
	req->headers_len += more;
}

static bool bodiless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

void http_reply(struct http_req *req, int status, const char *content_type,
		struct str body)
{
	struct http_fields fields = {.content_type = content_type,
				     .length = (int64_t)body.len};

	req->out = evbuffer_new();
	if (bodiless(status)) {
		fields.content_type = NULL;
		fields.length = -1;
		body.len = 0;
	}
	if (req->conn) {
		fields.close = http_reply_closes(req);
		http_reply_head(req, status, &fields);
	}
	if (body.len > 0 && !http_reply_to_head(req))
		evbuffer_add(req->out, body.at, body.len);
	http_reply_finish(req, status);
}

void http_reply_json(struct http_req *req, int status, struct str json)
{
	http_reply(req, status, "application/json", json);
}

void http_reply_jw(struct http_req *req, int status, struct jw *w)
{
	struct err err;

	if (jw_ok(w)) {
		http_reply_json(req, status, jw_text(w));
	} else {
		err_set(&err, ERR_INTERNAL, "the answer is too big or malformed");
		http_reply_err(req, &err);
	}
	jw_fini(w);
}

void http_reply_empty(struct http_req *req, int status)
{
	http_reply(req, status, NULL, STR_NONE);
}

/* Statuses that have no error code of their own. */
int http_err_status(const struct err *err)
{
	static const struct {
		const char *slug;
		int status;
	} special[] = {
		{"method_not_allowed", 405},
		{"content_too_large", 413},
		{"unsupported_media_type", 415},
		{"too_many_requests", 429},
	};

	for (size_t i = 0; i < ARRAY_LEN(special); i++) {
		if (strcmp(err->slug, special[i].slug) == 0)
			return special[i].status;
	}
	return err_status(err->code);
}

int http_err_write(struct http_req *req, struct jw *w, const struct err *err)
{
	bool internal = err->code == ERR_INTERNAL;
	struct http_problem problem = {.status = http_err_status(err),
				       .code = err->slug[0] ? err->slug
							    : err_default_slug(err->code),
				       .detail = internal ? "internal error" : err->text,
				       .field = err->field,
				       .request_id = str_from(req->id)};

	if (internal)
		log_error("request failed", LOG_STR("why", err->text),
			  LOG_STR("request_id", req->id),
			  LOG_STR("action", req->action ? req->action : ""));
	http_problem_write(w, &problem);
	return problem.status;
}

void http_reply_err(struct http_req *req, const struct err *err)
{
	char text[2048], seconds[16];
	struct jw w;
	int status;

	if (err->retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%u", err->retry_after_s);
		http_set_header(req, "Retry-After", seconds);
	}
	jw_init_fixed(&w, text, sizeof(text));
	status = http_err_write(req, &w, err);
	http_reply(req, status, "application/problem+json", jw_text(&w));
}
