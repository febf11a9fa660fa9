/* state_model.c - slow and obvious; shares nothing with processor/. */
#include "state_model.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS  60000
#define GRACE_MS   10000
#define DAY_MS     86400000LL
#define AHEAD_MS   300000
#define RING       16
#define MAP        64
#define MAX_JUMP   1000000
#define EPOCH_BITS 48

void state_model_init(struct state_model *model, size_t max_users)
{
	*model = (struct state_model){.txn = 1, .max_users = max_users};
}

void state_model_fini(struct state_model *model)
{
	free(model->all);
}

static struct entry *add(struct state_model *model, enum entry_kind kind)
{
	struct entry *entry;

	if (model->n == model->cap) {
		model->cap = model->cap ? 2 * model->cap : 256;
		model->all = realloc(model->all, model->cap * sizeof(*entry));
	}
	entry = &model->all[model->n++];
	memset(entry, 0, sizeof(*entry));
	entry->kind = kind;
	entry->txn = model->txn;
	return entry;
}

void state_model_commit(struct state_model *model)
{
	model->committed = model->n;
	model->txn++;
}

void state_model_rollback(struct state_model *model)
{
	model->n = model->committed;
}

/* Each entry in its order, from the oldest. */
#define EACH(e, model) \
	(const struct entry *e = (model)->all; e && e < (model)->all + (model)->n; e++)

static bool counts(const struct entry *e)
{
	return e->kind == ENTRY_EVENT && e->took && e->event.type != ORDER_OTHER;
}

static bool created(const struct entry *e)
{
	return counts(e) && e->event.type == ORDER_CREATED;
}

static bool takes_of(const struct entry *e, int64_t user_id)
{
	return e->kind == ENTRY_EVENT && e->took && e->event.user_id == user_id;
}

/* ---- numbers ---- */

/* The user's present epoch: numbers up to `base` are none of ours, `top` is the
 * highest that was taken. */
struct numbering {
	bool any;
	uint64_t epoch, base, top;
};

static struct numbering begin_numbering(uint64_t number)
{
	uint64_t epoch = number >> EPOCH_BITS, start = epoch << EPOCH_BITS;
	bool beyond = number - start > MAP;

	return (struct numbering){true, epoch, beyond ? number - 1 : start, number};
}

static struct numbering numbering_of(const struct state_model *model, int64_t user_id)
{
	struct numbering now = {0};

	for
		EACH(e, model)
		{
			uint64_t number = e->event.seq;

			if (!takes_of(e, user_id) || number == 0)
				continue;
			if (!now.any || number >> EPOCH_BITS > now.epoch)
				now = begin_numbering(number);
			else if (number > now.top)
				now.top = number;
		}
	return now;
}

static bool taken(const struct state_model *model, int64_t user_id, uint64_t number)
{
	for
		EACH(e, model)
		{
			if (takes_of(e, user_id) && e->event.seq == number)
				return true;
		}
	return false;
}

static uint64_t lower_edge(const struct numbering *now)
{
	return now->top > now->base + MAP ? now->top - MAP : now->base;
}

bool state_model_closed(const struct state_model *model, int64_t user_id, uint64_t number)
{
	struct numbering now = numbering_of(model, user_id);

	return now.any && (number <= lower_edge(&now) || taken(model, user_id, number));
}

/* Up to here everything is closed. */
static uint64_t seen_up_to(const struct state_model *model, int64_t user_id)
{
	struct numbering now = numbering_of(model, user_id);
	uint64_t number = lower_edge(&now);

	while (now.any && taken(model, user_id, number + 1))
		number++;
	return number;
}

/* How many numbers in first ... last were not taken. */
static uint64_t missing(const struct state_model *model, int64_t user_id, uint64_t first,
			uint64_t last)
{
	uint64_t n = first <= last ? last - first + 1 : 0;

	for
		EACH(e, model)
		{
			if (takes_of(e, user_id) && e->event.seq >= first &&
			    e->event.seq <= last)
				n--;
		}
	return n;
}

