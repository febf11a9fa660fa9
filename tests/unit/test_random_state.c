/*
 * test_random_state.c - random histories of a partition against state_model.c:
 * events in any order, commits, aborts, and crashes after which the state is read
 * back from the results.
 */
/* link: tests/unit/random_model.c tests/unit/state_model.c */
/* link: processor/results_json.c processor/results_load.c processor/results_scan.c */
/* link: processor/partition_state.c processor/user_state.c */
/* link: processor/window_state.c processor/seq_window.c */
/* link: processor/partitioner.c */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "processor/results_json.h"
#include "random_model.h"
#include "state_model.h"

#define T0         1764018780000LL /* the start of a minute */
#define MINUTE     60000
#define DAY        86400000LL
#define USERS      5
#define MAX_USERS  4 /* one is too many */
#define RUN_MAX    150
#define LOG_MAX    4000
#define STARTS_MAX 200
#define EPOCH      ((int64_t)1 << SEQ_EPOCH_SHIFT)

/* ---- steps ---- */

/* EVENT, RUN and REPEAT put records at the end of the log; READ consumes some.
 * Seq 0: an event of five fields. Times are ms after T0. */
enum { EVENT, RUN_OF, REPEAT, READ, TICK, COMMIT, ABORT, CRASH, IDLE };

static const struct step_kind kinds[] = {
	[EVENT] = {"EVENT", "user seq type cents at order"},
	[RUN_OF] = {"RUN_OF", "user first count at"},
	[REPEAT] = {"REPEAT", "back"},
	[READ] = {"READ", "records"},
	[TICK] = {"TICK", "ms"},
	[COMMIT] = {"COMMIT", ""},
	[ABORT] = {"ABORT", "produced"},
	[CRASH] = {"CRASH", "compaction"},
	[IDLE] = {"IDLE", ""},
};

/* ---- what a run has ---- */

struct result {
	char key[RESULTS_KEY_MAX];
	char *value; /* NULL: a tombstone; owned */
};

static struct {
	struct state *state;
	struct state_model model;
	struct order_event log[LOG_MAX];
	size_t n_log;
	int64_t next; /* record to read */
	int64_t now_ms;
	/* Committed results, oldest first, and before them those of this transaction. */
	struct result *results;
	size_t n_results, n_committed, cap_results;
	char *why;
	bool ok;
} run;

static void wrong(const char *what, int64_t got, int64_t expected)
{
	if (run.ok)
		random_wrong(run.why, "%s: %" PRId64 ", not %" PRId64, what, got,
			     expected);
	run.ok = false;
}

static void same(const char *what, int64_t got, int64_t expected)
{
	if (got != expected)
		wrong(what, got, expected);
}

/* ---- comparing the whole state ---- */

static void same_recent(const struct recent *got, const struct recent *expected)
{
	same("recent.n", got ? got->n : 0, expected->n);
	for (unsigned i = 0; got && i < expected->n && run.ok; i++)
		same("recent.id", got->id[i], expected->id[i]);
}

static void same_user(int64_t user_id)
{
	const struct user *got = state_user(run.state, user_id);
	struct recent recent;
	struct user expected;

	if (!state_model_user(&run.model, user_id, &expected, &recent)) {
		same("user exists", got != NULL, false);
		return;
	}
	same("user exists", got != NULL, true);
	if (!got)
		return;
	same("user.version", got->version, expected.version);
	same("user.orders", got->orders, expected.orders);
	same("user.cents", got->cents, expected.cents);
	same("user.last_order_ms", got->last_order_ms, expected.last_order_ms);
	same("user.window_s", got->window_s, expected.window_s);
	same("user.seq", (int64_t)got->seq.seq, (int64_t)expected.seq.seq);
	same("user.seen", (int64_t)got->seq.seen, (int64_t)expected.seq.seen);
	same_recent(got->recent, &recent);
}

static void same_window(int64_t start_s)
{
	const struct window *got = state_window(run.state, start_s);
	struct window expected;

	if (!state_model_window(&run.model, start_s, &expected)) {
		same("window exists", got != NULL, false);
		return;
	}
	same("window exists", got != NULL, true);
	if (!got)
		return;
	same("window.version", got->version, expected.version);
	same("window.orders", got->orders, expected.orders);
	same("window.revenue", got->revenue, expected.revenue);
	same("window.cancelled", got->cancelled, expected.cancelled);
	same("window.refunded", got->refunded, expected.refunded);
	same("window.users", got->users, expected.users);
	same("window.final", got->final, expected.final);
	same("window.folded", got->folded, expected.folded);
}

