/*
 * orderload.c - orders at a constant rate, whatever the shop answers.
 *
 * Prints one JSON object.  The latency of an order counts from the time at which it
 * was due, so a shop that stalls cannot hide it by holding the generator up.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "load.h"

#define TICK_S      0.0002 /* orders that become due in between are sent together */
#define RECONNECT_S 0.05

double load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* ---- counting ---- */

static struct second *second_of(struct load *load, double due)
{
	int n = (int)(due - load->count_from);

	if (due < load->count_from || due >= load->end || n >= LOAD_MAX_SECONDS)
		return NULL;
	return &load->counts.second[n];
}

static void count_answer(struct load *load, double due, int status)
{
	struct second *second = second_of(load, due);
	uint64_t us = (uint64_t)((load_now() - due) * 1e6);

	if (!second)
		return;
	if (status <= 0 || status >= LOAD_MAX_STATUS) {
		load->counts.broken++;
		return;
	}
	load->counts.status[status]++;
	if (status == 201) {
		second->accepted++;
		hist_add(&load->counts.accepted, us);
	} else {
		second->refused++;
		hist_add(&load->counts.refused, us);
	}
}

/* ---- the schedule ---- */

static bool take_from_line(struct load *load, double *due)
{
	if (load->line_len == 0)
		return false;
	*due = load->line[load->line_at];
	load->line_at = (load->line_at + 1) % LOAD_MAX_LINE;
	load->line_len--;
	return true;
}

static void order_due(struct load *load, double due)
{
	struct second *second = second_of(load, due);

	if (second) {
		second->due++;
		load->counts.due++;
	}
	if (load->idle) {
		conn_send(load->idle, due);
	} else if (load->line_len < LOAD_MAX_LINE) {
		load->line[(load->line_at + load->line_len) % LOAD_MAX_LINE] = due;
		load->line_len++;
	} else if (second) {
		load->counts.dropped++;
	}
}

void load_answered(struct load *load, struct conn *conn, int status)
{
	double due;

	load->busy--;
	count_answer(load, conn->due, status);
	if (conn->state == CONN_IDLE && take_from_line(load, &due))
		conn_send(conn, due);
	else if (conn->state == CONN_IDLE && load->opt.rate <= 0 &&
		 load_now() < load->end)
		order_due(load, load_now());
}

static void connect_again(struct load *load, double now)
{
	if (now < load->reconnect_at)
		return;
	load->reconnect_at = now + RECONNECT_S;
	for (int i = 0; i < load->opt.connections; i++)
		if (load->conns[i].state == CONN_DOWN)
			conn_connect(&load->conns[i]);
}

static void send_due(struct load *load, double now)
{
	double due = load->begin + (double)load->made / load->opt.rate;

	while (due <= now && due < load->end) {
		if (now - due > load->counts.late_max && due >= load->count_from)
			load->counts.late_max = now - due;
		load->made++;
		order_due(load, due);
		due = load->begin + (double)load->made / load->opt.rate;
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct load *load = arg;
	double now = load_now(), next, due;

	(void)fd, (void)what;
	connect_again(load, now);
	while (load->idle && take_from_line(load, &due))
		conn_send(load->idle, due);
	if (load->opt.rate > 0)
		send_due(load, now);
	else
		while (load->idle && now < load->end)
			order_due(load, now);
	if (now > load->end + load->opt.drain ||
	    (now > load->end && load->busy == 0 && load->line_len == 0)) {
		event_base_loopbreak(load->base);
		return;
	}
	next = load->opt.rate > 0
		       ? load->begin + (double)load->made / load->opt.rate - now
		       : 0.01;
	if (next < TICK_S)
		next = TICK_S;
	if (next > 0.01)
		next = 0.01;
	event_add(load->tick, &(struct timeval){.tv_usec = (suseconds_t)(next * 1e6)});
}

static void run(struct load *load)
{
	struct event_config *config = event_config_new();

	/* Without it, timers are rounded up to whole milliseconds. */
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	load->base = event_base_new_with_config(config);
	event_config_free(config);
	load->conns = calloc((size_t)load->opt.connections, sizeof(*load->conns));
	if (!load->base || !load->conns)
		abort();
	for (int i = 0; i < load->opt.connections; i++) {
		conn_init(&load->conns[i], load);
		conn_connect(&load->conns[i]);
	}
	load->begin = load_now() + 0.2; /* time to connect */
	load->count_from = load->begin + load->opt.warm;
	load->end = load->count_from + load->opt.seconds;
	load->tick = evtimer_new(load->base, on_tick, load);
	event_add(load->tick, &(struct timeval){.tv_usec = 200000});
	event_base_dispatch(load->base);
	for (int i = 0; i < load->opt.connections; i++)
		conn_fini(&load->conns[i]);
	event_free(load->tick);
	event_base_free(load->base);
	free(load->conns);
}

/* ---- report ---- */

static void print_hist(const char *name, const struct hist *hist)
{
	printf(",\"%s\":{\"count\":%llu,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,"
	       "\"p999_ms\":%.3f,\"max_ms\":%.3f}",
	       name, (unsigned long long)hist->count, hist_ms(hist, 0.5),
	       hist_ms(hist, 0.9), hist_ms(hist, 0.99), hist_ms(hist, 0.999),
	       (double)hist->max / 1000);
}

static void print_report(const struct load *load)
{
	const struct counts *counts = &load->counts;
	const char *comma = "";

	printf("{\"seconds\":%d,\"rate\":%.0f,\"due\":%llu,\"dropped\":%llu,\"broken\":%"
	       "llu,"
	       "\"unanswered\":%u,\"connects\":%llu,\"late_max_ms\":%.2f,\"status\":{",
	       load->opt.seconds, load->opt.rate, (unsigned long long)counts->due,
	       (unsigned long long)counts->dropped, (unsigned long long)counts->broken,
	       load->busy + load->line_len, (unsigned long long)counts->connects,
	       counts->late_max * 1000);
	for (int i = 0; i < LOAD_MAX_STATUS; i++) {
		if (counts->status[i] == 0)
			continue;
		printf("%s\"%d\":%llu", comma, i, (unsigned long long)counts->status[i]);
		comma = ",";
	}
	printf("}");
	print_hist("accepted", &counts->accepted);
	print_hist("refused", &counts->refused);
	printf(",\"by_second\":[");
	for (int i = 0; i < load->opt.seconds && i < LOAD_MAX_SECONDS; i++)
		printf("%s[%llu,%llu,%llu]", i ? "," : "",
		       (unsigned long long)counts->second[i].due,
		       (unsigned long long)counts->second[i].accepted,
		       (unsigned long long)counts->second[i].refused);
	printf("]}\n");
}

/* ---- options ---- */

static const char usage[] =
	"orderload --port N --users FIRST-LAST --products N [--plain] [--host "
	"127.0.0.1]\n"
	"          [--connections 64] [--rate 0] [--seconds 10] [--warm 1] [--drain 20]\n"
	"rate 0: closed loop; drain: seconds to wait for the last answers\n";

static void die(const char *why)
{
	fprintf(stderr, "orderload: %s\n%s", why, usage);
	exit(2);
}

static long number(const char *text, long low, long high)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < low || n > high)
		die("a number is missing or out of range");
	return n;
}

