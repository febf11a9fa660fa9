/* exchange.c - life and deadlines of an exchange. */
#include "exchange.h"

#include <stdlib.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "access_log.h"
#include "cached.h"
#include "client.h"
#include "pool.h"
#include "reply.h"
#include "timeutil.h"

#define BODY_IDLE_MS   30000  /* a request or answer body that stands still */
#define STREAM_IDLE_MS 60000  /* above the heartbeat of our streams */
#define COLLECT_MS     60000  /* a small body, whole */
#define TOTAL_MS       300000 /* everything but streams */
#define MAX_REQUESTS   1000   /* on one client connection */
#define MAX_SPARE      64     /* exchanges kept for reuse, each 7 KB */

/* ---- spares ---- */

/* A spare one is as good as freed, and the address sanitizer is to see it so. */
static void set_hidden(struct exchange *x, bool hidden)
{
#ifdef __SANITIZE_ADDRESS__
	const size_t size = sizeof(*x) - offsetof(struct exchange, worker);

	if (hidden)
		ASAN_POISON_MEMORY_REGION(&x->worker, size);
	else
		ASAN_UNPOISON_MEMORY_REGION(&x->worker, size);
#else
	(void)x;
	(void)hidden;
#endif
}

/* Two heads make it 7 KB: allocating and zeroing that for each request shows. */
static struct exchange *take_spare(struct worker *worker)
{
	struct exchange *x = TAILQ_FIRST(&worker->spare);

	if (!x)
		return xcalloc(1, sizeof(*x));
	TAILQ_REMOVE(&worker->spare, x, link);
	worker->n_spare--;
	set_hidden(x, false);
	memset(x, 0, offsetof(struct exchange, head));
	return x;
}

static void keep_spare(struct worker *worker, struct exchange *x)
{
	if (worker->n_spare >= MAX_SPARE) {
		free(x);
		return;
	}
	TAILQ_INSERT_HEAD(&worker->spare, x, link);
	worker->n_spare++;
	set_hidden(x, true);
}

void exchange_free_spare(struct worker *worker)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&worker->spare))) {
		TAILQ_REMOVE(&worker->spare, x, link);
		free(x);
	}
	worker->n_spare = 0;
}

/* ---- life ---- */

struct exchange *exchange_new(struct client *client, struct str head_text)
{
	struct exchange *x = take_spare(client->worker);

	x->worker = client->worker;
	x->client = client;
	memcpy(x->from, client->peer, sizeof(x->from));
	x->routes = routes_ref(client->worker->routes);
	/* Byte by byte: a head that is yet to be judged may hold anything, also NUL. */
	x->head_text = xrealloc(NULL, head_text.len);
	memcpy(x->head_text, head_text.at, head_text.len);
	x->head_len = head_text.len;
	x->start_us = time_mono_us();
	x->progress_ms = (int64_t)(x->start_us / 1000);
	return x;
}

void exchange_settle(struct exchange *x)
{
	size_t kept = sizeof(*x) + x->head_len;

	if (x->replay)
		kept += evbuffer_get_length(x->replay);
	if (x->body)
		kept += evbuffer_get_length(x->body);
	sock_keeps(&x->client->sock, kept);
}

static void exchange_free(void *arg)
{
	struct exchange *x = arg;
	struct worker *worker = x->worker;

	if (x->replay)
		evbuffer_free(x->replay);
	if (x->body)
		evbuffer_free(x->body);
	routes_unref(x->routes);
	free(x->head_text);
	free(x->answer_text);
	free(x->path);
	keep_spare(worker, x);
}

static void detach_upstream(struct exchange *x, bool keep_up)
{
	if (x->state == X_WAITING)
		pool_leave_queue(x);
	/* Sent, and nobody knows what became of it. */
	if (x->state == X_SENT || (x->fresh && x->state < X_SENT))
		cached_wrote(x, 0);
	if (x->flight)
		cached_leave(x);
	if (x->up && keep_up)
		upstream_release(x->up);
	else if (x->up)
		upstream_close(x->up);
}

bool exchange_must_close(const struct exchange *x)
{
	const struct client *client = x->client;

	return x->head.close || x->head.minor == 0 || !x->request.done ||
	       client->half_closed || x->worker->draining ||
	       client->n_requests >= MAX_REQUESTS;
}