static void same_sums(const struct sums *got, const struct sums *expected)
{
	same("sums.orders", got->orders, expected->orders);
	same("sums.revenue", got->revenue, expected->revenue);
	same("sums.cancelled", got->cancelled, expected->cancelled);
	same("sums.refunded", got->refunded, expected->refunded);
}

static void same_totals(void)
{
	const struct totals *got = state_totals(run.state);
	struct totals expected;

	state_model_totals(&run.model, &expected);
	same("totals.version", got->version, expected.version);
	same("totals.watermark_ms", got->watermark_ms, expected.watermark_ms);
	same("totals.next", got->next, expected.next);
	same_sums(&got->late, &expected.late);
	same_sums(&got->folded, &expected.folded);
}

static void add_net(struct sums *net, const struct sums *sums)
{
	net->orders += sums->orders - sums->cancelled;
	net->revenue += sums->revenue - sums->refunded;
}

/* Users = windows + late + folded, which asks no model. */
static void same_both_ways(const int64_t *starts, size_t n)
{
	const struct totals *totals = state_totals(run.state);
	struct sums users = {0}, windows = {0};

	for (int64_t id = 1; id <= USERS; id++) {
		const struct user *user = state_user(run.state, id);

		users.orders += user ? user->orders : 0;
		users.revenue += user ? user->cents : 0;
	}
	for (size_t i = 0; i < n; i++) {
		const struct window *win = state_window(run.state, starts[i]);

		/* What is folded is in the totals. */
		if (win && !win->folded)
			add_net(&windows, &(struct sums){win->orders, win->revenue,
							 win->cancelled, win->refunded});
	}
	add_net(&windows, &totals->late);
	add_net(&windows, &totals->folded);
	same("orders of all users", users.orders, windows.orders);
	same("cents of all users", users.revenue, windows.revenue);
}

static void same_all(void)
{
	int64_t starts[STARTS_MAX];
	size_t n = state_model_starts(&run.model, starts, STARTS_MAX);

	for (int64_t id = 1; id <= USERS; id++)
		same_user(id);
	for (size_t i = 0; i < n && run.ok; i++)
		same_window(starts[i]);
	same_totals();
	same("users", (int64_t)state_users(run.state),
	     (int64_t)state_model_users(&run.model));
	same("windows", (int64_t)state_windows(run.state),
	     (int64_t)state_model_windows(&run.model));
	same("touched", (int64_t)state_touched(run.state),
	     (int64_t)state_model_touched(&run.model));
	same_both_ways(starts, n);
}

/* ---- results ---- */

static int64_t version_of(const char *value)
{
	return strtoll(value + strlen("{\"v\":"), NULL, 10);
}

static void put(struct str key, struct jw *w)
{
	struct result *result;

	if (run.n_results == run.cap_results) {
		run.cap_results = run.cap_results ? 2 * run.cap_results : 256;
		run.results = xrealloc(run.results, run.cap_results * sizeof(*result));
	}
	result = &run.results[run.n_results++];
	str_copy(result->key, sizeof(result->key), key);
	result->value = w ? strdup(jw_text(w).at) : NULL;
}

static void put_user(const struct user *user, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	(void)arg;
	jw_init_fixed(&w, text, sizeof(text));
	results_user(&w, user);
	put(results_user_key(key, user->user_id), &w);
}

static void put_window(const struct window *win, int32_t partition, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	(void)arg;
	jw_init_fixed(&w, text, sizeof(text));
	results_window(&w, win, partition);
	put(results_window_key(key, win->start_s, partition), win->folded ? NULL : &w);
}

static void put_totals(const struct totals *totals, int32_t partition, void *arg)
{
	char key[RESULTS_KEY_MAX], text[RESULTS_VALUE_MAX];
	struct jw w;

	(void)arg;
	jw_init_fixed(&w, text, sizeof(text));
	results_totals(&w, totals, partition);
	put(results_totals_key(key, partition), &w);
}

static const struct result *result_before(size_t at)
{
	for (size_t i = at; i > 0; i--) {
		if (strcmp(run.results[i - 1].key, run.results[at].key) == 0)
			return &run.results[i - 1];
	}
	return NULL;
}

