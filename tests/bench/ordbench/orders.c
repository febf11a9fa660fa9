/* orders.c - clients that place an order, wait for the answer and place the next. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ordbench.h"

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t next_random(void)
{
	static __thread uint64_t state;

	if (!state)
		state = (uint64_t)(bench_now() * 1e9) ^ (uint64_t)(uintptr_t)&state;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void order_fill(struct bench *bench, struct order *order)
{
	const struct options *opt = &bench->opt;
	unsigned long long n = (unsigned long long)atomic_fetch_add(&bench->numbers, 1);

	order->n = n;
	order->user = 1 + (int)(next_random() % (uint64_t)opt->users);
	order->product = 1 + (int)(next_random() % (uint64_t)opt->products);
	order->quantity = 1 + (int)(next_random() % 3);
	order->result = RESULT_OK;
	order->seq = order->id = 0;
	snprintf(order->reservation, sizeof(order->reservation), "01%08llX%016llX",
		 (unsigned long long)(bench->epoch & 0xffffffff), n);
	snprintf(order->key, sizeof(order->key), "k%015llx%016llx",
		 (unsigned long long)bench->epoch, n);
	memset(order->hash, 'a', sizeof(order->hash) - 1);
	order->hash[sizeof(order->hash) - 1] = '\0';
	order->begin = bench_now();
}

static void count(struct bench *bench, const struct order *order)
{
	long long i;

	if (order->result == RESULT_OK)
		bench->count.done++;
	else if (order->result == RESULT_SHORT)
		bench->count.refused++;
	else
		bench->count.failed++;
	i = atomic_fetch_add(&bench->latencies_n, 1);
	if (i < LATENCIES_MAX)
		bench->latencies[i] = (float)((bench_now() - order->begin) * 1e3);
}

void order_complete(struct bench *bench, struct order *order)
{
	if (bench->measuring)
		count(bench, order);
	if (bench->stop)
		return;
	order_fill(bench, order);
	queue_push(&bench->arrived, order);
}

/* ---- queues ---- */

void queue_init(struct queue *queue)
{
	pthread_mutex_init(&queue->mutex, NULL);
	pthread_cond_init(&queue->filled, NULL);
}

void queue_push(struct queue *queue, struct order *order)
{
	pthread_mutex_lock(&queue->mutex);
	order->next = NULL;
	if (queue->last)
		queue->last->next = order;
	else
		queue->first = order;
	queue->last = order;
	pthread_cond_signal(&queue->filled);
	pthread_mutex_unlock(&queue->mutex);
}

int queue_pop(struct bench *bench, struct queue *queue, struct order **orders, int max)
{
	int n = 0;

	pthread_mutex_lock(&queue->mutex);
	while (!queue->first && !bench->stop)
		pthread_cond_wait(&queue->filled, &queue->mutex);
	while (queue->first && n < max) {
		orders[n++] = queue->first;
		queue->first = queue->first->next;
	}
	if (!queue->first)
		queue->last = NULL;
	pthread_mutex_unlock(&queue->mutex);
	return n;
}

void queue_wake(struct queue *queue)
{
	pthread_mutex_lock(&queue->mutex);
	pthread_cond_broadcast(&queue->filled);
	pthread_mutex_unlock(&queue->mutex);
}