static void set_users(struct options *opt, const char *text)
{
	char *end;

	opt->first_user = strtol(text, &end, 10);
	if (*end != '-')
		die("--users FIRST-LAST");
	opt->last_user = number(end + 1, opt->first_user, 1L << 40);
}

static void set_option(struct options *opt, int c)
{
	switch (c) {
	case 'H': opt->host = optarg; break;
	case 'p': opt->port = (int)number(optarg, 1, 65535); break;
	case 'c': opt->connections = (int)number(optarg, 1, LOAD_MAX_CONNS); break;
	case 'r': opt->rate = strtod(optarg, NULL); break;
	case 's': opt->seconds = (int)number(optarg, 1, LOAD_MAX_SECONDS); break;
	case 'w': opt->warm = (int)number(optarg, 0, LOAD_MAX_SECONDS); break;
	case 'd': opt->drain = (int)number(optarg, 0, LOAD_MAX_SECONDS); break;
	case 'u': set_users(opt, optarg); break;
	case 'P': opt->products = number(optarg, 1, 1000000); break;
	case 'x': opt->plain = true; break;
	default: die("unknown option");
	}
}

static void parse_options(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
		{"host", required_argument, NULL, 'H'},
		{"port", required_argument, NULL, 'p'},
		{"connections", required_argument, NULL, 'c'},
		{"rate", required_argument, NULL, 'r'},
		{"seconds", required_argument, NULL, 's'},
		{"warm", required_argument, NULL, 'w'},
		{"drain", required_argument, NULL, 'd'},
		{"users", required_argument, NULL, 'u'},
		{"products", required_argument, NULL, 'P'},
		{"plain", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*opt = (struct options){.host = "127.0.0.1", .connections = 64, .seconds = 10};
	opt->warm = 1;
	opt->drain = 20;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		set_option(opt, c);
	if (opt->port == 0 || opt->last_user == 0 || opt->products == 0)
		die("--port, --users and --products are needed");
}

int main(int argc, char **argv)
{
	struct load *load = calloc(1, sizeof(*load));
	uint64_t prefix;

	if (!load)
		abort();
	parse_options(&load->opt, argc, argv);
	load->address = (struct sockaddr_in){.sin_family = AF_INET,
					     .sin_port = htons((uint16_t)load->opt.port)};
	if (inet_pton(AF_INET, load->opt.host, &load->address.sin_addr) != 1)
		die("--host is not an IPv4 address");
	if (getrandom(&load->random, sizeof(load->random), 0) < 0 ||
	    getrandom(&prefix, sizeof(prefix), 0) < 0)
		abort();
	load->random |= 1;
	snprintf(load->prefix, sizeof(load->prefix), "%016llx",
		 (unsigned long long)prefix);
	run(load);
	print_report(load);
	free(load);
	return 0;
}
