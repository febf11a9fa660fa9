/* stream.c - who listens, what changed, and when to send it. */
#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "timeutil.h"
#include "views.h"

#define MIN_GAP_MS    100
#define HEARTBEAT_MS  15000
#define MAX_PENDING   (256 * 1024) /* bytes that a slow client may leave unread */
#define EVENT_TOP     20
#define EVENT_WINDOWS 10

struct client {
	struct client *next;
	struct streams *streams;
	struct http_stream *stream;
	int64_t until_s; /* Unix time; 0: without end */
	bool closing;
};

struct streams {
	struct loop *loop;
	struct feed *feed;
	struct client *clients;
	size_t n, max;
	unsigned changed; /* not sent yet */
	int64_t sent_ms;  /* when changes were sent last */
	uint64_t last_id;
	bool due; /* `push` is running */
	bool closing;
	struct loop_timer *push, *heartbeat;
	struct metric *m_clients, *m_dropped, *m_refused;
};

/* ---- clients ---- */

static void on_closed(void *arg)
{
	struct client *client = arg;
	struct streams *streams = client->streams;
	struct client **link = &streams->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	streams->n--;
	metric_set(streams->m_clients, (int64_t)streams->n);
	free(client);
}

/* The client stays in the list until on_closed(), which may run inside. */
static void end(struct client *client)
{
	if (client->closing)
		return;
	client->closing = true;
	http_stream_close(client->stream);
}

static void send_to(struct client *client, struct str chunk)
{
	if (client->closing || http_stream_send(client->stream, chunk, MAX_PENDING))
		return;
	metric_add(client->streams->m_dropped, 1);
	end(client);
}

/* on_closed() may run inside: `next` is read before. */
static void send_to_all(struct streams *streams, struct str chunk)
{
	int64_t now_s = time_now_ms() / 1000;
	struct client *next;

	for (struct client *client = streams->clients; client; client = next) {
		next = client->next;
		if (client->until_s && client->until_s <= now_s)
			end(client);
		else
			send_to(client, chunk);
	}
}

/* ---- events ---- */

typedef void (*event_view)(struct jw *w, struct feed *feed);

static void write_top(struct jw *w, struct feed *feed)
{
	view_top(w, feed, EVENT_TOP);
}

static void write_windows(struct jw *w, struct feed *feed)
{
	view_windows(w, feed, 0, EVENT_WINDOWS);
}

static const struct event {
	const char *name;
	unsigned changes_with;
	event_view view;
} events[] = {
	{"summary", FEED_USERS | FEED_WINDOWS, view_summary},
	{"top-users", FEED_USERS, write_top},
	{"window", FEED_WINDOWS, write_windows},
};

/* To one client, or to all (NULL). */
static void send_event(struct streams *streams, const struct event *event,
		       struct client *client)
{
	struct jw w;
	char *chunk = NULL;
	int n = -1;

	jw_init(&w, VIEW_MAX_BYTES);
	event->view(&w, streams->feed);
	if (jw_ok(&w))
		n = asprintf(&chunk, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n",
			     ++streams->last_id, event->name, jw_text(&w).at);
	if (n > 0 && client)
		send_to(client, (struct str){chunk, (size_t)n});
	else if (n > 0)
		send_to_all(streams, (struct str){chunk, (size_t)n});
	if (n >= 0)
		free(chunk);
	jw_fini(&w);
}

static void push_changes(struct streams *streams)
{
	for (size_t i = 0; i < ARRAY_LEN(events) && streams->clients; i++)
		if (events[i].changes_with & streams->changed)
			send_event(streams, &events[i], NULL);
	streams->changed = 0;
	streams->sent_ms = time_mono_ms();
}

static void on_push(void *arg)
{
	struct streams *streams = arg;

	streams->due = false;
	push_changes(streams);
}

void streams_changed(struct streams *streams, unsigned what)
{
	int64_t wait = streams->sent_ms + MIN_GAP_MS - time_mono_ms();

	streams->changed |= what;
	if (streams->due)
		return;
	streams->due = true;
	loop_timer_start(streams->push, wait > 0 ? wait : 0);
}

static void on_heartbeat(void *arg)
{
	struct streams *streams = arg;

	send_to_all(streams, STR(": still here\n\n"));
	loop_timer_start(streams->heartbeat, HEARTBEAT_MS);
}

/* ---- life ---- */

bool streams_add(struct streams *streams, struct http_req *req, int64_t until_s,
		 struct err *err)
{
	struct client *client;

	if (streams->closing) {
		err_set(err, ERR_BUSY, "this instance is stopping; connect again");
		err->retry_after_s = 1;
		return false;
	}
	if (streams->n >= streams->max) {
		metric_add(streams->m_refused, 1);
		err_slug(err, ERR_BUSY, "too_many_streams",
			 "too many clients follow the stream");
		err->retry_after_s = 5;
		return false;
	}
	client = xcalloc(1, sizeof(*client));
	client->streams = streams;
	client->until_s = until_s;
	client->next = streams->clients;
	streams->clients = client;
	metric_set(streams->m_clients, (int64_t)++streams->n);
	http_set_header(req, "Cache-Control", "no-store");
	http_set_header(req, "X-Accel-Buffering", "no");
	client->stream = http_stream_start(req, "text/event-stream", on_closed, client);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		send_event(streams, &events[i], client);
	return true;
}

void streams_close(struct streams *streams)
{
	struct client *next;

	streams->closing = true;
	for (struct client *client = streams->clients; client; client = next) {
		next = client->next;
		end(client);
	}
}

void streams_set_feed(struct streams *streams, struct feed *feed)
{
	streams->feed = feed;
}

struct streams *streams_new(struct loop *loop, size_t max, struct metrics *metrics)
{
	struct streams *streams = xcalloc(1, sizeof(*streams));

	streams->loop = loop;
	streams->max = max;
	streams->push = loop_timer_new(loop, on_push, streams);
	streams->heartbeat = loop_timer_new(loop, on_heartbeat, streams);
	streams->m_clients = metrics_gauge(metrics, "shop_stream_clients",
					   "clients that follow the event stream", NULL);
	streams->m_dropped = metrics_counter(metrics, "shop_stream_dropped_total",
					     "clients dropped as too slow", NULL);
	streams->m_refused = metrics_counter(metrics, "shop_stream_refused_total",
					     "clients refused as too many", NULL);
	loop_timer_start(streams->heartbeat, HEARTBEAT_MS);
	return streams;
}

/* The server, which is gone by now, has closed every stream. */
void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	loop_timer_free(streams->push);
	loop_timer_free(streams->heartbeat);
	free(streams);
}
