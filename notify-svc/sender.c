/*
 * sender.c - claim -> find the address -> send -> settle, for a few mails at once.
 *
 * A claim brings one mail of a user at most, and none while another one of his is with
 * any instance: "cancelled" does not overtake "placed" when both are due, and whoever
 * has many holds up nobody else.
 */
#include "sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failpoint.h"
#include "id.h"
#include "log.h"
#include "notify_repo.h"
#include "timeutil.h"

#define SLOTS   (2 * SMTP_THREADS) /* claimed: one sent, one waiting, a thread */
#define LEASE_S 60
/* Not begun by then: another instance may take it soon, so leave it. Finding the
 * address and sending take at most 13 s. */
#define BEGIN_MS (LEASE_S * 1000 / 2)
/* While servers that take their time have all threads, others may be free. */
#define WAIT_MS SMTP_SEND_MS
/* A server may take its time with a mail that it has: the lease is kept up. */
#define RENEW_MS   (LEASE_S * 1000 / 3)
#define POLL_MS    1000
#define RECORD_MS  500
#define BACKLOG_MS 10000

static const char BUSY[] = "all threads that send were busy";
static const char STOPPED[] = "the instance that had it stopped before its turn";

struct job {
	struct job *next; /* in sender->idle */
	struct sender *sender;
	enum {
		JOB_IDLE,
		JOB_WAITING, /* for a thread that sends */
		JOB_UNDER_WAY
	} state;
	struct notice notice;
	int64_t claimed_ms, leased_ms; /* its lease lasts LEASE_S from the latter on */
	struct address_query address;
	struct smtp_mail mail;
	char *text; /* of the mail; owned */
	struct notice_outcome outcome;
	struct loop_timer *again; /* records the outcome again */
};

struct sender {
	struct loop *loop;
	struct sender_config cfg;
	struct job jobs[SLOTS];
	struct job *idle;
	size_t n_idle, n_sending;
	struct pace pace;
	struct notice_claim claim;
	bool claiming;
	bool again; /* woken while claiming */
	bool claims_fail;
	int64_t claim_ms;
	struct notice_backlog backlog;
	bool counting;
	int64_t backlog_ms;
	struct notice_renewal renewal;
	bool renewing;
	struct loop_timer *poll;
	bool draining;   /* claim nothing more */
	bool stopping;   /* begin nothing more */
	loop_fn drained; /* to be told when nothing is under way; then NULL */
	void *drained_arg;
	struct metric *m_sent, *m_retried, *m_failed, *m_pending, *m_failed_now,
		*m_overdue;
	struct metric *m_seconds;
};

static void claim(struct sender *sender);
static void on_claimed(const struct err *err, void *arg);
static void on_address(void *arg);
static void on_sent(void *arg);
static void on_settled(const struct err *err, void *arg);

/* ---- claim ---- */

static void claim(struct sender *sender)
{
	size_t want = sender->n_idle;

	sender->again = sender->claiming;
	if (sender->claiming || sender->draining || want == 0)
		return;
	want = pace_take(&sender->pace, want, time_mono_ms());
	if (want == 0)
		return; /* the next poll is soon enough */
	sender->claiming = true;
	sender->claim_ms = time_mono_ms();
	sender->claim.max = want;
	sender->claim.lease_s = LEASE_S;
	notify_repo_claim(sender->cfg.db, &sender->claim, on_claimed, sender);
}

/* It was not begun: whoever is free need not wait for its lease. */
static void give_back(struct job *job, const char *why)
{
	struct notice_outcome *outcome = &job->outcome;

	job->state = JOB_UNDER_WAY;
	outcome->state = NOTICE_PENDING;
	outcome->pause_ms = 0;
	outcome->untried = true;
	str_copy(outcome->error, sizeof(outcome->error), str_from(why));
	log_info("mail given back", LOG_INT("notification", outcome->id),
		 LOG_STR("why", why));
	notify_repo_settle(job->sender->cfg.db, outcome, on_settled, job);
}

