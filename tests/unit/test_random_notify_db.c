/*
 * test_random_notify_db.c - notifications that are stored, claimed under leases and
 * settled by instances that die or come late, in SQL, against a plain model. Of a user
 * one is under way at a time, the others in the order in which they were stored.
 */
/* link: tests/unit/random_model.c notify-svc/notify_repo.c notify-svc/notification.c */
#include "db_fixture.h"
#include "notify-svc/notify_repo.h"
#include "random_model.h"

#define EVENTS     12
#define USERS      5 /* an event's user is its number modulo this */
#define CLAIMS_MAX 200
#define FAR_MS     3600000

/* WAIT: time passes for a row, until it is due or its lease has ended. SETTLE says
 * what became of a claimed one, also after the lease was lost, and again. */
enum { STORE, CLAIM, SETTLE, WAIT };

static const struct step_kind kinds[] = {
	[STORE] = {"STORE", "first n"},
	[CLAIM] = {"CLAIM", "max"},
	[SETTLE] = {"SETTLE", "claimed state"},
	[WAIT] = {"WAIT", "event"},
};

struct row {
	bool stored;
	enum notice_state state;
	int64_t place; /* in which it was stored */
	int64_t tries;
	int64_t due;   /* its place among those that are due; 0: it is not */
	int64_t lease; /* number of the claim that has it; 0: none */
};

struct claimed {
	unsigned event;
	int64_t lease;
	int64_t id;
	char lease_id[ID_HEX_LEN + 1];
};

static struct {
	struct row row[EVENTS];
	struct claimed claimed[CLAIMS_MAX];
	size_t n_claimed;
	int64_t leases, clock, n_stored;
	char *why;
	bool ok;
} sim;

static struct db_conn *conn;
static struct err why;

static void same(const char *what, unsigned event, int64_t got, int64_t expected)
{
	if (got != expected && sim.ok) {
		random_wrong(sim.why, "%s of event %u: %lld, not %lld", what, event,
			     (long long)got, (long long)expected);
		sim.ok = false;
	}
}

static void finish_job(void)
{
	loop_run(fix.loop);
	if (fix.last.code != ERR_NONE)
		why = fix.last;
	must(fix.last.code == ERR_NONE);
}

/* ---- the steps ---- */

static void event_id(char *dst, size_t size, unsigned event)
{
	snprintf(dst, size, "event-%u", event);
}

/* Distinct times in the past, so that what is due has an order. */
static void make_due(unsigned event)
{
	char id[NOTICE_EVENT_MAX + 1];

	sim.row[event].due = ++sim.clock;
	event_id(id, sizeof(id), event);
	must(db_exec(conn, &why,
		     "UPDATE notifications SET next_try_at ="
		     " '2020-01-01' + INTERVAL ? SECOND WHERE event_id = ?",
		     DB_I(sim.clock), DB_Z(id)));
}

static void do_store(unsigned first, size_t n)
{
	static char subject[] = "a subject", body[] = "a body";
	struct notice notices[EVENTS] = {0};
	struct notice_store job = {.notices = notices, .n = 1 + n % EVENTS};
	size_t fresh = 0;

	for (size_t i = 0; i < job.n; i++) {
		unsigned event = (unsigned)((first + i) % EVENTS);

		notices[i] = (struct notice){.user_id = 1 + event % USERS,
					     .order_id = 1 + event,
					     .subject = subject,
					     .body = body};
		snprintf(notices[i].type, sizeof(notices[i].type), "order.created");
		event_id(notices[i].event_id, sizeof(notices[i].event_id), event);
	}
	fix.pending++;
	notify_repo_store(fix.pool, &job, job_ended, NULL);
	finish_job();
	for (size_t i = 0; i < job.n; i++) {
		unsigned event = (unsigned)((first + i) % EVENTS);

		if (sim.row[event].stored)
			continue;
		fresh++;
		sim.row[event] = (struct row){.stored = true, .place = ++sim.n_stored};
		make_due(event);
	}
	same("stored", first, (int64_t)job.stored, (int64_t)fresh);
}