static enum outcome judge_number(const struct state_model *model,
				 const struct order_event *event, struct applied *applied)
{
	struct numbering now = numbering_of(model, event->user_id), then = now;
	uint64_t edge = lower_edge(&now), number = event->seq;

	if (!now.any || number >> EPOCH_BITS > now.epoch) {
		then = begin_numbering(number);
		applied->first_beyond = number - (then.epoch << EPOCH_BITS) > MAP;
		if (now.any)
			applied->lost.total =
				missing(model, event->user_id, edge + 1, now.top);
		return OUTCOME_COUNTED;
	}
	if (state_model_closed(model, event->user_id, number))
		return OUTCOME_DUPLICATE;
	if (number > seen_up_to(model, event->user_id) + MAX_JUMP)
		return OUTCOME_JUMP;
	if (number > then.top)
		then.top = number;
	applied->lost.total = missing(model, event->user_id, edge + 1, lower_edge(&then));
	return OUTCOME_COUNTED;
}

/* ---- order ids ---- */

static int64_t order_name(const struct order_event *event)
{
	return event->type == ORDER_CANCELLED ? -event->order_id : event->order_id;
}

/* The last ones without a number, oldest first. */
static void recent_of(const struct state_model *model, int64_t user_id,
		      struct recent *recent)
{
	recent->n = 0;
	for
		EACH(e, model)
		{
			if (!takes_of(e, user_id) || e->event.seq != 0)
				continue;
			if (recent->n == RING) {
				for (unsigned i = 1; i < RING; i++)
					recent->id[i - 1] = recent->id[i];
				recent->n--;
			}
			recent->id[recent->n++] = order_name(&e->event);
		}
}

static enum outcome judge_order(const struct state_model *model,
				const struct order_event *event)
{
	struct recent recent;

	recent_of(model, event->user_id, &recent);
	for (unsigned i = 0; i < recent.n; i++) {
		if (recent.id[i] == order_name(event))
			return OUTCOME_DUPLICATE;
	}
	return OUTCOME_COUNTED;
}

/* ---- one record ---- */

static bool known(const struct state_model *model, int64_t user_id)
{
	for
		EACH(e, model)
		{
			if (takes_of(e, user_id))
				return true;
		}
	return false;
}

static int64_t watermark(const struct state_model *model)
{
	int64_t latest = -1;

	for
		EACH(e, model)
		{
			if (counts(e) && !e->ahead && e->time_ms > latest)
				latest = e->time_ms;
		}
	return latest;
}

static int64_t end_ms(int64_t start_s)
{
	return start_s * 1000 + MINUTE_MS;
}

static bool past_correction(const struct state_model *model, int64_t start_s)
{
	int64_t latest = watermark(model);

	return latest >= 0 && latest >= end_ms(start_s) + DAY_MS;
}

void state_model_take(struct state_model *model, const struct order_event *event,
		      int64_t now_ms, int64_t next, struct applied *applied)
{
	bool other = event->type == ORDER_OTHER;
	bool nothing = other && (event->user_id == 0 || event->seq == 0);
	bool ahead = event->time_ms > now_ms + AHEAD_MS;
	int64_t time_ms = ahead ? now_ms : event->time_ms;
	int64_t start_s = time_ms / MINUTE_MS * 60;
	bool late = past_correction(model, start_s);
	struct entry *e;

	memset(applied, 0, sizeof(*applied));
	if (nothing)
		applied->outcome = OUTCOME_IGNORED;
	else if (!known(model, event->user_id) &&
		 state_model_users(model) >= model->max_users)
		applied->outcome = OUTCOME_FULL;
	else if (event->seq)
		applied->outcome = judge_number(model, event, applied);
	else
		applied->outcome = judge_order(model, event);
	e = add(model, ENTRY_EVENT);
	e->event = *event;
	e->took = applied->outcome == OUTCOME_COUNTED;
	if (e->took && other)
		applied->outcome = OUTCOME_IGNORED;
	e->outcome = applied->outcome;
	e->ahead = ahead;
	e->time_ms = time_ms;
	e->start_s = start_s;
	e->late = late;
	e->next = next;
	applied->late = late && counts(e);
}

