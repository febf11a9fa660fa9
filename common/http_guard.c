/*
 * http_guard.c - what stands between the socket and libevhtp.
 *
 * Reads one request with the strict parser, collects its body (chunks undone),
 * and hands libevhtp a head that it cannot misread.  Bytes behind it wait until
 * the answer is written, so pipelined requests are answered one by one.  What
 * is malformed, too big or too slow gets a proper answer and a gentle close.
 */
#include <stdlib.h>

#include "http_internal.h"
#include "http_push.h"
#include "http_status.h"
#include "http_text.h"
#include "id.h"
#include "log.h"

void http_guard_refuse(struct http_conn *conn, int status)
{
	struct evbuffer *input = bufferevent_get_input(conn->under);
	char text[512], id[ID_HEX_LEN + 1];
	struct jw w;

	evbuffer_drain(input, evbuffer_get_length(input));
	if (conn->state == HTTP_CONN_ENDING)
		return;
	id_new(id);
	jw_init_fixed(&w, text, sizeof(text));
	http_problem_write(&w, &(struct http_problem){.status = status,
						      .code = http_problem_code(status),
						      .request_id = str_from(id)});
	evbuffer_add_printf(bufferevent_get_output(conn->under),
			    "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
			    "Content-Length: %zu\r\nX-Request-Id: %s\r\n%s"
			    "Connection: close\r\n\r\n" STR_FMT,
			    status, http_reason(status), jw_text(&w).len, id,
			    status == 503 ? "Retry-After: 1\r\n" : "",
			    STR_ARG(jw_text(&w)));
	log_debug("request refused", LOG_INT("status", status),
		  LOG_STR("request_id", id));
	http_stats_count(conn->server, http_stats_of(conn->server, NULL), status, 0);
	http_conn_end(conn);
}

/* Hands the request over. The target is always "/" and the only fields are Host
 * and Content-Length: nothing to misread. Handlers read our own parse. */
static void hand_over(struct http_conn *conn, struct evbuffer *dst)
{
	size_t len = conn->body ? evbuffer_get_length(conn->body) : 0;

	struct http_text w = {.out = dst};

	http_text_add(&w, str_from(http_method_name(conn->msg->head.method)));
	http_text_add(&w, STR(" / HTTP/1.1\r\nHost: x\r\n"));
	http_text_length(&w, len);
	http_text_add(&w, STR("\r\n"));
	http_text_end(&w);
	if (len > 0)
		evbuffer_add_buffer(dst, conn->body);
	conn->state = HTTP_CONN_BUSY;
	conn->begun = false;
	loop_timer_stop(conn->timer);
}

static bool says_continue(const struct http_head *head)
{
	return head->expect_continue && head->minor > 0 &&
	       (head->framing == HTTP_CHUNKED || head->content_length > 0);
}

/* The head is good: what comes next? */
static void begin_body(struct http_conn *conn, struct evbuffer *src)
{
	const struct http_head *head = &conn->msg->head;
	size_t max = conn->server->limits.max_body;

	if (head->framing == HTTP_LENGTH && head->content_length > max) {
		http_guard_refuse(conn, 413);
		return;
	}
	conn->left = head->framing == HTTP_LENGTH ? head->content_length : 0;
	conn->state = head->framing == HTTP_CHUNKED ? HTTP_CONN_CHUNKS : HTTP_CONN_LENGTH;
	http_chunks_init(&conn->chunks, max);
	if (head->framing == HTTP_NO_BODY ||
	    (head->framing == HTTP_LENGTH && !conn->left))
		return;
	if (!conn->body)
		conn->body = evbuffer_new();
	http_conn_timer(conn, conn->server->limits.body_s);
	if (says_continue(head) && evbuffer_get_length(src) == 0) {
		http_push_begin(conn->under);
		evbuffer_add_printf(bufferevent_get_output(conn->under),
				    "HTTP/1.1 100 Continue\r\n\r\n");
		http_push_end(conn->under, false);
	}
}