static bool is_being_sent(unsigned user)
{
	for (unsigned i = user; i < EVENTS; i += USERS)
		if (sim.row[i].stored && sim.row[i].state == NOTICE_SENDING)
			return true;
	return false;
}

static bool is_due(const struct row *row, enum notice_state state)
{
	return row->stored && row->state == state && row->due;
}

/* NULL: none of this user is due. */
static struct row *first_due(unsigned user, enum notice_state state, int64_t *since)
{
	struct row *first = NULL;

	*since = INT64_MAX;
	for (unsigned i = user; i < EVENTS; i += USERS) {
		struct row *row = &sim.row[i];

		if (!is_due(row, state))
			continue;
		if (row->due < *since)
			*since = row->due;
		if (!first || row->place < first->place)
			first = row;
	}
	return first;
}

/* The first stored of the user who has had one due for longest in that state, and none
 * that is being sent; not of whom this claim has one already. */
static struct row *next_due(enum notice_state state, const bool chosen[USERS])
{
	int64_t since, longest = INT64_MAX;
	struct row *next = NULL;

	for (unsigned user = 0; user < USERS; user++) {
		struct row *row = first_due(user, state, &since);

		if (!row || chosen[user] || since >= longest ||
		    (state == NOTICE_PENDING && is_being_sent(user)))
			continue;
		next = row;
		longest = since;
	}
	return next;
}

/* What a dead instance left behind goes first. */
static size_t model_claim(size_t max)
{
	bool chosen[USERS] = {false};
	size_t n = 0;

	sim.leases++;
	while (n < max) {
		struct row *row = next_due(NOTICE_SENDING, chosen);

		row = row ? row : next_due(NOTICE_PENDING, chosen);
		if (!row)
			break;
		chosen[(row - sim.row) % USERS] = true;
		row->state = NOTICE_SENDING;
		row->tries++;
		row->due = 0;
		row->lease = sim.leases;
		n++;
	}
	return n;
}

static void take_claimed(const struct notice_claim *job, const struct notice *notice)
{
	unsigned event = (unsigned)notice->order_id - 1;

	same("claimed", event, sim.row[event].lease, sim.leases);
	same("tries", event, notice->tries, sim.row[event].tries);
	if (sim.n_claimed == CLAIMS_MAX)
		return;
	sim.claimed[sim.n_claimed] =
		(struct claimed){.event = event, .lease = sim.leases, .id = notice->id};
	memcpy(sim.claimed[sim.n_claimed++].lease_id, job->lease, sizeof(job->lease));
}

static void do_claim(size_t max)
{
	static struct notice_claim job;
	size_t expected;

	job.max = 1 + max % REPO_MAX_CLAIM;
	job.lease_s = FAR_MS / 1000;
	expected = model_claim(job.max);
	fix.pending++;
	notify_repo_claim(fix.pool, &job, job_ended, NULL);
	finish_job();
	same("number claimed", 0, (int64_t)job.n, (int64_t)expected);
	for (size_t i = 0; i < job.n; i++) {
		take_claimed(&job, &job.notices[i]);
		notice_fini(&job.notices[i]);
	}
}

static void do_settle(size_t which, int64_t state)
{
	static const enum notice_state states[] = {NOTICE_SENT, NOTICE_PENDING,
						   NOTICE_FAILED};
	const struct claimed *claimed;
	struct notice_outcome job = {.pause_ms = FAR_MS};
	struct row *row;

	if (!sim.n_claimed)
		return;
	claimed = &sim.claimed[which % sim.n_claimed];
	row = &sim.row[claimed->event];
	job.id = claimed->id;
	job.state = states[(size_t)state % ARRAY_LEN(states)];
	memcpy(job.lease, claimed->lease_id, sizeof(job.lease));
	fix.pending++;
	notify_repo_settle(fix.pool, &job, job_ended, NULL);
	finish_job();
	same("lost", claimed->event, job.lost, row->lease != claimed->lease);
	if (row->lease != claimed->lease)
		return;
	row->state = job.state;
	row->lease = row->due = 0;
}