static void take(struct sender *sender, const struct notice *notice)
{
	struct job *job = sender->idle;

	sender->idle = job->next;
	sender->n_idle--;
	job->notice = *notice;
	job->claimed_ms = job->leased_ms = sender->claim_ms;
	job->outcome = (struct notice_outcome){.id = notice->id};
	memcpy(job->outcome.lease, sender->claim.lease, sizeof(job->outcome.lease));
	job->address.user_id = notice->user_id;
	job->state = JOB_UNDER_WAY;
	if (sender->stopping)
		return; /* left to its lease */
	if (sender->draining)
		give_back(job, STOPPED);
	else
		addresses_find(sender->cfg.addresses, &job->address, on_address, job);
}

static void check_drained(struct sender *sender)
{
	if (!sender->drained || sender->claiming || sender->counting ||
	    sender->renewing || sender->n_idle < SLOTS)
		return;
	loop_defer(sender->loop, sender->drained, sender->drained_arg);
	sender->drained = NULL;
}

/* Others at the same rows pass by themselves: new mails come in at the same place. A
 * database that is away is news, once. */
static void note_unclaimed(struct sender *sender, const struct err *err)
{
	if (strcmp(err->slug, "database_busy") == 0) {
		log_info("nothing claimed", LOG_STR("why", err->text));
		return;
	}
	if (!sender->claims_fail)
		log_warn("nothing claimed", LOG_STR("why", err->text));
	sender->claims_fail = true;
}

static void note_claimed(struct sender *sender)
{
	if (sender->claims_fail)
		log_info("claimed again");
	sender->claims_fail = false;
}

static void on_claimed(const struct err *err, void *arg)
{
	struct sender *sender = arg;
	size_t n = err ? 0 : sender->claim.n;

	sender->claiming = false;
	pace_return(&sender->pace, sender->claim.max - n);
	if (err)
		note_unclaimed(sender, err);
	else
		note_claimed(sender);
	for (size_t i = 0; i < n; i++)
		take(sender, &sender->claim.notices[i]);
	if (sender->again || (n > 0 && n == sender->claim.max) ||
	    (!err && sender->claim.missed > 0))
		claim(sender);
	check_drained(sender);
}

/* ---- settle ---- */

/* `why` is for the row and the log; "" for a mail that was sent. */
static void settle(struct job *job, enum notice_state state, const char *why)
{
	struct sender *sender = job->sender;
	struct notice_outcome *outcome = &job->outcome;
	uint32_t random;

	if (state == NOTICE_PENDING && job->notice.tries >= sender->cfg.max_tries)
		state = NOTICE_FAILED;
	id_random(&random, sizeof(random));
	outcome->state = state;
	outcome->pause_ms = notice_pause_ms(job->notice.tries, random);
	snprintf(outcome->error, sizeof(outcome->error), "%.*s", NOTICE_ERROR_MAX, why);
	if (!str_utf8_ok(str_from(outcome->error)))
		snprintf(outcome->error, sizeof(outcome->error), "unreadable answer");
	metric_add(state == NOTICE_SENT     ? sender->m_sent
		   : state == NOTICE_FAILED ? sender->m_failed
					    : sender->m_retried,
		   1);
	if (state != NOTICE_SENT)
		log_warn(state == NOTICE_FAILED ? "mail given up" : "mail put off",
			 LOG_INT("notification", job->notice.id),
			 LOG_INT("tries", job->notice.tries), LOG_STR("why", why));
	notify_repo_settle(sender->cfg.db, outcome, on_settled, job);
}

static void on_record(void *arg)
{
	struct job *job = arg;

	notify_repo_settle(job->sender->cfg.db, &job->outcome, on_settled, job);
}

/* A mail that was sent and is not recorded goes out twice: while the lease lasts,
 * it is worth waiting for the database. */
static bool worth_waiting(const struct job *job)
{
	return job->outcome.state == NOTICE_SENT && !job->sender->stopping &&
	       time_mono_ms() - job->leased_ms < LEASE_S * 1000;
}

