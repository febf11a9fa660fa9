/*
 * http_stream.c - an answer without an end, for Server-Sent Events.
 *
 * The request is resumed after its head, so that libevhtp tells when the client
 * leaves.  A stream ends with its connection; everything that ends it is done
 * by the loop, so `closed` never runs inside a call of the owner.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http_internal.h"

/* The kernel would keep megabytes for a client that does not read, before the
 * limit of http_stream_send() sees anything of it. */
#define SOCKET_BUFFER 65536

struct http_stream {
	struct http_conn *conn; /* NULL: not there any more */
	loop_fn closed;
	void *arg;
	bool chunked;
	bool ending; /* by us, or it only answers a HEAD */
	bool begun;  /* its head is written; before, chunks wait in req->out */
	struct http_req *req;
};

void http_stream_gone(struct http_stream *stream)
{
	if (stream->conn)
		stream->conn->streaming = false;
	stream->closed(stream->arg);
	free(stream);
}

static void bound_socket(struct http_conn *conn)
{
	int size = SOCKET_BUFFER;

	setsockopt(bufferevent_getfd(conn->under), SOL_SOCKET, SO_SNDBUF, &size,
		   sizeof(size));
}

/* The server was freed before the stream began. */
static void on_stillborn(void *arg)
{
	http_stream_gone(arg);
}

struct http_stream *http_stream_start(struct http_req *req, const char *content_type,
				      loop_fn closed, void *arg)
{
	struct http_stream *stream = xcalloc(1, sizeof(*stream));
	struct http_fields fields = {
		.content_type = content_type, .length = -1, .close = true};

	stream->closed = closed;
	stream->arg = arg;
	stream->conn = req->conn;
	req->out = evbuffer_new();
	if (!req->conn) {
		loop_defer(req->loop, on_stillborn, stream);
		http_reply_finish(req, 200);
		return stream;
	}
	bound_socket(req->conn);
	stream->req = req;
	stream->chunked = req->msg->head.minor > 0;
	stream->ending = http_reply_to_head(req) || req->conn->eof;
	fields.chunked = stream->chunked;
	req->stream = stream;
	req->conn->streaming = true;
	http_reply_head(req, 200, &fields);
	http_reply_finish(req, 200);
	return stream;
}

void http_stream_begin(struct http_stream *stream)
{
	stream->begun = true;
	if (stream->ending)
		http_conn_end(stream->conn);
}

static struct evbuffer *output(struct http_stream *stream)
{
	return stream->begun ? bufferevent_get_output(stream->conn->filter)
			     : stream->req->out;
}

static size_t pending(struct http_stream *stream)
{
	return evbuffer_get_length(output(stream)) +
	       evbuffer_get_length(bufferevent_get_output(stream->conn->under));
}

bool http_stream_send(struct http_stream *stream, struct str chunk, size_t max_pending)
{
	struct evbuffer *out, *piece;

	if (!stream->conn || stream->ending || chunk.len == 0)
		return true;
	if (pending(stream) + chunk.len > max_pending)
		return false;
	out = output(stream);
	/* In one piece: each addition to a filter's output runs the filter. */
	piece = evbuffer_new();
	if (stream->chunked)
		evbuffer_add_printf(piece, "%zx\r\n", chunk.len);
	evbuffer_add(piece, chunk.at, chunk.len);
	if (stream->chunked)
		evbuffer_add(piece, "\r\n", 2);
	evbuffer_add_buffer(out, piece);
	evbuffer_free(piece);
	return true;
}

void http_stream_close(struct http_stream *stream)
{
	if (!stream->conn || stream->ending)
		return;
	stream->ending = true;
	if (stream->chunked)
		evbuffer_add(output(stream), "0\r\n\r\n", 5);
	if (!stream->begun)
		return;
	bufferevent_flush(stream->conn->filter, EV_WRITE, BEV_FLUSH);
	http_conn_end(stream->conn);
}