/* ---- windows ---- */

static bool marked(const struct state_model *model, enum entry_kind kind, int64_t start_s)
{
	for
		EACH(e, model)
		{
			if (e->kind == kind && e->start_s == start_s)
				return true;
		}
	return false;
}

static bool in_a_window(const struct entry *e)
{
	return counts(e) && !e->late;
}

/* Is this the first entry of its window? Then it stands for the window. */
static bool opens_window(const struct state_model *model, const struct entry *e)
{
	if (!in_a_window(e))
		return false;
	for (const struct entry *other = model->all; other < e; other++) {
		if (in_a_window(other) && other->start_s == e->start_s)
			return false;
	}
	return true;
}

static bool to_fold(const struct state_model *model, int64_t start_s)
{
	return !marked(model, ENTRY_FOLD, start_s) && past_correction(model, start_s);
}

static bool to_finish(const struct state_model *model, int64_t start_s, int64_t now_ms,
		      bool idle)
{
	return !marked(model, ENTRY_FOLD, start_s) &&
	       !marked(model, ENTRY_FINAL, start_s) &&
	       (watermark(model) >= end_ms(start_s) + GRACE_MS ||
		(idle && now_ms >= end_ms(start_s)));
}

bool state_model_close_due(const struct state_model *model, int64_t now_ms, bool idle)
{
	for
		EACH(e, model)
		{
			if (opens_window(model, e) &&
			    (to_fold(model, e->start_s) ||
			     to_finish(model, e->start_s, now_ms, idle)))
				return true;
		}
	return false;
}

void state_model_close(struct state_model *model, int64_t now_ms, bool idle)
{
	size_t n = model->n;

	for (size_t i = 0; i < n; i++) {
		int64_t start_s = model->all[i].start_s;

		if (!opens_window(model, &model->all[i]))
			continue;
		if (to_fold(model, start_s))
			add(model, ENTRY_FOLD)->start_s = start_s;
		else if (to_finish(model, start_s, now_ms, idle))
			add(model, ENTRY_FINAL)->start_s = start_s;
	}
}

/* ---- what must be there ---- */

/* The user bought in the window before it bought in any later one. */
static bool adds_user(const struct state_model *model, const struct entry *e)
{
	if (!created(e) || e->late || e->start_s == 0)
		return false;
	for (const struct entry *other = model->all; other < e; other++) {
		if (created(other) && !other->late &&
		    other->event.user_id == e->event.user_id &&
		    other->start_s >= e->start_s)
			return false;
	}
	return true;
}

bool state_model_user(const struct state_model *model, int64_t user_id, struct user *user,
		      struct recent *recent)
{
	unsigned txn = 0;

	*user = (struct user){.user_id = user_id, .last_order_ms = -1};
	for
		EACH(e, model)
		{
			if (!takes_of(e, user_id))
				continue;
			user->version += e->txn != txn;
			txn = e->txn;
			if (!counts(e))
				continue;
			user->orders += created(e) ? 1 : -1;
			user->cents += created(e) ? e->event.cents : -e->event.cents;
			if (created(e) && e->time_ms > user->last_order_ms)
				user->last_order_ms = e->time_ms;
			if (created(e) && !e->late && e->start_s > user->window_s)
				user->window_s = e->start_s;
		}
	user->seq.seq = seen_up_to(model, user_id);
	for
		EACH(e, model)
		{
			if (takes_of(e, user_id) && e->event.seq > user->seq.seq)
				user->seq.seen |= (uint64_t)1
						  << (e->event.seq - user->seq.seq - 1);
		}
	recent_of(model, user_id, recent);
	return user->version > 0;
}

