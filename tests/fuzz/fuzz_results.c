/* fuzz_results.c - any bytes as a user's record of the results: what the quick reading
 * takes, the general one understands alike. */
/* link: processor/results_load.c processor/results_scan.c processor/results_json.c */
/* link: processor/partition_state.c processor/user_state.c processor/window_state.c */
/* link: processor/seq_window.c processor/partitioner.c */
#include <stdio.h>
#include <stdlib.h>

#include "processor/results_json.h"
#include "processor/results_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct user *a, const struct user *b)
{
	return b && a->user_id == b->user_id && a->version == b->version &&
	       a->orders == b->orders && a->cents == b->cents &&
	       a->last_order_ms == b->last_order_ms && a->window_s == b->window_s &&
	       a->seq.seq == b->seq.seq && a->seq.seen == b->seq.seen && !b->recent;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *state;
	struct user quick;
	struct err err;
	char key[RESULTS_KEY_MAX], *longer;

	if (!results_scan_user((struct str){(const char *)data, size}, &quick))
		return 0;
	state = state_new(0, 10);
	longer = malloc(size + 1);
	if (!longer)
		abort();
	/* Keeps the quick reading out; all the same to the general one. */
	longer[0] = ' ';
	memcpy(longer + 1, data, size);
	if (!results_load(state, 1, results_user_key(key, quick.user_id),
			  (struct str){longer, size + 1}, &err) ||
	    !same(&quick, state_user(state, quick.user_id)))
		abort();
	free(longer);
	state_free(state);
	return 0;
}
