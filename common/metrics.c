/*
 * metrics.c - a registry of series and its Prometheus text.
 *
 * Series are only ever added, at the head of a list, by compare-and-swap: so
 * updates and the page need no lock.  Registering looks the series up first; two
 * threads that register the same new series at once may add it twice, and the
 * page then adds the two up.
 */
#include "metrics_internal.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "str.h"
#include "timeutil.h"

static const uint64_t bounds_us[] = {500,     1000,    2500,    5000,    10000,
				     25000,   50000,   100000,  250000,  500000,
				     1000000, 2500000, 5000000, 10000000};
#define N_BUCKETS ARRAY_LEN(bounds_us)

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct metric {
	struct metric *next;
	char *name, *help, *labels; /* labels: "" when there are none */
	enum kind kind;
	int64_t scale;
	atomic_int_fast64_t value; /* histogram: observations */
	atomic_int_fast64_t sum_us;
	atomic_int_fast64_t buckets[N_BUCKETS];
};

struct hook {
	struct hook *next;
	metrics_collect fn;
	void *arg;
};

struct metrics {
	_Atomic(struct metric *) head;
	struct hook *hooks;
	int64_t started_ms;
};

struct metrics *metrics_new(void)
{
	struct metrics *metrics = xcalloc(1, sizeof(*metrics));

	metrics->started_ms = time_now_ms();
	return metrics;
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	for (struct metric *m = metrics->head, *next; m; m = next) {
		next = m->next;
		free(m->name);
		free(m->help);
		free(m->labels);
		free(m);
	}
	for (struct hook *h = metrics->hooks, *next; h; h = next) {
		next = h->next;
		free(h);
	}
	free(metrics);
}

static struct metric *find(struct metrics *metrics, const char *name, const char *labels,
			   unsigned *in_family)
{
	*in_family = 0;
	for (struct metric *m = metrics->head; m; m = m->next) {
		if (strcmp(m->name, name) != 0)
			continue;
		if (strcmp(m->labels, labels) == 0)
			return m;
		(*in_family)++;
	}
	return NULL;
}

static struct metric *add(struct metrics *metrics, enum kind kind, const char *name,
			  const char *help, const char *labels)
{
	unsigned in_family;
	struct metric *m = find(metrics, name, labels ? labels : "", &in_family);

	if (m)
		return m;
	if (in_family >= METRICS_MAX_SERIES) {
		labels = "other=\"true\"";
		m = find(metrics, name, labels, &in_family);
		if (m)
			return m;
	}
	m = xcalloc(1, sizeof(*m));
	m->name = xstrdup(name);
	m->help = xstrdup(help);
	m->labels = xstrdup(labels ? labels : "");
	m->kind = kind;
	m->scale = 1;
	m->next = metrics->head;
	while (!atomic_compare_exchange_weak(&metrics->head, &m->next, m))
		;
	return m;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name,
			       const char *help, const char *labels)
{
	return add(metrics, KIND_COUNTER, name, help, labels);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *help,
			     const char *labels)
{
	return add(metrics, KIND_GAUGE, name, help, labels);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name,
				 const char *help, const char *labels)
{
	return add(metrics, KIND_HISTOGRAM, name, help, labels);
}

void metric_add(struct metric *m, int64_t n)
{
	atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}

void metric_set(struct metric *m, int64_t n)
{
	atomic_store_explicit(&m->value, n, memory_order_relaxed);
}

void metric_scale(struct metric *m, int64_t scale)
{
	m->scale = scale;
}

int64_t metric_get(const struct metric *m)
{
	return atomic_load_explicit(&m->value, memory_order_relaxed);
}

void metric_observe_us(struct metric *m, uint64_t us)
{
	unsigned i = 0;

	while (i < N_BUCKETS && us > bounds_us[i])
		i++;
	if (i < N_BUCKETS)
		atomic_fetch_add_explicit(&m->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->sum_us, (int64_t)us, memory_order_relaxed);
	atomic_fetch_add_explicit(&m->value, 1, memory_order_relaxed);
}

void metrics_on_collect(struct metrics *metrics, metrics_collect fn, void *arg)
{
	struct hook *h = xcalloc(1, sizeof(*h));

	h->fn = fn;
	h->arg = arg;
	h->next = metrics->hooks;
	metrics->hooks = h;
}

static void print_histogram(FILE *out, const struct metric *m)
{
	const char *sep = *m->labels ? "," : "";
	int64_t seen = 0;

	for (unsigned i = 0; i < N_BUCKETS; i++) {
		seen += m->buckets[i];
		fprintf(out, "%s_bucket{%s%sle=\"%g\"} %" PRId64 "\n", m->name, m->labels,
			sep, (double)bounds_us[i] / 1e6, seen);
	}
	fprintf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRId64 "\n", m->name, m->labels, sep,
		metric_get(m));
	fprintf(out, *m->labels ? "%s_sum{%s} %.6f\n" : "%s_sum%s %.6f\n", m->name,
		m->labels, (double)m->sum_us / 1e6);
	fprintf(out,
		*m->labels ? "%s_count{%s} %" PRId64 "\n" : "%s_count%s %" PRId64 "\n",
		m->name, m->labels, metric_get(m));
}

static void print_value(FILE *out, const struct metric *m)
{
	fprintf(out, *m->labels ? "%s{%s} " : "%s%s ", m->name, m->labels);
	if (m->scale == 1)
		fprintf(out, "%" PRId64 "\n", metric_get(m));
	else
		fprintf(out, "%.15g\n", (double)metric_get(m) / (double)m->scale);
}

static bool printed_before(const struct metrics *metrics, const struct metric *m)
{
	for (const struct metric *p = metrics->head; p != m; p = p->next) {
		if (strcmp(p->name, m->name) == 0)
			return true;
	}
	return false;
}

static void print_family(FILE *out, const struct metric *first)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};

	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", first->name, first->help,
		first->name, types[first->kind]);
	for (const struct metric *m = first; m; m = m->next) {
		if (strcmp(m->name, first->name) != 0)
			continue;
		if (m->kind == KIND_HISTOGRAM)
			print_histogram(out, m);
		else
			print_value(out, m);
	}
}

char *metrics_text(struct metrics *metrics, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		abort();
	for (struct hook *h = metrics->hooks; h; h = h->next)
		h->fn(h->arg);
	for (const struct metric *m = metrics->head; m; m = m->next) {
		if (!printed_before(metrics, m))
			print_family(out, m);
	}
	metrics_process(out, metrics->started_ms);
	fclose(out);
	return text;
}
