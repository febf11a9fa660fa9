/*
 * relay.c - bytes between the two sides, and the answer's head.
 *
 * Both directions follow one rule: while the receiver's output is above
 * SOCK_HIGH, the sender is not read; when it falls below SOCK_LOW, it is again.
 * So a request costs bounded memory, however large its bodies and however slow
 * its readers.
 */
#include <stdlib.h>

#include "cached.h"
#include "client.h"
#include "exchange.h"
#include "headers.h"
#include "pool.h"
#include "timeutil.h"

#define REPLAY_MAX 65536 /* body bytes kept for a second try */
#define MAX_INFO   16    /* 1xx answers before the final one */

/* ---- client to upstream ---- */

static bool wants_replay(const struct exchange *x)
{
	return x->up->reused && !x->fresh && !x->cannot_replay &&
	       x->head.method != HTTP_POST && x->head.method != HTTP_PATCH;
}

/* Remembers what is about to be sent, as long as it is little. */
static void keep_replay(struct exchange *x, struct evbuffer *sent)
{
	size_t len = evbuffer_get_length(sent);

	if (!x->replay)
		x->replay = evbuffer_new();
	if (!x->replay || evbuffer_get_length(x->replay) + len > REPLAY_MAX) {
		x->cannot_replay = true;
		return;
	}
	evbuffer_add(x->replay, evbuffer_pullup(sent, -1), len);
	exchange_settle(x);
}

static int move_request(struct exchange *x, uint64_t *moved)
{
	struct evbuffer *in = x->client->sock.in;
	struct evbuffer *out = x->up->sock.out;
	struct evbuffer *copy;
	int status;

	if (!wants_replay(x)) {
		x->cannot_replay |= evbuffer_get_length(in) > 0 && !x->request.done;
		return body_move(&x->request, in, out, moved);
	}
	copy = evbuffer_new();
	if (!copy)
		abort();
	status = body_move(&x->request, in, copy, moved);
	keep_replay(x, copy);
	evbuffer_add_buffer(out, copy);
	evbuffer_free(copy);
	return status;
}

void relay_request(struct exchange *x)
{
	struct sock *client = &x->client->sock;
	struct sock *up = &x->up->sock;
	uint64_t moved = 0;
	int status = x->request.done ? 0 : move_request(x, &moved);

	x->bytes_in += moved;
	if (status) {
		exchange_fail(x, status, NULL, NULL);
		return;
	}
	if (moved)
		x->progress_ms = time_mono_ms();
	sock_flush(up);
	sock_read_on(client, sock_pending(up) < SOCK_HIGH);
}

void relay_upstream_writable(struct exchange *x)
{
	x->progress_ms = time_mono_ms();
	relay_request(x);
}

/* ---- upstream to client ---- */

static void bad_answer(struct exchange *x)
{
	exchange_fail(x, 502, "bad_upstream", "the service gave a malformed answer");
}

/* How the answer's body will leave. */
static void start_answer(struct exchange *x)
{
	bool chunked = (x->answer_head.framing == HTTP_CHUNKED ||
			x->answer_head.framing == HTTP_UNTIL_CLOSE) &&
		       x->head.minor > 0;

	x->answer_us = time_mono_us();
	cached_wrote(x, x->answer_head.status);
	if (cached_takes(x)) {
		body_init(&x->answer, &x->answer_head, UINT64_MAX, false);
		x->state = X_FILLING;
		return;
	}
	body_init(&x->answer, &x->answer_head, UINT64_MAX, chunked);
	x->status = x->answer_head.status;
	x->close = exchange_must_close(x);
	x->state = X_ANSWERING;
	headers_answer(x, x->client->sock.out);
}

/* Takes one head off the input. false: it is not whole, or the exchange ended. */
static bool read_head(struct exchange *x)
{
	struct evbuffer *in = x->up->sock.in;
	size_t len = evbuffer_get_length(in);
	struct str text;
	int end;

	if (len > HTTP_MAX_HEAD + 1024)
		len = HTTP_MAX_HEAD + 1024;
	text = (struct str){(const char *)evbuffer_pullup(in, (ev_ssize_t)len), len};
	end = http_head_end(text, &x->answer_scanned);
	if (end == 0)
		return false;
	if (end > 0) {
		x->answer_text = xrealloc(x->answer_text, (size_t)end);
		evbuffer_remove(in, x->answer_text, (size_t)end);
		text = (struct str){x->answer_text, (size_t)end};
	}
	x->answer_scanned = 0;
	if (end < 0 ||
	    http_parse_response(text, x->head.method == HTTP_HEAD, &x->answer_head) !=
		    0 ||
	    x->answer_head.status == 101) {
		bad_answer(x);
		return false;
	}
	return true;
}

/* Informational answers end here: we answered 100-continue ourselves. */
static bool read_final_head(struct exchange *x)
{
	while (x->state == X_SENT && evbuffer_get_length(x->up->sock.in) > 0) {
		if (!read_head(x))
			return false;
		if (x->answer_head.status >= 200)
			start_answer(x);
		else if (++x->n_info > MAX_INFO)
			bad_answer(x);
	}
	return x->state == X_FILLING || x->state == X_ANSWERING;
}

static bool clean(const struct exchange *x)
{
	const struct sock *sock = &x->up->sock;

	return !x->answer_head.close && x->answer_head.framing != HTTP_UNTIL_CLOSE &&
	       x->request.done && sock_pending(sock) == 0 && !sock->write_dead &&
	       !sock->no_more_in && evbuffer_get_length(sock->in) == 0;
}

static void move_answer(struct exchange *x)
{
	struct sock *client = &x->client->sock;
	uint64_t moved;

	if (body_move(&x->answer, x->up->sock.in, client->out, &moved) != 0) {
		bad_answer(x);
		return;
	}
	x->bytes_out += moved;
	if (x->answer.done) {
		exchange_over(x, clean(x));
		return;
	}
	sock_flush(client);
	sock_read_on(&x->up->sock, sock_pending(client) < SOCK_HIGH);
}

/* The body that is to be stored. */
static void fill(struct exchange *x)
{
	uint64_t moved;

	body_move(&x->answer, x->up->sock.in, x->body, &moved);
	exchange_settle(x);
	if (x->answer.done)
		cached_filled(x, clean(x));
}

void relay_answer(struct exchange *x)
{
	x->progress_ms = time_mono_ms();
	if (x->state == X_SENT && !read_final_head(x))
		return;
	if (x->state == X_FILLING)
		fill(x);
	else if (x->state == X_ANSWERING)
		move_answer(x);
}

void relay_client_writable(struct exchange *x)
{
	x->progress_ms = time_mono_ms();
	if (x->up && x->state == X_ANSWERING)
		sock_read_on(&x->up->sock, true);
}

/* ---- the end ---- */

void relay_end_stream(struct exchange *x)
{
	if (!body_cut(&x->answer, x->client->sock.out))
		return;
	x->close = true;
	x->why = "draining";
	exchange_over(x, false);
}

void relay_upstream_ended(struct exchange *x, enum sock_end end)
{
	/* It may have answered before it stopped listening: read on. */
	if (end == SOCK_WRITE_FAILED && !x->up->sock.no_more_in) {
		sock_read_on(&x->up->sock, true);
		return;
	}
	if (x->state == X_SENT || x->state == X_FILLING) {
		if (!dispatch_again(x))
			exchange_unanswered(x);
		return;
	}
	if (end == SOCK_EOF)
		body_close(&x->answer, x->client->sock.out);
	if (x->answer.done)
		exchange_over(x, false);
	else
		exchange_abandon(x, "answer cut by the service");
}
