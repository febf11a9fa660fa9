/* random_model.c - draw, run, make small, print. */
#include "random_model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

#define SHRINK_S 30

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool random_wrong(char *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, RANDOM_WHY_MAX, fmt, args);
	va_end(args);
	return false;
}

/* ---- numbers ---- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Odd, and with enough changes from bit to bit. */
static uint64_t mix_gamma(uint64_t z)
{
	z = mix(z) | 1;
	return __builtin_popcountll(z ^ z >> 1) < 24 ? z ^ 0xaaaaaaaaaaaaaaaau : z;
}

struct rng rng_new(uint64_t seed)
{
	return (struct rng){mix(seed), 0x9e3779b97f4a7c15u};
}

uint64_t rng_next(struct rng *rng)
{
	rng->state += rng->gamma;
	return mix(rng->state);
}

struct rng rng_split(struct rng *rng)
{
	uint64_t state = rng_next(rng);

	return (struct rng){state, mix_gamma(rng_next(rng))};
}

int64_t rng_below(struct rng *rng, int64_t n)
{
	return (int64_t)(rng_next(rng) % (uint64_t)n);
}

int64_t rng_between(struct rng *rng, int64_t low, int64_t high)
{
	return low + rng_below(rng, high - low + 1);
}

bool rng_percent(struct rng *rng, unsigned percent)
{
	return rng_below(rng, 100) < percent;
}

/* ---- making a failing sequence small ---- */

struct shrinking {
	const struct random_test *test;
	struct step *steps, *trial;
	size_t n;
	double deadline;
};

static bool out_of_time(const struct shrinking *s)
{
	return seconds_now() > s->deadline;
}

static bool fails(const struct shrinking *s, const struct step *steps, size_t n)
{
	char why[RANDOM_WHY_MAX] = "";

	return !s->test->run(steps, n, why);
}

/* Without the steps from `at` on, if it fails then too. */
static bool leave_out(struct shrinking *s, size_t at, size_t len)
{
	size_t left = s->n - len;

	memcpy(s->trial, s->steps, at * sizeof(struct step));
	memcpy(s->trial + at, s->steps + at + len, (left - at) * sizeof(struct step));
	if (!fails(s, s->trial, left))
		return false;
	memcpy(s->steps, s->trial, left * sizeof(struct step));
	s->n = left;
	return true;
}

/* Delta debugging (Zeller, 1999): large pieces first, from the end, where what
 * comes after the failure goes at once. */
static bool leave_out_all(struct shrinking *s)
{
	bool smaller = false;

	for (size_t len = s->n; len > 0; len /= 2) {
		size_t at = s->n;

		while (at > 0 && !out_of_time(s)) {
			size_t piece = at < len ? at : len;

			at -= piece;
			smaller = leave_out(s, at, piece) || smaller;
		}
	}
	return smaller;
}

static bool try_number(struct shrinking *s, int64_t *arg, int64_t value)
{
	int64_t before = *arg;

	*arg = value;
	if (fails(s, s->steps, s->n))
		return true;
	*arg = before;
	return false;
}

/* Zero, or by halving the distance to what is too small. */
static bool smaller_number(struct shrinking *s, int64_t *arg)
{
	int64_t before = *arg, low = 0;

	if (before == 0 || try_number(s, arg, 0))
		return before != 0;
	while (!out_of_time(s)) {
		int64_t middle = low + (*arg - low) / 2;

		if (middle == low || middle == *arg)
			break;
		if (!try_number(s, arg, middle))
			low = middle;
	}
	return *arg != before;
}

static bool smaller_numbers(struct shrinking *s)
{
	bool smaller = false;

	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < STEP_ARGS && !out_of_time(s); k++)
			smaller = smaller_number(s, &s->steps[i].arg[k]) || smaller;
	}
	return smaller;
}

