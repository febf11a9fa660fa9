/*
 * ordbench.h - what the files of ordbench share: options, orders, counters, SQL.
 *
 * ordbench is the bare order path, without HTTP and Kafka: transaction 1 reserves
 * (stock, reservation), transaction 2 records (outcome, number, order, line, outbox
 * row). `plain` runs one order a transaction on each connection; `batched` lets the
 * orders that wait join the next transaction.  Closed loop, all in one process.
 */
#ifndef ORDBENCH_H
#define ORDBENCH_H

#include <mysql.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_MAX     64
#define TRIES         20      /* after deadlocks and lock time-outs */
#define LATENCIES_MAX 4000000 /* kept; more are counted only */
#define PRICE_CENTS   1990
#define LOCK_TIMEOUT  1205
#define DEADLOCK      1213
#define CONNS_MAX     128

enum result { RESULT_OK, RESULT_SHORT, RESULT_FAIL };

struct order {
	struct order *next;
	uint64_t n; /* order of arrival */
	int user, product, quantity;
	enum result result;
	long long id, seq;
	double begin;
	char reservation[27], key[33], hash[65];
};

struct queue {
	pthread_mutex_t mutex;
	pthread_cond_t filled;
	struct order *first, *last;
};

struct options {
	const char *host, *user, *password;
	int port, connections, seconds, warm, users, products;
	bool batched, prepared; /* plain: prepared statements, or one packet of text */
};

struct counters {
	atomic_llong done, refused, failed, retries, trips;
	atomic_llong batches, members; /* of both transactions */
};

struct bench {
	struct options opt;
	struct queue arrived, reserved; /* reserved: batched only */
	struct counters count;
	atomic_bool stop, measuring;
	atomic_llong numbers, latencies_n;
	uint64_t epoch; /* makes ids of two runs differ */
	float *latencies;
};

/* ---- orders.c ---- */

double bench_now(void);
/* A new order under a pointer that is used again. */
void order_fill(struct bench *bench, struct order *order);
/* Counts the answer and sends the client's next order. */
void order_complete(struct bench *bench, struct order *order);
void queue_init(struct queue *queue);
void queue_push(struct queue *queue, struct order *order);
/* Waits for at least one, unless the run ends; returns how many. */
int queue_pop(struct bench *bench, struct queue *queue, struct order **orders, int max);
void queue_wake(struct queue *queue);

/* ---- sql.c ---- */

/* Grows as needed. */
struct text {
	char *at;
	size_t len, size;
};

void text_add(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

typedef void (*sql_row)(void *arg, MYSQL_ROW row);

MYSQL *sql_connect(const struct options *opt); /* ends the program when it cannot */
/* Runs all statements of one packet; 0 or the error of the first that failed. */
int sql_run(struct bench *bench, MYSQL *conn, const char *text, size_t len, sql_row row,
	    void *arg);
int sql_text(struct bench *bench, MYSQL *conn, const char *text);
bool sql_is_retryable(int error);

/* ---- plain.c, batched.c: one thread each ---- */

void *plain_thread(void *bench);
void *reserve_thread(void *bench);
void *record_thread(void *bench);

/* ---- verify.c ---- */

/* Prints what does not add up; false then. */
bool verify(struct bench *bench, MYSQL *conn);

/* The event as the shop writes it, once with the id that SQL knows, once with ours. */
#define PAYLOAD_TAIL                                                          \
	"\"user_id\":%d,\"items\":[{\"product_id\":%d,\"quantity\":%d,"       \
	"\"price\":\"19.90\"}],\"total\":\"%d.%02d\",\"reservation\":\"%s\"," \
	"\"ts\":\"2026-11-22T21:00:00.000Z\","                                \
	"\"trace\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00\"}"
#define PAYLOAD_HEAD "{\"type\":\"order.created\",\"v\":1,\"order_id\":"
#define TOTAL_ARGS(order) \
	PRICE_CENTS *(order)->quantity / 100, PRICE_CENTS *(order)->quantity % 100

#endif
