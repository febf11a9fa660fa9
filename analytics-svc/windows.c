/*
 * windows.c - windows in an array by start; each with its parts by partition.
 * Running sums are kept up to date with every record, so nobody adds up all.
 */
#include "windows.h"

#include <stdlib.h>

struct part {
	int64_t version; /* -1: nothing reported */
	struct sums sums;
	int64_t users;
	bool final;
};

struct minute {
	int64_t start;
	int32_t n_parts;
	struct part *parts; /* by partition */
};

/* What a partition says of itself. */
struct status {
	int64_t version;
	struct sums late, folded;
};

struct windows {
	struct minute *minutes; /* by start, oldest first */
	size_t n, cap;
	struct status *statuses; /* by partition */
	int32_t n_statuses;
	struct sums in_windows, late, folded;
	int64_t dropped;
};

struct windows *windows_new(void)
{
	return xcalloc(1, sizeof(struct windows));
}

void windows_free(struct windows *windows)
{
	if (!windows)
		return;
	for (size_t i = 0; i < windows->n; i++)
		free(windows->minutes[i].parts);
	free(windows->minutes);
	free(windows->statuses);
	free(windows);
}

static void add(struct sums *to, const struct sums *what, int sign)
{
	to->orders += sign * what->orders;
	to->revenue += sign * what->revenue;
	to->cancelled += sign * what->cancelled;
	to->refunded += sign * what->refunded;
}

/* First window that does not start before `start`. */
static size_t place(const struct windows *windows, int64_t start)
{
	size_t low = 0, high = windows->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		if (windows->minutes[mid].start < start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void minute_remove(struct windows *windows, size_t i)
{
	struct minute *minute = &windows->minutes[i];

	for (int32_t p = 0; p < minute->n_parts; p++)
		if (minute->parts[p].version >= 0)
			add(&windows->in_windows, &minute->parts[p].sums, -1);
	free(minute->parts);
	windows->n--;
	memmove(minute, minute + 1, (windows->n - i) * sizeof(*minute));
}

static struct minute *minute_add(struct windows *windows, size_t i, int64_t start)
{
	if (windows->n == windows->cap) {
		windows->cap = windows->cap ? windows->cap * 2 : 64;
		windows->minutes = xrealloc(windows->minutes,
					    windows->cap * sizeof(*windows->minutes));
	}
	memmove(&windows->minutes[i + 1], &windows->minutes[i],
		(windows->n - i) * sizeof(*windows->minutes));
	windows->n++;
	windows->minutes[i] = (struct minute){.start = start};
	return &windows->minutes[i];
}

static struct part *part_of(struct minute *minute, int32_t partition)
{
	if (partition >= minute->n_parts) {
		minute->parts = xrealloc(minute->parts, ((size_t)partition + 1) *
								sizeof(*minute->parts));
		while (minute->n_parts <= partition)
			minute->parts[minute->n_parts++] = (struct part){.version = -1};
	}
	return &minute->parts[partition];
}

static bool is_empty(const struct minute *minute)
{
	for (int32_t p = 0; p < minute->n_parts; p++)
		if (minute->parts[p].version >= 0)
			return false;
	return true;
}

static bool part_gone(struct windows *windows, const struct result *r)
{
	size_t i = place(windows, r->start);
	struct part *part;

	if (i == windows->n || windows->minutes[i].start != r->start)
		return true;
	part = part_of(&windows->minutes[i], r->partition);
	if (part->version >= 0)
		add(&windows->in_windows, &part->sums, -1);
	*part = (struct part){.version = -1};
	if (is_empty(&windows->minutes[i]))
		minute_remove(windows, i);
	return true;
}

static bool put_part(struct windows *windows, const struct result *r)
{
	size_t i = place(windows, r->start);
	struct minute *minute = &windows->minutes[i];
	struct part *part;
	bool up;

	if (i == windows->n || minute->start != r->start) {
		if (windows->n == WINDOWS_MAX) {
			windows->dropped++;
			if (i == 0)
				return true;
			minute_remove(windows, 0);
			i--;
		}
		minute = minute_add(windows, i, r->start);
	}
	part = part_of(minute, r->partition);
	up = r->version > part->version;
	if (part->version >= 0)
		add(&windows->in_windows, &part->sums, -1);
	*part = (struct part){.version = r->version,
			      .sums = r->sums,
			      .users = r->users,
			      .final = r->final};
	add(&windows->in_windows, &part->sums, 1);
	return up;
}

static bool put_status(struct windows *windows, const struct result *r)
{
	struct status *status;
	bool up;

	if (r->partition >= windows->n_statuses) {
		windows->statuses =
			xrealloc(windows->statuses,
				 ((size_t)r->partition + 1) * sizeof(*windows->statuses));
		while (windows->n_statuses <= r->partition)
			windows->statuses[windows->n_statuses++] =
				(struct status){.version = -1};
	}
	status = &windows->statuses[r->partition];
	up = r->gone || r->version > status->version;
	add(&windows->late, &status->late, -1);
	add(&windows->folded, &status->folded, -1);
	*status = (struct status){r->gone ? -1 : r->version, r->late, r->folded};
	add(&windows->late, &status->late, 1);
	add(&windows->folded, &status->folded, 1);
	return up;
}

bool windows_put(struct windows *windows, const struct result *result)
{
	if (result->type == RESULT_PARTITION)
		return put_status(windows, result);
	return result->gone ? part_gone(windows, result) : put_part(windows, result);
}

static void sum_up(const struct minute *minute, struct window *out)
{
	*out = (struct window){.start = minute->start, .final = true};
	for (int32_t p = 0; p < minute->n_parts; p++) {
		const struct part *part = &minute->parts[p];
		if (part->version < 0)
			continue;
		add(&out->sums, &part->sums, 1);
		out->users += part->users;
		out->final = out->final && part->final;
	}
}

size_t windows_list(const struct windows *windows, int64_t since, struct window *out,
		    size_t max)
{
	size_t n = 0;

	for (size_t i = windows->n; i-- > 0 && n < max;) {
		if (windows->minutes[i].start < since)
			break;
		sum_up(&windows->minutes[i], &out[n++]);
	}
	return n;
}

struct sums windows_all(const struct windows *windows)
{
	struct sums all = windows->in_windows;

	add(&all, &windows->folded, 1);
	add(&all, &windows->late, 1);
	return all;
}

struct sums windows_late(const struct windows *windows)
{
	return windows->late;
}

int64_t windows_dropped(const struct windows *windows)
{
	return windows->dropped;
}
