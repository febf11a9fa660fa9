/* body.c - decode, check and re-frame a body on its way through. */
#include "body.h"

#include <stdlib.h>

void body_init(struct body *body, const struct http_head *head, uint64_t max,
	       bool out_chunked)
{
	body->framing = head->framing;
	body->left = head->framing == HTTP_LENGTH ? head->content_length : 0;
	body->out_chunked = out_chunked;
	body->done = head->framing == HTTP_NO_BODY;
	if (head->framing == HTTP_LENGTH && body->left == 0)
		body->done = true;
	if (head->framing == HTTP_CHUNKED)
		http_chunks_init(&body->chunks, max);
}

static void finish(struct body *body, struct evbuffer *out)
{
	body->done = true;
	if (body->out_chunked)
		evbuffer_add(out, "0\r\n\r\n", 5);
}

/* `data` is emptied into `out`. */
static void emit(const struct body *body, struct evbuffer *data, size_t len,
		 struct evbuffer *out)
{
	if (len == 0)
		return;
	if (body->out_chunked)
		evbuffer_add_printf(out, "%zx\r\n", len);
	evbuffer_remove_buffer(data, out, len);
	if (body->out_chunked)
		evbuffer_add(out, "\r\n", 2);
}

/* A part of `in` that lies in one piece. The piece grows when the last step
 * could not use the shorter one: a size line may cross a border. */
static struct str view(struct evbuffer *in, bool whole)
{
	size_t len = whole ? evbuffer_get_length(in) : evbuffer_get_contiguous_space(in);

	return (struct str){(const char *)evbuffer_pullup(in, (ev_ssize_t)len), len};
}

static int decode_chunks(struct body *body, struct evbuffer *in, struct evbuffer *data)
{
	bool whole = false;

	while (evbuffer_get_length(in) > 0 && body->chunks.state != HTTP_CHUNK_END) {
		struct str text = view(in, whole);
		struct str piece = STR_NONE;
		int64_t n = http_chunks_step(&body->chunks, text, &piece);

		if (n < 0)
			return (int)-n;
		if (n == 0 && text.len == evbuffer_get_length(in))
			break;
		whole = n == 0;
		if (piece.len)
			evbuffer_add(data, piece.at, piece.len);
		evbuffer_drain(in, (size_t)n);
	}
	return 0;
}

static int move_chunks(struct body *body, struct evbuffer *in, struct evbuffer *out,
		       uint64_t *moved)
{
	struct evbuffer *data = evbuffer_new();
	int status;

	if (!data)
		abort();
	status = decode_chunks(body, in, data);
	*moved = evbuffer_get_length(data);
	emit(body, data, *moved, out);
	evbuffer_free(data);
	if (status == 0 && body->chunks.state == HTTP_CHUNK_END)
		finish(body, out);
	return status;
}

int body_move(struct body *body, struct evbuffer *in, struct evbuffer *out,
	      uint64_t *moved)
{
	size_t n = evbuffer_get_length(in);

	*moved = 0;
	if (body->done || n == 0)
		return 0;
	if (body->framing == HTTP_CHUNKED)
		return move_chunks(body, in, out, moved);
	if (body->framing == HTTP_LENGTH && n > body->left)
		n = (size_t)body->left;
	emit(body, in, n, out);
	*moved = n;
	if (body->framing == HTTP_LENGTH) {
		body->left -= n;
		if (body->left == 0)
			finish(body, out);
	}
	return 0;
}

bool body_skip(struct body *body, struct evbuffer *in)
{
	if (body->done)
		return true;
	if (body->framing != HTTP_LENGTH || evbuffer_get_length(in) < body->left)
		return false;
	evbuffer_drain(in, (size_t)body->left);
	body->left = 0;
	body->done = true;
	return true;
}

bool body_cut(struct body *body, struct evbuffer *out)
{
	if (body->framing == HTTP_LENGTH)
		return false;
	finish(body, out);
	return true;
}

void body_close(struct body *body, struct evbuffer *out)
{
	if (body->framing == HTTP_UNTIL_CLOSE && !body->done)
		finish(body, out);
}