/* Each key once, with a higher version than ever before, and never after its end. */
static void check_results(void)
{
	for (size_t i = run.n_committed; i < run.n_results; i++) {
		const struct result *now = &run.results[i], *before = result_before(i);

		if (!before)
			continue;
		same("key twice in a transaction",
		     before >= &run.results[run.n_committed], false);
		same("result after its tombstone", before->value == NULL, false);
		if (before->value && now->value &&
		    version_of(now->value) <= version_of(before->value))
			wrong("version", version_of(now->value),
			      version_of(before->value) + 1);
	}
}

static void forget_results(size_t from)
{
	while (run.n_results > from)
		free(run.results[--run.n_results].value);
}

static bool produce(void)
{
	static const struct state_visitor visitor = {put_user, put_window, put_totals,
						     NULL};

	if (state_touched(run.state) == 0)
		return false;
	same("close due", state_close_due(run.state, run.now_ms, false),
	     state_model_close_due(&run.model, run.now_ms, false));
	state_close(run.state, run.now_ms, false);
	state_model_close(&run.model, run.now_ms, false);
	same_all();
	same("close due afterwards", state_close_due(run.state, run.now_ms, false),
	     false);
	state_each_touched(run.state, &visitor);
	same("results", (int64_t)(run.n_results - run.n_committed),
	     (int64_t)state_model_touched(&run.model));
	check_results();
	return true;
}

/* Is there a later record of the key? Then compaction may have removed this one. */
static bool superseded(size_t at)
{
	for (size_t i = at + 1; i < run.n_results; i++) {
		if (strcmp(run.results[i].key, run.results[at].key) == 0)
			return true;
	}
	return false;
}

/* 0: nothing was compacted; 1: everything; 2: and the tombstones are gone. */
static void load_results(int64_t compaction)
{
	struct err err;

	for (size_t i = 0; i < run.n_results; i++) {
		const struct result *result = &run.results[i];

		if (compaction > 0 && superseded(i))
			continue;
		if (compaction > 1 && !result->value)
			continue;
		if (!results_load(run.state, 1, str_from(result->key),
				  result->value ? str_from(result->value) : STR_NONE,
				  &err)) {
			random_wrong(run.why, "%s", err.text);
			run.ok = false;
		}
	}
}

/* ---- running steps ---- */

static int64_t at_least(int64_t n, int64_t low)
{
	return n < low ? low : n;
}

static void append(struct order_event event)
{
	/* An epoch's first number is 1. */
	if (event.seq && event.seq << (64 - SEQ_EPOCH_SHIFT) == 0)
		event.seq++;
	if (run.n_log < LOG_MAX)
		run.log[run.n_log++] = event;
}

static void do_event(const struct step *step)
{
	enum order_type type = (enum order_type)(step->arg[2] % 3);
	int64_t user = step->arg[0] % (USERS + 1);

	append((struct order_event){.type = type,
				    .user_id = type == ORDER_OTHER ? user
								   : at_least(user, 1),
				    .order_id = at_least(step->arg[5], 1),
				    .cents = step->arg[3],
				    .time_ms = T0 + step->arg[4],
				    .seq = (uint64_t)step->arg[1]});
}

static void do_run_of(const struct step *step)
{
	for (int64_t i = 0; i < step->arg[2] && i < RUN_MAX; i++)
		append((struct order_event){.type = ORDER_CREATED,
					    .user_id = at_least(step->arg[0] % USERS, 1),
					    .order_id = 1,
					    .cents = 1,
					    .time_ms = T0 + step->arg[3],
					    .seq = (uint64_t)(step->arg[1] + i)});
}

static void do_repeat(int64_t back)
{
	if (run.n_log > 0)
		append(run.log[run.n_log - 1 - (size_t)back % run.n_log]);
}

/* What was given up is named, in order, and is nothing that was counted. */
static void check_lost(const struct order_event *event, const struct seq_lost *lost)
{
	uint64_t total = 0, last = 0;

	for (unsigned i = 0; i < lost->n; i++) {
		same("lost in order", lost->range[i].first > last, true);
		last = lost->range[i].last;
		total += last - lost->range[i].first + 1;
		same("lost first",
		     state_model_closed(&run.model, event->user_id, lost->range[i].first),
		     false);
		same("lost last", state_model_closed(&run.model, event->user_id, last),
		     false);
	}
	same("lost ranges", (int64_t)total, (int64_t)lost->total);
}