static void on_settled(const struct err *err, void *arg)
{
	struct job *job = arg;
	struct sender *sender = job->sender;

	if (err && worth_waiting(job)) {
		loop_timer_start(job->again, RECORD_MS);
		return;
	}
	if (err || job->outcome.lost)
		log_warn("outcome of a mail not recorded",
			 LOG_INT("notification", job->notice.id),
			 LOG_STR("outcome", notice_state_name(job->outcome.state)),
			 LOG_STR("why", err ? err->text : "the lease was lost"));
	notice_fini(&job->notice);
	free(job->text);
	job->text = NULL;
	job->state = JOB_IDLE;
	job->next = sender->idle;
	sender->idle = job;
	sender->n_idle++;
	claim(sender);
	check_drained(sender);
}

/* ---- send ---- */

static struct job *oldest_waiting(struct sender *sender)
{
	struct job *oldest = NULL;

	for (size_t i = 0; i < SLOTS; i++) {
		struct job *job = &sender->jobs[i];
		if (job->state == JOB_WAITING &&
		    (!oldest || job->notice.id < oldest->notice.id))
			oldest = job;
	}
	return oldest;
}

static void send_waiting(struct sender *sender)
{
	struct job *job;

	while (!sender->draining && sender->n_sending < SMTP_THREADS) {
		job = oldest_waiting(sender);
		if (!job)
			return;
		job->state = JOB_UNDER_WAY;
		sender->n_sending++;
		smtp_send(sender->cfg.smtp, &job->mail, on_sent, job);
	}
}

static void on_address(void *arg)
{
	struct job *job = arg;
	struct sender *sender = job->sender;
	const struct address_query *address = &job->address;

	if (address->end != ADDRESS_FOUND) {
		settle(job, address->end == ADDRESS_NONE ? NOTICE_FAILED : NOTICE_PENDING,
		       address->why);
		return;
	}
	if (sender->draining) {
		give_back(job, STOPPED);
		return;
	}
	job->text = mail_text(&job->notice, sender->cfg.from, address->email,
			      address->name, time_now_ms(), &job->mail.len);
	job->mail.begin_by_ms = job->claimed_ms + BEGIN_MS;
	job->mail.to = address->email;
	job->mail.text = job->text;
	job->state = JOB_WAITING;
	send_waiting(sender);
}

static void on_sent(void *arg)
{
	struct job *job = arg;

	job->sender->n_sending--;
	switch (job->mail.end) {
	case SMTP_SENT:
		/* From here to the recorded outcome a crash means a second mail. */
		if (FAILPOINT("notify_sent"))
			settle(job, NOTICE_PENDING, "failpoint");
		else
			settle(job, NOTICE_SENT, "");
		metric_observe_us(job->sender->m_seconds,
				  (uint64_t)(time_mono_ms() - job->claimed_ms) * 1000);
		break;
	case SMTP_NOT_TRIED: give_back(job, job->mail.why); break;
	case SMTP_LATER: settle(job, NOTICE_PENDING, job->mail.why); break;
	case SMTP_NEVER: settle(job, NOTICE_FAILED, job->mail.why); break;
	}
	send_waiting(job->sender);
}

/* ---- now and then ---- */

static void on_counted(const struct err *err, void *arg)
{
	struct sender *sender = arg;

	sender->counting = false;
	if (!err) {
		metric_set(sender->m_pending, sender->backlog.pending);
		metric_set(sender->m_failed_now, sender->backlog.failed);
		metric_set(sender->m_overdue, sender->backlog.overdue_ms);
	}
	check_drained(sender);
}

static void on_renewed(const struct err *err, void *arg)
{
	struct sender *sender = arg;

	sender->renewing = false;
	if (err)
		log_warn("leases not renewed", LOG_STR("why", err->text));
	check_drained(sender);
}

/* Those of whom nothing is heard are due again after RENEW_MS, twice within a lease. */
static void renew(struct sender *sender, int64_t now)
{
	struct notice_renewal *renewal = &sender->renewal;

	if (sender->renewing)
		return;
	renewal->lease_s = LEASE_S;
	renewal->n = 0;
	for (size_t i = 0; i < SLOTS; i++) {
		struct job *job = &sender->jobs[i];

		if (job->state != JOB_UNDER_WAY || now - job->leased_ms < RENEW_MS)
			continue;
		job->leased_ms = now;
		renewal->of[renewal->n].id = job->notice.id;
		memcpy(renewal->of[renewal->n++].lease, job->outcome.lease,
		       sizeof(job->outcome.lease));
	}
	if (renewal->n == 0)
		return;
	sender->renewing = true;
	notify_repo_renew(sender->cfg.db, renewal, on_renewed, sender);
}

