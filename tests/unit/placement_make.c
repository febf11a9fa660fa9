/* placement_make.c - random steps of orders on their way. */
#include "placement.h"
#include "str.h"

/* A wish mostly goes with its key, as a client's retries do. */
static void random_place(struct rng *rng, struct step *step)
{
	int64_t user = rng_below(rng, PLACEMENT_USERS);
	int64_t key = rng_below(rng, PLACEMENT_KEYS);
	struct rng wishes = rng_percent(rng, 85) && key
				    ? rng_new((uint64_t)(user * 100 + key))
				    : rng_split(rng);
	int64_t product = rng_below(&wishes, rng_percent(&wishes, 5) ? 4 : 3);

	*step = (struct step){PLACE,
			      {user, key, product, rng_below(&wishes, 6),
			       rng_below(&wishes, 3), rng_below(&wishes, 5)}};
}

/* One in four; bits for the members of a batch. */
static int64_t some_bits(struct rng *rng)
{
	return (int64_t)(rng_next(rng) & rng_next(rng) & 0xffff);
}

/* What an attempt goes through, told from its beginning; several are told at once,
 * and anything may come in between. */
static const unsigned char stories[][10] = {
	{PLACE, SEND, BATCH, RECORD, CANCEL, EVENTS, EVENTS},
	{PLACE, SEND, BATCH, RECORD, SETTLE, RELEASE, RELEASE, SEND, BATCH},
	{PLACE, SEND, GIVE_UP, SETTLE, RELEASE, BATCH, RELEASE},
	{PLACE, SEND, GIVE_UP, BATCH, SETTLE, RELEASE, RELEASE, EVENTS},
	{PLACE, SEND, BATCH, DIE, EXPIRE, FIND, ASK, MOVE, MOVE},
	{PLACE, SEND, BATCH, EXPIRE, FIND, ASK, RECORD, SETTLE, MOVE, RELEASE},
	{PLACE, SEND, BATCH, RECORD, EXPIRE, FIND, ASK, MOVE, EVENTS, CANCEL},
	{PLACE, SEND, BATCH, REFUSE, RESTOCK},
};

struct story {
	const unsigned char *next, *end;
	int64_t attempt;
};

static void begin_story(struct rng *rng, struct story *story)
{
	story->next = stories[rng_below(rng, ARRAY_LEN(stories))];
	story->end = story->next + sizeof(stories[0]);
}

static unsigned next_of(struct rng *rng, struct story *story)
{
	/* PLACE is 0, so a short story ends where the next attempt would begin. */
	if (story->next == story->end ||
	    (*story->next == PLACE && story->next != story->end - sizeof(stories[0])))
		begin_story(rng, story);
	return *story->next++;
}

static void random_step(struct rng *rng, struct step *step, unsigned kind,
			int64_t attempt)
{
	*step = (struct step){kind, {attempt, rng_percent(rng, 25)}};
	switch (kind) {
	case PLACE: random_place(rng, step); break;
	case BATCH:
		step->arg[0] = rng_percent(rng, 25) ? step->arg[0] : 0;
		step->arg[1] = rng_below(rng, 6);
		break;
	case SEND: step->arg[1] = rng_percent(rng, 5); break;
	case RECORD:
		step->arg[1] = rng_below(rng, 6);
		step->arg[2] = some_bits(rng);
		step->arg[3] = some_bits(rng) & some_bits(rng);
		break;
	case EVENTS:
	case ASK: step->arg[0] = rng_between(rng, 1, 5); break;
	case MOVE: step->arg[0] = rng_percent(rng, 25); break;
	case RESTOCK: step->arg[1] = rng_below(rng, 10); break;
	}
}

void placement_make(struct rng *rng, struct step *steps, size_t n)
{
	struct story told[3] = {0};
	int64_t most = 0;

	for (size_t i = 0; i < n; i++) {
		struct story *story = &told[rng_below(rng, ARRAY_LEN(told))];
		bool stray = rng_percent(rng, 20);
		unsigned kind = stray ? (unsigned)rng_below(rng, RESTOCK + 1)
				      : next_of(rng, story);

		if (kind == PLACE && most < ATTEMPTS_MAX) {
			most++;
			if (!stray)
				story->attempt = most - 1;
		}
		random_step(rng, &steps[i], kind,
			    stray ? rng_below(rng, most + 1) : story->attempt);
	}
}
