/*
 * catalogue_read.c - is what the copy has good enough for this reader?
 *
 * Of all that an answer is made of the oldest counts: when it was read, and by which
 * look.
 */
#include "catalogue_internal.h"
#include "timeutil.h"

/* Lets the next look read its stock. false: it has enough to read. */
static bool want(struct catalogue *catalogue, struct catalogue_entry *entry)
{
	uint64_t next = catalogue->looks_begun + 1;

	if (entry->wanted == next)
		return true;
	if (catalogue->n_wanted == LOOK_IDS)
		return false;
	entry->wanted = next;
	return str_copy(catalogue->ids[catalogue->filling][catalogue->n_wanted++],
			PRODUCT_ID_MAX + 1, entry->id);
}

/* May a reader start a look of its own, because stock has moved? One that others wait
 * for anyway costs nothing. */
static bool may_look(struct catalogue *catalogue)
{
	if (catalogue->next)
		return true;
	if (!catalogue->move_looks)
		return false;
	catalogue->move_looks--;
	return true;
}

/* The oldest of what an answer is made of. */
struct oldest {
	int64_t ms;
	uint64_t read;
	bool wanted; /* the next look reads all of it again */
};

static struct oldest oldest_of(struct catalogue *catalogue,
			       struct catalogue_entry **entries, size_t n)
{
	struct oldest oldest = {
		.ms = catalogue->checked_ms, .read = catalogue->checked, .wanted = true};

	for (size_t i = 0; i < n; i++) {
		if (!want(catalogue, entries[i]))
			oldest.wanted = false;
		if (entries[i]->stock_ms < oldest.ms)
			oldest.ms = entries[i]->stock_ms;
		if (entries[i]->read < oldest.read)
			oldest.read = entries[i]->read;
	}
	return oldest;
}

static enum catalogue_answer judge_away(struct catalogue *catalogue,
					struct catalogue_reader *reader, int64_t age_ms)
{
	if (reader->exact || !catalogue->checked_ms ||
	    time_mono_ms() - catalogue->checked_ms > catalogue->cfg.stale_ms)
		return CATALOGUE_DATABASE;
	reader->stale = age_ms > 2 * catalogue->cfg.poll_ms ||
			catalogue->checked < catalogue->changed;
	reader->age_s = age_ms / 1000;
	return CATALOGUE_HIT;
}

static enum catalogue_answer judge(struct catalogue *catalogue,
				   struct catalogue_entry **entries, size_t n,
				   struct catalogue_reader *reader)
{
	struct oldest oldest = oldest_of(catalogue, entries, n);
	int64_t age_ms = time_mono_ms() - oldest.ms;

	if (reader->since && oldest.read > reader->since)
		return CATALOGUE_HIT;
	if (catalogue->away_ms)
		return judge_away(catalogue, reader, age_ms);
	/* Waited in vain, or there is too much to read. */
	if (reader->since || !oldest.wanted)
		return CATALOGUE_DATABASE;
	if (reader->exact || !catalogue->checked_ms ||
	    catalogue->checked < catalogue->changed ||
	    age_ms > 2 * catalogue->cfg.poll_ms ||
	    (oldest.read < catalogue->moved && may_look(catalogue)))
		return CATALOGUE_WAIT;
	return CATALOGUE_HIT;
}

static enum catalogue_answer count(struct catalogue *catalogue,
				   enum catalogue_answer answer,
				   const struct catalogue_reader *reader)
{
	if (answer == CATALOGUE_DATABASE)
		metric_add(catalogue->misses, 1);
	else if (answer == CATALOGUE_HIT)
		metric_add(reader->stale   ? catalogue->stale
			   : reader->since ? catalogue->waits
					   : catalogue->hits,
			   1);
	return answer;
}

enum catalogue_answer catalogue_find(struct catalogue *catalogue, struct str id,
				     struct catalogue_reader *reader,
				     struct catalogue_entry **entry)
{
	enum catalogue_answer answer = CATALOGUE_DATABASE;

	*entry = catalogue->index ? catalogue_index_find(catalogue->index, id) : NULL;
	/* One that is not here may just have been made through another instance. */
	if (*entry)
		answer = judge(catalogue, entry, 1, reader);
	return count(catalogue, answer, reader);
}

enum catalogue_answer catalogue_page(struct catalogue *catalogue, struct str after,
				     size_t limit, struct catalogue_reader *reader,
				     struct catalogue_entry ***first, size_t *n,
				     bool *more)
{
	enum catalogue_answer answer = CATALOGUE_DATABASE;

	if (catalogue->index) {
		*n = catalogue_index_after(catalogue->index, after, first);
		*more = *n > limit;
		if (*more)
			*n = limit;
		answer = judge(catalogue, *first, *n, reader);
	}
	return count(catalogue, answer, reader);
}
