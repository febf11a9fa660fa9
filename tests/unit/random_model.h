/*
 * random_model.h - random sequences of steps, run against a module and a model of
 * it; a sequence that fails is made small and printed as a case to keep.
 *
 *   RANDOM_SECONDS=60   how long each random test runs (2, with a database 4)
 *   SEED=123            where it begins (the clock); a failure prints its own
 *
 * Case number i of a run has the seed SEED + i, so that a printed seed gives the
 * failing case at once.
 *
 * Steps are numbers only, and mean something wherever they stand: then any part
 * of a sequence is a sequence too, which is what makes it small.
 */
#ifndef TESTS_UNIT_RANDOM_MODEL_H
#define TESTS_UNIT_RANDOM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- numbers ---- */

/* SplitMix (Steele, Lea and Flood, OOPSLA 2014): a stream can be split off, and
 * what is drawn from one does not move the other. */
struct rng {
	uint64_t state, gamma;
};

struct rng rng_new(uint64_t seed);
struct rng rng_split(struct rng *rng);
uint64_t rng_next(struct rng *rng);
int64_t rng_below(struct rng *rng, int64_t n); /* 0 ... n - 1 */
int64_t rng_between(struct rng *rng, int64_t low, int64_t high);
bool rng_percent(struct rng *rng, unsigned percent);

/* ---- steps ---- */

#define STEP_ARGS 6

struct step {
	unsigned kind;
	int64_t arg[STEP_ARGS];
};

struct step_kind {
	const char *name; /* as it is written in C */
	const char *args; /* their names, for the reader: "user seq" */
};

#define RANDOM_WHY_MAX 512

struct random_test {
	const char *name;
	const struct step_kind *kinds; /* by step.kind */
	size_t max_steps;
	double seconds; /* unless RANDOM_SECONDS is set; 0: 2 */
	/* Fills all n steps. */
	void (*make)(struct rng *rng, struct step *steps, size_t n);
	/* From the very beginning; false: `why` (RANDOM_WHY_MAX bytes) says what is
	 * wrong. The same steps must always end the same way. */
	bool (*run)(const struct step *steps, size_t n, char *why);
};

/* A cmocka test: cases until the time is over, or one fails. */
void random_check(const struct random_test *test);
/* A cmocka test: one case that was kept. */
void random_replay(const struct random_test *test, const struct step *steps, size_t n);

/* ---- the parts ---- */

/* Leaves out what the failure does not need and makes numbers small; for some
 * seconds at most. Returns how many steps are left. */
size_t random_shrink(const struct random_test *test, struct step *steps, size_t n);
/* As C, with the names of the arguments beside it. */
void random_print(FILE *out, const struct random_test *test, const struct step *steps,
		  size_t n);
/* Sets `why`; always returns false. */
bool random_wrong(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
