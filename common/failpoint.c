/* failpoint.c - FAILPOINTS=name:probability:action and their seed, read once at start. */
#include "failpoint.h"

#ifndef RELEASE

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "id.h"
#include "log.h"
#include "str.h"

#define MAX_POINTS 32

enum action { ACT_KILL, ACT_STOP, ACT_ERROR, ACT_DELAY };

struct point {
	char name[48];
	double probability;
	enum action action;
	int64_t delay_ms;
	uint64_t seed;
	_Atomic uint64_t passed; /* how often, by any thread */
};

/* Filled once before threads start, then only `passed` changes. */
static struct point points[MAX_POINTS];
static unsigned n_points;

static struct str cut(struct str *rest, char at)
{
	const char *p = rest->len ? memchr(rest->at, at, rest->len) : NULL;
	struct str head = *rest;

	if (!p) {
		*rest = STR_NONE;
		return head;
	}
	head.len = (size_t)(p - rest->at);
	rest->at = p + 1;
	rest->len -= head.len + 1;
	return head;
}

static bool parse_action(struct str text, struct point *p)
{
	struct str word = cut(&text, ':');

	if (str_eqz(word, "kill"))
		p->action = ACT_KILL;
	else if (str_eqz(word, "stop"))
		p->action = ACT_STOP;
	else if (str_eqz(word, "error"))
		p->action = ACT_ERROR;
	else if (str_eqz(word, "delay") && str_i64(text, &p->delay_ms))
		p->action = ACT_DELAY;
	else
		return false;
	return true;
}

static bool parse_point(struct str item, struct point *p)
{
	struct str name = cut(&item, ':');
	struct str probability = cut(&item, ':');
	char number[32];
	char *end;

	if (!name.len || !str_copy(p->name, sizeof(p->name), name) ||
	    !str_copy(number, sizeof(number), probability))
		return false;
	p->probability = strtod(number, &end);
	return end != number && *end == '\0' && p->probability >= 0 &&
	       p->probability <= 1 && parse_action(item, p);
}

static bool read_seed(uint64_t *seed, struct err *err)
{
	struct str text = str_from(getenv("FAILPOINTS_SEED"));
	int64_t n;

	if (!text.len) {
		id_random(seed, sizeof(*seed));
		return true;
	}
	if (!str_i64(text, &n))
		return err_set(err, ERR_INPUT, "FAILPOINTS_SEED: not a number");
	*seed = (uint64_t)n;
	return true;
}

/* Each step has dice of its own, and so has each of two entries for one step. */
static uint64_t seed_of(const struct point *p, uint64_t seed)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (const char *c = p->name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	return (seed ^ hash) + (uint64_t)(p - points);
}

bool failpoint_init(struct err *err)
{
	struct str rest = str_from(getenv("FAILPOINTS"));
	uint64_t seed;

	if (!read_seed(&seed, err))
		return false;
	n_points = 0;
	while (rest.len) {
		struct str item = cut(&rest, ',');

		if (n_points == MAX_POINTS || !parse_point(item, &points[n_points]))
			return err_set(
				err, ERR_INPUT,
				"FAILPOINTS: cannot read \"" STR_FMT
				"\"; want name:probability:kill|stop|error|delay:MS",
				STR_ARG(item));
		points[n_points].seed = seed_of(&points[n_points], seed);
		points[n_points].passed = 0;
		n_points++;
	}
	return true;
}

/* splitmix64 of the seed and the number of the pass: what other steps and threads do
 * does not change which passes strike. */
static double dice(struct point *p)
{
	uint64_t n = atomic_fetch_add(&p->passed, 1) + 1;
	uint64_t x = p->seed + n * 0x9e3779b97f4a7c15;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (double)((x ^ (x >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

static bool act(const struct point *p)
{
	struct timespec pause = {p->delay_ms / 1000, p->delay_ms % 1000 * 1000000};

	log_warn("failpoint", LOG_STR("name", p->name), LOG_INT("action", p->action));
	switch (p->action) {
	case ACT_KILL: raise(SIGKILL); break;
	case ACT_STOP: raise(SIGSTOP); break;
	case ACT_DELAY: nanosleep(&pause, NULL); break;
	case ACT_ERROR: return true;
	}
	return false;
}

bool failpoint_hit(const char *name)
{
	for (unsigned i = 0; i < n_points; i++) {
		if (strcmp(points[i].name, name) == 0 &&
		    dice(&points[i]) < points[i].probability)
			return act(&points[i]);
	}
	return false;
}

#endif
