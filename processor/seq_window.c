/* seq_window.c - the window slides; what falls out of it unseen is lost. */
#include "seq_window.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void lose(struct seq_lost *lost, uint64_t first, uint64_t last)
{
	if (first > last)
		return;
	lost->total += last - first + 1;
	if (lost->n > 0 && lost->range[lost->n - 1].last + 1 == first) {
		lost->range[lost->n - 1].last = last;
		return;
	}
	if (lost->n == SEQ_LOST_RANGES)
		return;
	lost->range[lost->n].first = first;
	lost->range[lost->n++].last = last;
}

/* What is seen right above `seq` needs no bit. */
static void settle(struct seq_window *win)
{
	while (win->seen & 1) {
		win->seq++;
		win->seen >>= 1;
	}
}

/* Moves the lower end up by `steps`; numbers not seen on the way are lost. */
static void slide(struct seq_window *win, uint64_t steps, struct seq_lost *lost)
{
	uint64_t mapped = steps < SEQ_WINDOW_BITS ? steps : SEQ_WINDOW_BITS;

	for (uint64_t i = 0; i < mapped; i++) {
		if (!(win->seen >> i & 1))
			lose(lost, win->seq + 1 + i, win->seq + 1 + i);
	}
	lose(lost, win->seq + 1 + mapped, win->seq + steps);
	win->seen = steps < SEQ_WINDOW_BITS ? win->seen >> steps : 0;
	win->seq += steps;
}

static uint64_t epoch_start(uint64_t number)
{
	return number >> SEQ_EPOCH_SHIFT << SEQ_EPOCH_SHIFT;
}

/* A new user or epoch. The holes of the old epoch will never be filled. */
static void start_afresh(struct seq_window *win, uint64_t number, struct seq_lost *lost,
			 bool *first_beyond)
{
	uint64_t start = epoch_start(number);

	while (win->seen)
		slide(win, 1, lost);
	*first_beyond = number - start > SEQ_WINDOW_BITS;
	win->seq = *first_beyond ? number - 1 : start;
	win->seen = 0;
}

enum seq_verdict seq_window_take(struct seq_window *win, uint64_t number,
				 struct seq_lost *lost, bool *first_beyond)
{
	uint64_t ahead;

	lost->n = 0;
	lost->total = 0;
	*first_beyond = false;
	if (epoch_start(number) > win->seq || (win->seq == 0 && win->seen == 0))
		start_afresh(win, number, lost, first_beyond);
	if (number <= win->seq)
		return SEQ_DUPLICATE;
	ahead = number - win->seq;
	if (ahead > SEQ_MAX_JUMP)
		return SEQ_JUMP;
	if (ahead > SEQ_WINDOW_BITS) {
		slide(win, ahead - SEQ_WINDOW_BITS, lost);
		ahead = SEQ_WINDOW_BITS;
	}
	if (win->seen >> (ahead - 1) & 1)
		return SEQ_DUPLICATE;
	win->seen |= (uint64_t)1 << (ahead - 1);
	settle(win);
	return SEQ_NEW;
}

void seq_lost_text(const struct seq_lost *lost, char *dst, size_t size)
{
	size_t used = 0;

	dst[0] = '\0';
	for (unsigned i = 0; i < lost->n; i++) {
		uint64_t first = lost->range[i].first, last = lost->range[i].last;
		char item[48];
		int len =
			snprintf(item, sizeof(item), "%s%" PRIu64, i ? ", " : "", first);

		if (last > first)
			len += snprintf(item + len, sizeof(item) - (size_t)len,
					"-%" PRIu64, last);
		if (used + (size_t)len + sizeof("...") > size) {
			memcpy(dst + used, "...", sizeof("..."));
			return;
		}
		memcpy(dst + used, item, (size_t)len + 1);
		used += (size_t)len;
	}
}
