/* generations.c - the counters. */
#include "generations.h"

static uint32_t place_of(struct str name)
{
	return (uint32_t)(str_hash(name) % GENERATIONS);
}

void generations_take(const struct generations *all, struct str path, struct str pattern,
		      struct generation_tag *tag)
{
	tag->place[0] = place_of(path);
	tag->place[1] = place_of(pattern);
	for (int i = 0; i < 2; i++)
		tag->seen[i] = atomic_load(&all->at[tag->place[i]]);
}

bool generations_hold(const struct generations *all, const struct generation_tag *tag)
{
	return atomic_load(&all->at[tag->place[0]]) == tag->seen[0] &&
	       atomic_load(&all->at[tag->place[1]]) == tag->seen[1];
}

void generations_move(struct generations *all, struct str name)
{
	atomic_fetch_add(&all->at[place_of(name)], 1);
}

void generations_wrote(struct generations *all, struct str path)
{
	while (path.len > 1) {
		generations_move(all, path);
		do
			path.len--;
		while (path.len > 0 && path.at[path.len] != '/');
	}
}