size_t random_shrink(const struct random_test *test, struct step *steps, size_t n)
{
	struct shrinking s = {.test = test,
			      .steps = steps,
			      .trial = calloc(n + 1, sizeof(struct step)),
			      .n = n,
			      .deadline = seconds_now() + SHRINK_S};
	bool smaller = true;

	while (smaller && !out_of_time(&s)) {
		leave_out_all(&s);
		smaller = smaller_numbers(&s);
	}
	free(s.trial);
	return s.n;
}

/* ---- printing ---- */

static void print_step(FILE *out, const struct step_kind *kind, const struct step *step)
{
	const char *name = kind->args;
	unsigned n = 0;

	fprintf(out, "\t{%s, {", kind->name);
	for (const char *at = name; *at; n++) {
		size_t len = strcspn(at, " ");

		fprintf(out, "%s%" PRId64, n ? ", " : "", step->arg[n]);
		at += len + (at[len] == ' ');
	}
	fprintf(out, "}},");
	n = 0;
	for (const char *at = name; *at; n++) {
		size_t len = strcspn(at, " ");

		fprintf(out, "%s%.*s %" PRId64, n ? ", " : " /* ", (int)len, at,
			step->arg[n]);
		at += len + (at[len] == ' ');
	}
	fprintf(out, "%s\n", n ? " */" : "");
}

void random_print(FILE *out, const struct random_test *test, const struct step *steps,
		  size_t n)
{
	fprintf(out, "static const struct step kept[] = {\n");
	for (size_t i = 0; i < n; i++)
		print_step(out, &test->kinds[steps[i].kind], &steps[i]);
	fprintf(out, "};\n");
}

/* ---- the tests ---- */

static uint64_t first_seed(void)
{
	const char *text = getenv("SEED");
	struct timespec now;

	if (text && *text)
		return strtoull(text, NULL, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static double seconds_for(const struct random_test *test)
{
	const char *text = getenv("RANDOM_SECONDS");

	if (text && *text)
		return strtod(text, NULL);
	return test->seconds > 0 ? test->seconds : 2;
}

static void report(const struct random_test *test, uint64_t seed, struct step *steps,
		   size_t n, char *why)
{
	char first[RANDOM_WHY_MAX] = "";
	size_t left;

	test->run(steps, n, first);
	left = random_shrink(test, steps, n);
	if (test->run(steps, left, why))
		random_wrong(why, "(does not fail every time)");
	fprintf(stderr, "%s: SEED=%" PRIu64 ", %zu steps: %s\n", test->name, seed, n,
		first);
	fprintf(stderr, "made small, %zu steps: %s\n", left, why);
	random_print(stderr, test, steps, left);
}

void random_check(const struct random_test *test)
{
	struct step *steps = calloc(test->max_steps, sizeof(*steps));
	uint64_t seed = first_seed(), cases = 0, n_steps = 0;
	bool ok = true;
	double began = seconds_now(), seconds = seconds_for(test);
	char why[RANDOM_WHY_MAX] = "";

	assert_non_null(steps);
	printf("%s: SEED=%" PRIu64 "\n", test->name, seed);
	fflush(stdout); /* also when it crashes */
	do {
		struct rng rng = rng_new(seed + cases), length = rng_split(&rng);
		int64_t most = 1 + rng_below(&length, (int64_t)test->max_steps);
		size_t n = 1 + (size_t)rng_below(&length, most); /* more short ones */

		memset(steps, 0, n * sizeof(*steps));
		test->make(&rng, steps, n);
		ok = test->run(steps, n, why);
		if (!ok)
			report(test, seed + cases, steps, n, why);
		cases++;
		n_steps += n;
	} while (ok && seconds_now() - began < seconds);
	printf("%s: %" PRIu64 " cases, %" PRIu64 " steps, %.0f cases a second\n",
	       test->name, cases, n_steps, (double)cases / (seconds_now() - began));
	free(steps);
	if (!ok)
		fail_msg("%s fails with SEED=%" PRIu64 ": %s", test->name,
			 seed + cases - 1, why);
}

void random_replay(const struct random_test *test, const struct step *steps, size_t n)
{
	char why[RANDOM_WHY_MAX] = "";

	if (!test->run(steps, n, why))
		fail_msg("%s: %s", test->name, why);
}