static void add_sums(struct sums *sums, const struct entry *e)
{
	if (created(e)) {
		sums->orders++;
		sums->revenue += e->event.cents;
	} else {
		sums->cancelled++;
		sums->refunded += e->event.cents;
	}
}

bool state_model_window(const struct state_model *model, int64_t start_s,
			struct window *win)
{
	struct sums sums = {0};
	unsigned txn = 0;

	*win = (struct window){.start_s = start_s};
	for
		EACH(e, model)
		{
			if (e->start_s != start_s ||
			    (e->kind == ENTRY_EVENT && !in_a_window(e)))
				continue;
			win->version += e->txn != txn;
			txn = e->txn;
			win->final = win->final || e->kind == ENTRY_FINAL;
			/* Gone when the transaction is. */
			win->folded = win->folded || e->kind == ENTRY_FOLD;
			if (win->folded && e->txn < model->txn)
				return false;
			if (e->kind != ENTRY_EVENT)
				continue;
			add_sums(&sums, e);
			win->users += adds_user(model, e);
		}
	win->orders = sums.orders;
	win->revenue = sums.revenue;
	win->cancelled = sums.cancelled;
	win->refunded = sums.refunded;
	return win->version > 0;
}

void state_model_totals(const struct state_model *model, struct totals *totals)
{
	unsigned txn = 0;

	*totals = (struct totals){.watermark_ms = watermark(model), .next = -1};
	for
		EACH(e, model)
		{
			if (e->kind == ENTRY_FINAL)
				continue;
			totals->version += e->txn != txn;
			txn = e->txn;
			if (e->kind == ENTRY_EVENT)
				totals->next = e->next;
			if (counts(e) && e->late)
				add_sums(&totals->late, e);
			if (in_a_window(e) && marked(model, ENTRY_FOLD, e->start_s))
				add_sums(&totals->folded, e);
		}
}

/* ---- how many ---- */

static bool first_of_user(const struct state_model *model, const struct entry *e)
{
	if (e->kind != ENTRY_EVENT || !e->took)
		return false;
	for (const struct entry *other = model->all; other < e; other++) {
		if (takes_of(other, e->event.user_id))
			return false;
	}
	return true;
}

size_t state_model_users(const struct state_model *model)
{
	size_t n = 0;

	for
		EACH(e, model)
	n += first_of_user(model, e);
	return n;
}

size_t state_model_starts(const struct state_model *model, int64_t *starts, size_t max)
{
	size_t n = 0, i;

	for
		EACH(e, model)
		{
			for (i = 0; i < n && starts[i] != e->start_s; i++)
				continue;
			if (i == n && n < max && in_a_window(e))
				starts[n++] = e->start_s;
		}
	return n;
}

size_t state_model_windows(const struct state_model *model)
{
	int64_t starts[1000];
	size_t n = state_model_starts(model, starts, 1000), found = 0;
	struct window win;

	for (size_t i = 0; i < n; i++)
		found += state_model_window(model, starts[i], &win);
	return found;
}

/* This transaction alone: its users, windows, and the totals. */
size_t state_model_touched(const struct state_model *model)
{
	struct state_model own = {.all = model->all + model->committed,
				  .n = model->n - model->committed};
	size_t n = 0, totals = 0;

	if (own.n == 0)
		return 0;
	for
		EACH(e, &own)
		{
			bool first = e->kind != ENTRY_EVENT || in_a_window(e);

			totals |= e->kind != ENTRY_FINAL;
			n += first_of_user(&own, e);
			for (const struct entry *other = own.all; first && other < e;
			     other++) {
				first = other->start_s != e->start_s ||
					(other->kind == ENTRY_EVENT &&
					 !in_a_window(other));
			}
			n += first;
		}
	return n + totals;
}
