/* event.c - making events and writing them down. */
#include "event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CANCEL_EACH 10
#define MAX_PIECES  4
#define MAX_CENTS   50000

/* splitmix64 */
static uint64_t mix(uint64_t n)
{
	n += 0x9e3779b97f4a7c15u;
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9u;
	n = (n ^ n >> 27) * 0x94d049bb133111ebu;
	return n ^ n >> 31;
}

void event_source_init(struct event_source *source, uint64_t users)
{
	*source = (struct event_source){.users = users};
	source->seq = calloc(users + 1, sizeof(*source->seq));
	if (!source->seq)
		abort();
}

void event_source_fini(struct event_source *source)
{
	free(source->seq);
}

static uint64_t pieces_of(uint64_t order)
{
	return 1 + mix(order) % MAX_PIECES;
}

void event_next(struct event_source *source, struct event *event)
{
	event->user = 1 + mix(source->made++) % source->users;
	event->seq = ++source->seq[event->user];
	event->cancelled = event->seq % CANCEL_EACH == 0;
	event->order =
		(event->seq - event->cancelled) * (source->users + 1) + event->user;
	event->cents =
		(int64_t)(pieces_of(event->order) * (1 + mix(~event->order) % MAX_CENTS));
	source->orders += event->cancelled ? -1 : 1;
	source->cents += event->cancelled ? -event->cents : event->cents;
}

size_t event_write(char *dst, size_t size, const struct event *event)
{
	uint64_t pieces = pieces_of(event->order);
	int64_t one = event->cents / (int64_t)pieces;
	time_t seconds = event->time_ms / 1000;
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	return (size_t)snprintf(
		dst, size,
		"{\"order_id\":%" PRIu64 ",\"user_id\":%" PRIu64 ",\"price\":%" PRId64
		".%02" PRId64 ",\"quantity\":%" PRIu64
		",\"timestamp\":\"%s\",\"type\":\"order.%s\",\"event_id\":\"%016" PRIx64
		"%016" PRIx64 "\",\"seq\":%" PRIu64
		",\"currency\":\"USD\",\"reservation_id\":\"%016" PRIx64 "%016" PRIx64
		"\",\"items\":[{\"product_id\":\"BENCH-%04" PRIu64
		"\",\"quantity\":%" PRIu64 ",\"unit_price\":%" PRId64 ".%02" PRId64 "}]}",
		event->order, event->user, event->cents / 100, event->cents % 100, pieces,
		when, event->cancelled ? "cancelled" : "created", mix(event->order),
		event->seq, event->seq, mix(event->order + 1), mix(event->order + 2),
		1 + event->order % 1000, pieces, one / 100, one % 100);
}

int64_t event_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