static void read_one(void)
{
	const struct order_event *event = &run.log[run.next];
	struct applied got, expected;

	state_apply(run.state, event, run.now_ms, &got);
	check_lost(event, &got.lost);
	run.next++;
	state_consumed(run.state, run.next);
	state_model_take(&run.model, event, run.now_ms, run.next, &expected);
	same("outcome", got.outcome, expected.outcome);
	same("late", got.late, expected.late);
	same("first_beyond", got.first_beyond, expected.first_beyond);
	same("lost", (int64_t)got.lost.total, (int64_t)expected.lost.total);
}

static void do_read(int64_t n)
{
	while (n-- > 0 && (size_t)run.next < run.n_log && run.ok)
		read_one();
}

static void go_on_at(int64_t offset)
{
	run.next = offset < 0 ? 0 : offset;
}

static void do_commit(void)
{
	if (!produce())
		return;
	state_commit(run.state);
	state_model_commit(&run.model);
	run.n_committed = run.n_results;
}

static void do_abort(bool produced)
{
	if (produced)
		produce();
	forget_results(run.n_committed);
	state_rollback(run.state);
	state_model_rollback(&run.model);
	go_on_at(state_totals(run.state)->next);
}

static void do_crash(int64_t compaction)
{
	state_free(run.state);
	run.state = state_new(0, MAX_USERS);
	forget_results(run.n_committed);
	state_model_rollback(&run.model);
	load_results(compaction % 3);
	go_on_at(state_totals(run.state)->next);
}

static void do_idle(void)
{
	bool due = state_close_due(run.state, run.now_ms, true);

	same("idle close due", due, state_model_close_due(&run.model, run.now_ms, true));
	if (!due)
		return;
	state_close(run.state, run.now_ms, true);
	state_model_close(&run.model, run.now_ms, true);
}

static void do_step(const struct step *step)
{
	switch (step->kind) {
	case EVENT: do_event(step); return;
	case RUN_OF: do_run_of(step); return;
	case REPEAT: do_repeat(step->arg[0]); return;
	case READ: do_read(step->arg[0]); return;
	case TICK: run.now_ms += step->arg[0]; return;
	case COMMIT: do_commit(); break;
	case ABORT: do_abort(step->arg[0]); break;
	case CRASH: do_crash(step->arg[0]); break;
	case IDLE: do_idle(); break;
	}
	same_all();
}

static bool run_steps(const struct step *steps, size_t n, char *why)
{
	static const struct step last[] = {{READ, {LOG_MAX}}, {COMMIT, {}}, {CRASH, {1}}};

	run.state = state_new(0, MAX_USERS);
	state_model_init(&run.model, MAX_USERS);
	run.n_log = run.n_results = run.n_committed = 0;
	run.next = 0;
	run.now_ms = T0;
	run.why = why;
	run.ok = true;
	for (size_t i = 0; i < n && run.ok; i++)
		do_step(&steps[i]);
	for (size_t i = 0; i < ARRAY_LEN(last) && run.ok; i++)
		do_step(&last[i]);
	forget_results(0);
	state_free(run.state);
	state_model_fini(&run.model);
	return run.ok;
}

/* ---- making them ---- */

struct maker {
	struct rng *rng;
	int64_t now;             /* ms after T0 */
	int64_t next[USERS + 1]; /* number of the user's next event */
	unsigned plain_numbers;  /* in a hundred */
};

static int64_t random_time(struct maker *m)
{
	int64_t at = m->now - rng_below(m->rng, 30000);
	int64_t dice = rng_below(m->rng, 100);

	if (dice < 10)
		at = m->now - rng_below(m->rng, 300000);
	else if (dice < 20)
		at = m->now - DAY - rng_between(m->rng, -3, 3) * MINUTE;
	else if (dice < 24)
		at = m->now + STATE_AHEAD_MS + rng_between(m->rng, -1, 1);
	else if (dice < 28)
		at = m->now + rng_below(m->rng, 700000);
	/* Right at the edge of a window. */
	if (rng_percent(m->rng, 30))
		at = at / MINUTE * MINUTE + rng_between(m->rng, -1, 1);
	return at;
}

