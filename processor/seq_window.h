/*
 * seq_window.h - which numbered events of a user were already counted?
 *
 * After the anti-replay window of RFC 4303: everything up to `seq` was seen,
 * and `seen` maps the 64 numbers above it.  At or below, or in the map, is a
 * duplicate, so a very old repetition is recognised as well as a recent one,
 * and events may come in any order within 64.
 *
 * A hole that is still open after 64 further events is given up: its numbers
 * are reported and taken as seen.  The upper 16 bits of a number are an epoch;
 * a higher one starts afresh.
 */
#ifndef PROCESSOR_SEQ_WINDOW_H
#define PROCESSOR_SEQ_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEQ_WINDOW_BITS 64
#define SEQ_MAX_JUMP    1000000
#define SEQ_EPOCH_SHIFT 48
/* 64 alternating bits leave 32 holes; one more may lie above them. */
#define SEQ_LOST_RANGES 34

struct seq_window {
	uint64_t seq;  /* all up to here were seen; 0: none yet */
	uint64_t seen; /* bit i: seq + 1 + i was seen. Bit 0 is never set */
};

/* Numbers that were given up, as inclusive ranges in ascending order. */
struct seq_lost {
	unsigned n;
	uint64_t total;
	struct {
		uint64_t first, last;
	} range[SEQ_LOST_RANGES];
};

enum seq_verdict {
	SEQ_NEW,
	SEQ_DUPLICATE,
	SEQ_JUMP /* more than SEQ_MAX_JUMP ahead: not believed, nothing changed */
};

/* Judges `number` and takes it in. `lost` is always filled (often with n = 0);
 * `first_beyond`: the user, or the epoch, was first seen beyond 64. */
enum seq_verdict seq_window_take(struct seq_window *win, uint64_t number,
				 struct seq_lost *lost, bool *first_beyond);

/* Writes "18-20, 25"; cut with "..." when `size` is too small. */
void seq_lost_text(const struct seq_lost *lost, char *dst, size_t size);

#endif