/* true: there is more to do. */
static bool read_head(struct http_conn *conn, struct evbuffer *src)
{
	size_t len = evbuffer_get_length(src);
	struct str in = {(const char *)evbuffer_pullup(src, -1), len};
	int end = http_head_end(in, &conn->scanned);
	int status;

	if (end == 0 && !conn->begun) {
		conn->begun = true;
		http_conn_timer(conn, conn->server->limits.head_s);
	}
	if (end < 0)
		http_guard_refuse(conn, -end);
	if (end <= 0)
		return false;
	conn->begun = true;
	conn->scanned = 0;
	/* The parser sets the head, whose table of fields is large. */
	conn->msg = xrealloc(NULL, sizeof(*conn->msg) + (size_t)end);
	evbuffer_remove(src, conn->msg->text, (size_t)end);
	status = http_parse_request((struct str){conn->msg->text, (size_t)end},
				    &conn->msg->head);
	if (status != 0)
		http_guard_refuse(conn, status);
	else
		begin_body(conn, src);
	return conn->state != HTTP_CONN_ENDING;
}

static bool read_length(struct http_conn *conn, struct evbuffer *src,
			struct evbuffer *dst)
{
	int moved = 0;

	if (conn->left > 0)
		moved = evbuffer_remove_buffer(src, conn->body, (size_t)conn->left);
	conn->left -= moved > 0 ? (uint64_t)moved : 0;
	if (conn->left > 0)
		return false;
	hand_over(conn, dst);
	return true;
}

static bool read_chunks(struct http_conn *conn, struct evbuffer *src,
			struct evbuffer *dst)
{
	struct str in = {(const char *)evbuffer_pullup(src, -1),
			 evbuffer_get_length(src)};
	size_t used = 0;
	int64_t n = 1;

	while (n > 0 && conn->chunks.state != HTTP_CHUNK_END) {
		struct str data;

		n = http_chunks_step(&conn->chunks,
				     (struct str){in.at + used, in.len - used}, &data);
		used += n > 0 ? (size_t)n : 0;
		if (data.len > 0)
			evbuffer_add(conn->body, data.at, data.len);
	}
	evbuffer_drain(src, used);
	if (n < 0)
		http_guard_refuse(conn, (int)-n);
	if (n < 0 || conn->chunks.state != HTTP_CHUNK_END)
		return false;
	hand_over(conn, dst);
	return true;
}

static bool step(struct http_conn *conn, struct evbuffer *src, struct evbuffer *dst)
{
	bool empty = evbuffer_get_length(src) == 0;

	switch (conn->state) {
	case HTTP_CONN_HEAD: return !empty && read_head(conn, src);
	case HTTP_CONN_LENGTH: return read_length(conn, src, dst);
	case HTTP_CONN_CHUNKS: return !empty && read_chunks(conn, src, dst);
	case HTTP_CONN_BUSY: break;
	case HTTP_CONN_ENDING: evbuffer_drain(src, evbuffer_get_length(src)); break;
	}
	return false;
}

enum bufferevent_filter_result http_guard_in(struct evbuffer *src, struct evbuffer *dst,
					     ev_ssize_t limit,
					     enum bufferevent_flush_mode mode, void *arg)
{
	struct http_conn *conn = arg;
	size_t before = evbuffer_get_length(dst);

	(void)limit;
	(void)mode;
	if (!conn->ev || !conn->server)
		return BEV_NEED_MORE;
	while (step(conn, src, dst))
		;
	return evbuffer_get_length(dst) > before ? BEV_OK : BEV_NEED_MORE;
}

/* BEV_OK without having moved anything would call libevhtp's write callback,
 * which frees a connection that has no request. */
enum bufferevent_filter_result http_guard_out(struct evbuffer *src, struct evbuffer *dst,
					      ev_ssize_t limit,
					      enum bufferevent_flush_mode mode, void *arg)
{
	size_t len = evbuffer_get_length(src);

	(void)arg;
	if (len == 0)
		return BEV_NEED_MORE;
	if (mode == BEV_NORMAL && limit >= 0 && (size_t)limit < len)
		len = (size_t)limit;
	return evbuffer_remove_buffer(src, dst, len) > 0 ? BEV_OK : BEV_NEED_MORE;
}