void exchange_over(struct exchange *x, bool keep_up)
{
	detach_upstream(x, keep_up);
	x->state = X_OVER;
	access_log(x);
	loop_defer(x->worker->loop, exchange_free, x);
	client_finish(x->client, !x->close);
}

void exchange_abandon(struct exchange *x, const char *why)
{
	x->why = why;
	detach_upstream(x, false);
	x->state = X_OVER;
	access_log(x);
	loop_defer(x->worker->loop, exchange_free, x);
	x->client->x = NULL;
	client_cut(x->client);
}

static void fail(struct exchange *x, const struct reply *reply)
{
	if (x->state == X_ANSWERING) {
		exchange_abandon(x, reply->slug ? reply->slug : "cut");
		return;
	}
	x->why = reply->slug;
	reply_send(x, reply);
	exchange_over(x, false);
}

void exchange_fail(struct exchange *x, int status, const char *slug, const char *detail)
{
	const struct reply reply = {.status = status, .slug = slug, .detail = detail};

	fail(x, &reply);
}

void exchange_fail_err(struct exchange *x, const struct err *err)
{
	const struct reply reply = {.status = err_status(err->code),
				    .slug = err->slug[0] ? err->slug
							 : err_default_slug(err->code),
				    .detail = err->text,
				    .retry_after_s = err->code == ERR_BUSY ? 1 : 0};

	fail(x, &reply);
}

void exchange_unavailable(struct exchange *x, const char *slug, const char *detail)
{
	const struct reply reply = {
		.status = 503, .slug = slug, .detail = detail, .retry_after_s = 1};

	if (x->fresh && exchange_writes(x))
		exchange_unanswered(x);
	else
		fail(x, &reply);
}

void exchange_unanswered(struct exchange *x)
{
	exchange_fail(x, 502, "bad_upstream",
		      "the service closed the connection without an answer");
}

/* ---- deadlines ---- */

static void tick_collecting(struct exchange *x, int64_t idle_ms, int64_t age_ms)
{
	if (idle_ms > BODY_IDLE_MS || age_ms > COLLECT_MS)
		exchange_fail(x, 408, NULL, "the request body did not come in time");
}

static void tick_waited(struct exchange *x)
{
	metric_add(x->worker->app->metrics.overloaded, 1);
	exchange_unavailable(x, "overloaded",
			     "all connections to the service are in use");
}

/* The request is on its way: who holds it up? */
static void tick_sent(struct exchange *x, int64_t idle_ms)
{
	bool sending = sock_pending(&x->up->sock) > 0;

	if (!x->request.done && !sending) {
		if (idle_ms > BODY_IDLE_MS)
			exchange_fail(x, 408, NULL, "the request body stopped coming");
	} else if (idle_ms > x->route->timeout_ms) {
		exchange_fail(x, 504, "upstream_timeout",
			      "the service did not answer in time");
	}
}

static void tick_answering(struct exchange *x, int64_t idle_ms)
{
	const struct sock *client = &x->client->sock;
	int64_t limit = x->route->stream ? STREAM_IDLE_MS : BODY_IDLE_MS;

	if (client->stuck)
		exchange_abandon(x, "client does not read");
	else if (sock_pending(client) == 0 && idle_ms > limit)
		exchange_abandon(x, "upstream stalled");
}

void exchange_tick(struct exchange *x, int64_t now_ms)
{
	int64_t idle_ms = now_ms - x->progress_ms;
	int64_t age_ms = now_ms - (int64_t)(x->start_us / 1000);

	if (x->state == X_COLLECTING)
		tick_collecting(x, idle_ms, age_ms);
	else if (x->state == X_WAITING && now_ms > x->deadline_ms)
		tick_waited(x);
	else if (x->state == X_SHARING && now_ms > x->deadline_ms)
		cached_waited(x);
	else if (x->state == X_CONNECTING && now_ms > x->deadline_ms)
		dispatch_refused(x, true);
	else if (x->state >= X_SENT && !x->route->stream && age_ms > TOTAL_MS)
		exchange_fail(x, 504, "upstream_timeout", "the request took too long");
	else if (x->state == X_SENT || x->state == X_FILLING)
		tick_sent(x, idle_ms);
	else if (x->state == X_ANSWERING && x->route->stream && x->worker->draining)
		relay_end_stream(x);
	else if (x->state == X_ANSWERING)
		tick_answering(x, idle_ms);
}