/* ---- after each step ---- */

static void check_all(void)
{
	struct db_rows *rows;
	size_t stored = 0, sending[USERS] = {0};

	must(db_query0(conn, &rows, &why,
		       "SELECT order_id, state, tries, lease_owner IS NOT NULL,"
		       " sent_at IS NOT NULL, next_try_at <= NOW(3)"
		       " FROM notifications"));
	for (size_t i = 0; i < db_rows_count(rows); i++) {
		unsigned event = (unsigned)db_int(rows, i, 0) - 1;
		const struct row *row = &sim.row[event];
		bool open = row->state == NOTICE_PENDING || row->state == NOTICE_SENDING;

		same("exists", event, true, row->stored);
		same("state", event,
		     str_eqz(db_str(rows, i, 1), notice_state_name(row->state)), true);
		same("tries", event, db_int(rows, i, 2), row->tries);
		same("lease", event, db_int(rows, i, 3), row->lease != 0);
		same("sent", event, db_int(rows, i, 4), row->state == NOTICE_SENT);
		if (open)
			same("due", event, db_int(rows, i, 5), row->due != 0);
		if (str_eqz(db_str(rows, i, 1), "sending"))
			same("sent at once with it", event,
			     (int64_t)sending[event % USERS]++, 0);
	}
	for (unsigned i = 0; i < EVENTS; i++)
		stored += sim.row[i].stored;
	same("rows", 0, (int64_t)db_rows_count(rows), (int64_t)stored);
	db_rows_free(rows);
}

static void do_step(const struct step *step)
{
	const int64_t *arg = step->arg;
	unsigned event = (unsigned)((size_t)arg[0] % EVENTS);

	switch (step->kind) {
	case STORE: do_store(event, (size_t)arg[1]); break;
	case CLAIM: do_claim((size_t)arg[0]); break;
	case SETTLE: do_settle((size_t)arg[0], arg[1]); break;
	case WAIT:
		if (sim.row[event].stored && (sim.row[event].state == NOTICE_PENDING ||
					      sim.row[event].state == NOTICE_SENDING))
			make_due(event);
		break;
	}
	check_all();
}

static bool run(const struct step *steps, size_t n, char *text)
{
	must(db_exec_text(conn, "DELETE FROM notifications", NULL, 0, &why));
	memset(&sim, 0, sizeof(sim));
	sim.why = text;
	sim.ok = true;
	for (size_t i = 0; i < n && sim.ok; i++)
		do_step(&steps[i]);
	return sim.ok;
}

static void make(struct rng *rng, struct step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t dice = rng_below(rng, 100);

		if (dice < 15)
			steps[i] = (struct step){
				STORE, {rng_below(rng, EVENTS), rng_below(rng, 4)}};
		else if (dice < 40)
			steps[i] = (struct step){CLAIM, {rng_below(rng, 5)}};
		else if (dice < 75)
			steps[i] = (struct step){SETTLE,
						 {rng_below(rng, 12), rng_below(rng, 3)}};
		else
			steps[i] = (struct step){WAIT, {rng_below(rng, EVENTS)}};
	}
}

static const struct random_test test = {.name = "random_leases",
					.kinds = kinds,
					.max_steps = 60,
					.seconds = 4,
					.make = make,
					.run = run};

static void random_leases(void **state)
{
	(void)state;
	random_check(&test);
}

static int schema_up(void **state)
{
	static char dir[] = "notify-svc/migrations";

	if (setup(state) != 0)
		return -1;
	conn = db_conn_open(&fix.cfg, &why);
	must(conn && db_migrate(conn, dir, &why));
	return 0;
}

static int schema_down(void **state)
{
	db_conn_free(conn);
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_leases, schema_up, schema_down)};

	return run_db_tests("test_random_notify_db", tests, ARRAY_LEN(tests));
}