static int64_t random_seq(struct maker *m, int64_t user)
{
	int64_t *next = &m->next[user], number = *next;
	int64_t dice = rng_below(m->rng, 100);

	if (rng_percent(m->rng, m->plain_numbers))
		return (*next)++;
	if (dice < 30) /* before its time */
		number += rng_below(m->rng, 6);
	else if (dice < 55) /* again, or after its time */
		number -= rng_below(m->rng, 70);
	else if (dice < 75)
		number += rng_between(m->rng, 60, 68);
	else if (dice < 82)
		number = *next += rng_between(m->rng, 1, 200);
	else if (dice < 86)
		number += SEQ_MAX_JUMP + rng_between(m->rng, -2, 2);
	else if (dice < 92) /* an epoch, sometimes not from its beginning */
		number = *next =
			(*next / EPOCH + 1) * EPOCH +
			(rng_percent(m->rng, 50) ? 1 : rng_between(m->rng, 60, 70));
	else if (dice < 95) /* of the epoch before */
		number -= EPOCH;
	else
		number = 0;
	return at_least(number, 0);
}

static void random_event(struct maker *m, struct step *step)
{
	int64_t user = rng_between(m->rng, 1, USERS), dice = rng_below(m->rng, 100);

	*step = (struct step){
		EVENT,
		{user, random_seq(m, user), ORDER_CREATED,
		 rng_below(m->rng, rng_percent(m->rng, 5) ? 999999999999 : 10000),
		 random_time(m), rng_between(m->rng, 1, 20)}};
	if (dice < 20)
		step->arg[2] = ORDER_CANCELLED;
	else if (dice < 25)
		step->arg[2] = ORDER_OTHER;
	if (dice == 24)
		step->arg[0] = 0;
}

static void random_run(struct maker *m, struct step *step)
{
	int64_t user = rng_between(m->rng, 1, USERS - 1);
	int64_t count = rng_between(m->rng, 60, 70);

	*step = (struct step){
		RUN_OF,
		{user, m->next[user] + rng_below(m->rng, 3), count, random_time(m)}};
	m->next[user] += count;
}

static void random_tick(struct maker *m, struct step *step)
{
	int64_t dice = rng_below(m->rng, 100), ms = rng_below(m->rng, 30000);

	if (dice < 25)
		ms = rng_between(m->rng, MINUTE, MINUTE + STATE_GRACE_MS);
	else if (dice < 45)
		ms = DAY + rng_between(m->rng, -2, 2) * MINUTE;
	*step = (struct step){TICK, {ms}};
	m->now += ms;
}

static void make(struct rng *rng, struct step *steps, size_t n)
{
	struct maker m = {.rng = rng, .plain_numbers = 90};

	if (rng_percent(rng, 50))
		m.plain_numbers = (unsigned)rng_below(rng, 90);
	for (unsigned i = 0; i <= USERS; i++)
		m.next[i] = 1;
	for (size_t i = 0; i < n; i++) {
		struct step *step = &steps[i];
		int64_t dice = rng_below(rng, 200);

		if (dice < 90)
			random_event(&m, step);
		else if (dice < 92)
			random_run(&m, step);
		else if (dice < 100)
			*step = (struct step){REPEAT, {rng_below(rng, 20)}};
		else if (dice < 145)
			*step = (struct step){READ, {rng_between(rng, 1, 8)}};
		else if (dice < 160)
			random_tick(&m, step);
		else if (dice < 178)
			step->kind = COMMIT;
		else if (dice < 188)
			*step = (struct step){ABORT, {rng_below(rng, 2)}};
		else if (dice < 194)
			*step = (struct step){CRASH, {rng_below(rng, 3)}};
		else
			step->kind = IDLE;
	}
}

static const struct random_test test = {.name = "random_histories",
					.kinds = kinds,
					.max_steps = 100,
					.make = make,
					.run = run_steps};

static void random_histories(void **state)
{
	(void)state;
	random_check(&test);
	free(run.results);
	run.results = NULL;
	run.cap_results = 0;
}

/* ---- cases that were kept ---- */

/* A window that was folded and not yet committed was to be folded again. */
static void folded_is_not_due(void **state)
{
	static const struct step kept[] = {
		{EVENT, {1, 0, 0, 0, -DAY - 1, 1}},
		{EVENT, {1, 0, 0, 0, 0, 2}},
	};

	(void)state;
	random_replay(&test, kept, ARRAY_LEN(kept));
}

RUN(cmocka_unit_test(random_histories), cmocka_unit_test(folded_is_not_due))