static void give_back_waiting(struct sender *sender, int64_t claimed_before,
			      const char *why)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct job *job = &sender->jobs[i];

		if (job->state == JOB_WAITING && job->claimed_ms < claimed_before)
			give_back(job, why);
	}
}

static void on_poll(void *arg)
{
	struct sender *sender = arg;
	int64_t now = time_mono_ms();

	loop_timer_start(sender->poll, POLL_MS);
	claim(sender);
	give_back_waiting(sender, now - WAIT_MS, BUSY);
	renew(sender, now);
	if (sender->counting || now < sender->backlog_ms)
		return;
	sender->backlog_ms = now + BACKLOG_MS;
	sender->counting = true;
	notify_repo_backlog(sender->cfg.db, &sender->backlog, on_counted, sender);
}

bool sender_has_room(const struct sender *sender)
{
	return sender->backlog.pending < sender->cfg.max_pending;
}

void sender_wake(struct sender *sender)
{
	claim(sender);
}

void sender_drain(struct sender *sender, loop_fn drained, void *arg)
{
	loop_timer_stop(sender->poll);
	sender->draining = true;
	sender->drained = drained;
	sender->drained_arg = arg;
	give_back_waiting(sender, INT64_MAX, STOPPED);
	check_drained(sender);
}

void sender_stop(struct sender *sender)
{
	if (!sender)
		return;
	loop_timer_stop(sender->poll);
	for (size_t i = 0; i < SLOTS; i++)
		loop_timer_stop(sender->jobs[i].again);
	sender->draining = sender->stopping = true;
	sender->drained = NULL;
}

static void add_metrics(struct sender *sender, struct metrics *metrics)
{
	static const char name[] = "shop_mails_total", help[] = "ends of tries to send";

	sender->m_sent = metrics_counter(metrics, name, help, "result=\"sent\"");
	sender->m_retried = metrics_counter(metrics, name, help, "result=\"put_off\"");
	sender->m_failed = metrics_counter(metrics, name, help, "result=\"failed\"");
	sender->m_seconds = metrics_histogram(metrics, "shop_mail_seconds",
					      "from claiming to the server's OK", NULL);
	sender->m_pending =
		metrics_gauge(metrics, "shop_notifications_pending",
			      "notifications to be sent, all instances", NULL);
	sender->m_failed_now =
		metrics_gauge(metrics, "shop_notifications_failed",
			      "notifications given up, all instances", NULL);
	sender->m_overdue =
		metrics_gauge(metrics, "shop_notifications_overdue_seconds",
			      "how long the next one to be sent has been due", NULL);
	metric_scale(sender->m_overdue, 1000);
}

struct sender *sender_new(struct loop *loop, const struct sender_config *cfg,
			  struct metrics *metrics)
{
	struct sender *sender = xcalloc(1, sizeof(*sender));

	_Static_assert(SLOTS <= REPO_MAX_CLAIM, "a claim has room for all slots");
	sender->loop = loop;
	sender->cfg = *cfg;
	sender->backlog.max = cfg->max_pending;
	pace_init(&sender->pace, cfg->rate, time_mono_ms());
	for (size_t i = 0; i < SLOTS; i++) {
		sender->jobs[i].sender = sender;
		sender->jobs[i].again = loop_timer_new(loop, on_record, &sender->jobs[i]);
		sender->jobs[i].next = sender->idle;
		sender->idle = &sender->jobs[i];
	}
	sender->n_idle = SLOTS;
	add_metrics(sender, metrics);
	sender->poll = loop_timer_new(loop, on_poll, sender);
	loop_timer_start(sender->poll, 0);
	return sender;
}

void sender_free(struct sender *sender)
{
	if (!sender)
		return;
	loop_timer_free(sender->poll);
	for (size_t i = 0; i < SLOTS; i++) {
		loop_timer_free(sender->jobs[i].again);
		notice_fini(&sender->jobs[i].notice);
		free(sender->jobs[i].text);
	}
	free(sender);
}
