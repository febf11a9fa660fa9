/*
 * ordbench.c - the bare order path on MariaDB or MySQL: options, the run, its report.
 *
 * The database must have the tables of schema.sql.  Prints one JSON object.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ordbench.h"

/* Clients of the batched form: three full batches a connection of a stage. */
#define CLIENTS_PER_CONN (3 * BATCH_MAX)

/* ---- the run ---- */

struct window {
	double seconds;
	double fsyncs;
};

static void on_fsyncs(void *arg, MYSQL_ROW row)
{
	*(double *)arg = strtod(row[1], NULL);
}

static double fsyncs(struct bench *bench, MYSQL *conn)
{
	static const char text[] = "SHOW GLOBAL STATUS LIKE 'Innodb_data_fsyncs'";
	double count = 0;

	sql_run(bench, conn, text, strlen(text), on_fsyncs, &count);
	return count;
}

static int start_threads(struct bench *bench, pthread_t *threads)
{
	int n = 0;

	for (int i = 0; i < bench->opt.connections; i++) {
		if (!bench->opt.batched) {
			pthread_create(&threads[n++], NULL, plain_thread, bench);
			continue;
		}
		pthread_create(&threads[n++], NULL, reserve_thread, bench);
		pthread_create(&threads[n++], NULL, record_thread, bench);
	}
	return n;
}

static void stop_threads(struct bench *bench, pthread_t *threads, int n)
{
	bench->stop = true;
	queue_wake(&bench->arrived);
	queue_wake(&bench->reserved);
	for (int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static struct window run(struct bench *bench, MYSQL *conn)
{
	int clients =
		bench->opt.connections * (bench->opt.batched ? CLIENTS_PER_CONN : 1);
	struct order *orders = calloc((size_t)clients, sizeof(*orders));
	pthread_t threads[2 * CONNS_MAX];
	struct window window;
	double begin;
	int n;

	if (!orders)
		abort();
	n = start_threads(bench, threads);
	for (int i = 0; i < clients; i++) {
		order_fill(bench, &orders[i]);
		queue_push(&bench->arrived, &orders[i]);
	}
	sleep((unsigned)bench->opt.warm);
	bench->count.trips = bench->count.batches = bench->count.members = 0;
	window.fsyncs = fsyncs(bench, conn);
	begin = bench_now();
	bench->measuring = true;
	sleep((unsigned)bench->opt.seconds);
	bench->measuring = false;
	window.seconds = bench_now() - begin;
	window.fsyncs = fsyncs(bench, conn) - window.fsyncs;
	stop_threads(bench, threads, n);
	free(orders);
	return window;
}

/* ---- report ---- */

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double share_of(const struct bench *bench, long long n, double share)
{
	return n ? (double)bench->latencies[(long long)((double)(n - 1) * share)] : 0;
}

static void report(struct bench *bench, const struct window *window, bool good)
{
	struct counters *count = &bench->count;
	long long n = bench->latencies_n, done = count->done ? count->done : 1;

	if (n > LATENCIES_MAX)
		n = LATENCIES_MAX;
	qsort(bench->latencies, (size_t)n, sizeof(*bench->latencies), by_value);
	printf("{\"per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"refused\":%lld,"
	       "\"broken\":%lld,\"retries\":%lld,\"batch\":%.1f,\"trips_per_order\":%.2f,"
	       "\"fsyncs_per_order\":%.3f,\"verified\":%s}\n",
	       (double)count->done / window->seconds, share_of(bench, n, 0.5),
	       share_of(bench, n, 0.99), (long long)count->refused,
	       (long long)count->failed, (long long)count->retries,
	       (double)count->members / (double)(count->batches ? count->batches : 1),
	       (double)count->trips / (double)done, window->fsyncs / (double)done,
	       good ? "true" : "false");
}

/* ---- options ---- */

static const char usage[] =
	"ordbench --port N [--host 127.0.0.1] [--user bench] (password: "
	"ORDBENCH_PASSWORD)\n"
	"         [--mode plain|batched] [--packets] [--connections 1] [--seconds 5]\n"
	"         [--warm 1] [--users 100000] [--products 10000]\n"
	"plain: prepared statements; with --packets one packet a transaction\n"
	"users 1: a hot user; products 1: a hot product\n";

static void die(const char *why)
{
	fprintf(stderr, "ordbench: %s\n%s", why, usage);
	exit(2);
}

static int number(const char *text, long low, long high)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < low || n > high)
		die("a number is missing or out of range");
	return (int)n;
}

static void set_option(struct options *opt, int c)
{
	switch (c) {
	case 'h': opt->host = optarg; break;
	case 'p': opt->port = number(optarg, 1, 65535); break;
	case 'u': opt->user = optarg; break;
	case 'm':
		opt->batched = strcmp(optarg, "batched") == 0;
		if (!opt->batched && strcmp(optarg, "plain") != 0)
			die("--mode is plain or batched");
		break;
	case 'k': opt->prepared = false; break;
	case 'c': opt->connections = number(optarg, 1, CONNS_MAX); break;
	case 's': opt->seconds = number(optarg, 1, 3600); break;
	case 'w': opt->warm = number(optarg, 0, 3600); break;
	case 'U': opt->users = number(optarg, 1, 1000000000); break;
	case 'P': opt->products = number(optarg, 1, 10000); break;
	default: die("unknown option");
	}
}

static void parse_options(struct options *opt, int argc, char **argv)
{
	static const struct option longs[] = {
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'p'},
		{"user", required_argument, NULL, 'u'},
		{"mode", required_argument, NULL, 'm'},
		{"packets", no_argument, NULL, 'k'},
		{"connections", required_argument, NULL, 'c'},
		{"seconds", required_argument, NULL, 's'},
		{"warm", required_argument, NULL, 'w'},
		{"users", required_argument, NULL, 'U'},
		{"products", required_argument, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	int c;

	*opt = (struct options){.host = "127.0.0.1", .user = "bench", .connections = 1};
	opt->seconds = 5;
	opt->warm = 1;
	opt->users = 100000;
	opt->products = 10000;
	opt->prepared = true;
	opt->password = getenv("ORDBENCH_PASSWORD");
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		set_option(opt, c);
	if (opt->port == 0)
		die("--port is needed");
}

int main(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct window window;
	MYSQL *conn;
	bool good;

	if (!bench)
		abort();
	parse_options(&bench->opt, argc, argv);
	bench->latencies = calloc(LATENCIES_MAX, sizeof(*bench->latencies));
	if (!bench->latencies)
		abort();
	bench->epoch = (uint64_t)time(NULL) << 8 | ((unsigned)getpid() & 255);
	bench->numbers = 1;
	queue_init(&bench->arrived);
	queue_init(&bench->reserved);
	mysql_library_init(0, NULL, NULL);
	conn = sql_connect(&bench->opt);
	window = run(bench, conn);
	good = verify(bench, conn);
	report(bench, &window, good);
	mysql_close(conn);
	free(bench->latencies);
	free(bench);
	return good ? 0 : 1;
}
