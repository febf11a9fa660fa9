/* placement.c - the steps, the model, and what must always hold. */
#include "placement.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const struct step_kind placement_kinds[] = {
	[PLACE] = {"PLACE", "user key product quantity second more"},
	[SEND] = {"SEND", "attempt extra"},
	[BATCH] = {"BATCH", "at n"},
	[GIVE_UP] = {"GIVE_UP", "attempt"},
	[RECORD] = {"RECORD", "attempt n lost late"},
	[REFUSE] = {"REFUSE", "attempt lost"},
	[SETTLE] = {"SETTLE", "attempt lost"},
	[RELEASE] = {"RELEASE", "attempt lost"},
	[DIE] = {"DIE", "attempt"},
	[CANCEL] = {"CANCEL", "attempt"},
	[EVENTS] = {"EVENTS", "n again"},
	[EXPIRE] = {"EXPIRE", "attempt"},
	[FIND] = {"FIND", ""},
	[ASK] = {"ASK", "n lost"},
	[MOVE] = {"MOVE", "again"},
	[RESTOCK] = {"RESTOCK", "product n"},
};

/* ---- the world ---- */

enum stage {
	LOOKED_UP,
	WAITING, /* for product-svc */
	HOLDS,
	IS_SHORT,
	UNDOING, /* to be settled */
	FENCED,  /* to be released */
	DONE,
	DEAD
};

enum answer { NO_ANSWER, AN_ORDER, A_REFUSAL, AN_ERROR };

struct attempt {
	enum stage stage;
	enum answer answer;
	unsigned order; /* AN_ORDER: the attempt that made it */
	bool sent, fenced, twin_won;
	/* product-svc */
	struct row row;
	bool expired, has_order;
	int64_t extra;
	/* order-svc */
	bool committed, aborted, cancelled;
};

static struct {
	const struct placement_rules *rules;
	struct wish wish[ATTEMPTS_MAX];
	struct attempt attempt[ATTEMPTS_MAX];
	size_t n;
	int64_t stock[PRODUCTS], came[PRODUCTS];
	struct kept kept[PLACEMENT_USERS][PLACEMENT_KEYS];
	struct message queue[400];
	size_t n_queue;
	struct news outbox[2 * ATTEMPTS_MAX];
	size_t n_outbox, offset;
	/* The janitor's: who is overdue, and what it has heard of them. */
	unsigned found[ATTEMPTS_MAX];
	size_t n_found;
	struct news heard[ATTEMPTS_MAX];
	size_t n_heard;
	char *why;
	bool ok;
} sim;

static void wrong(const char *what, unsigned attempt, int64_t got, int64_t expected)
{
	if (sim.ok)
		random_wrong(sim.why, "%s (%u): %" PRId64 ", not %" PRId64, what, attempt,
			     got, expected);
	sim.ok = false;
}

static void same(const char *what, unsigned attempt, int64_t got, int64_t expected)
{
	if (got != expected)
		wrong(what, attempt, got, expected);
}

/* ---- the model of product-svc ---- */

static bool holds(const struct attempt *a)
{
	return a->row.stored && (a->row.state == RESERVATION_PENDING ||
				 a->row.state == RESERVATION_CONFIRMED);
}

static int64_t quantity_of(unsigned attempt, unsigned line, int64_t extra)
{
	return sim.wish[attempt].quantity[line] + (line == 0 ? extra : 0);
}

/* Stock comes (+1) or goes (-1). */
static void model_stock(unsigned attempt, int64_t sign)
{
	const struct wish *wish = &sim.wish[attempt];

	for (unsigned i = 0; i < wish->n_lines; i++)
		sim.stock[wish->product[i]] +=
			sign * quantity_of(attempt, i, sim.attempt[attempt].extra);
}

/* What pending ones of the same user and key hold of a product. */
static int64_t model_held(unsigned attempt, unsigned product)
{
	const struct wish *mine = &sim.wish[attempt];
	int64_t held = 0;

	for (unsigned i = 0; i < sim.n && mine->key; i++) {
		const struct wish *other = &sim.wish[i];

		if (!sim.attempt[i].row.stored ||
		    sim.attempt[i].row.state != RESERVATION_PENDING ||
		    other->user != mine->user || other->key != mine->key)
			continue;
		for (unsigned k = 0; k < other->n_lines; k++) {
			if (other->product[k] == product)
				held += quantity_of(i, k, sim.attempt[i].extra);
		}
	}
	return held;
}

static enum reserve_end judge_stored(const struct attempt *a, int64_t extra)
{
	if (a->row.state == RESERVATION_RELEASED)
		return RESERVE_RELEASED;
	return a->extra == extra ? RESERVE_OK : RESERVE_DIFFERS;
}

static void model_reserve(const struct message *message, struct reserved *answer)
{
	struct attempt *a = &sim.attempt[message->attempt];
	const struct wish *wish = &sim.wish[message->attempt];
	bool is_short = false, twin = wish->key != 0;

	*answer = (struct reserved){.end = RESERVE_OK};
	if (a->row.stored) {
		answer->end = judge_stored(a, message->extra);
		answer->replayed = answer->end == RESERVE_OK;
		return;
	}
	for (unsigned i = 0; i < wish->n_lines; i++) {
		unsigned p = wish->product[i];
		int64_t want = quantity_of(message->attempt, i, message->extra);

		if (p == PRODUCTS - 1)
			answer->end = RESERVE_NO_PRODUCT;
		if (sim.stock[p] < want && !is_short)
			answer->available = sim.stock[p];
		is_short = is_short || sim.stock[p] < want;
		twin = twin && sim.stock[p] + model_held(message->attempt, p) >= want;
	}
	if (answer->end == RESERVE_NO_PRODUCT)
		return;
	if (is_short) {
		answer->end = twin ? RESERVE_IN_PROGRESS : RESERVE_SHORT;
		return;
	}
	a->row = (struct row){true, RESERVATION_PENDING};
	a->extra = message->extra;
	model_stock(message->attempt, -1);
}

/* One after the other.  Who asks again for what was refused in the same breath is
 * told the same; who asks for something else under that id, after all others. */
static void model_batch(const struct message *m, size_t n, struct reserved *answers)
{
	bool decided[MESSAGES_MAX] = {false}, left = true;

	while (left) {
		bool seen[MESSAGES_MAX] = {false};

		left = false;
		for (size_t i = 0; i < n; i++) {
			size_t first = i;

			for (size_t k = i; k > 0; k--) {
				if (seen[k - 1] && m[k - 1].attempt == m[i].attempt)
					first = k - 1;
			}
			if (decided[i])
				continue;
			decided[i] = true;
			if (first == i || sim.attempt[m[i].attempt].row.stored) {
				seen[i] = true;
				model_reserve(&m[i], &answers[i]);
			} else if (m[i].extra == m[first].extra) {
				answers[i] = answers[first];
			} else {
				decided[i] = false;
				left = true;
			}
		}
	}
}

static void model_release(unsigned attempt)
{
	struct attempt *a = &sim.attempt[attempt];

	if (!a->row.stored)
		a->row = (struct row){true, RESERVATION_RELEASED};
	if (a->row.state != RESERVATION_PENDING)
		return;
	model_stock(attempt, 1);
	a->row.state = RESERVATION_RELEASED;
}

static void model_move(const struct news *news, struct told *told)
{
	struct attempt *a = &sim.attempt[news->attempt];
	enum reservation_state before = a->row.state, after = before;
	bool numbered = false;

	if (!a->row.stored) {
		told->unknown++;
		return;
	}
	if (news->kind == MOVE_CONFIRM && before == RESERVATION_RELEASED)
		told->lost++;
	if (news->kind == MOVE_CONFIRM && before == RESERVATION_PENDING)
		after = RESERVATION_CONFIRMED;
	if (news->kind == MOVE_CONFIRM && before == RESERVATION_CONFIRMED)
		numbered = news->order_id && !a->has_order;
	if (news->kind == MOVE_RETURN && holds(a))
		after = RESERVATION_RETURNED;
	if (news->kind == MOVE_RELEASE && before == RESERVATION_PENDING)
		after = RESERVATION_RELEASED;
	if (after == before && !numbered)
		return;
	told->changed[news->kind]++;
	a->has_order = news->order_id != 0;
	if (after == RESERVATION_RETURNED || after == RESERVATION_RELEASED)
		model_stock(news->attempt, 1);
	a->row.state = after;
}

/* The last word about each, whatever came before it in the same batch. */
static void model_moves(const struct news *news, size_t n, struct told *told)
{
	for (unsigned attempt = 0; attempt < sim.n; attempt++) {
		struct news last = {.attempt = attempt};
		bool any = false;

		for (size_t i = 0; i < n; i++) {
			if (news[i].attempt != attempt)
				continue;
			if (!any || news[i].kind > last.kind)
				last.kind = news[i].kind;
			if (!last.order_id)
				last.order_id = news[i].order_id;
			any = true;
		}
		if (any)
			model_move(&last, told);
	}
}

/* ---- the model of order-svc ---- */

static struct kept *kept_of(unsigned attempt)
{
	return &sim.kept[sim.wish[attempt].user][sim.wish[attempt].key];
}

static enum recorded model_record(unsigned attempt, bool late)
{
	struct attempt *a = &sim.attempt[attempt];
	struct kept *kept = kept_of(attempt);

	if (a->aborted)
		return RECORD_FENCED;
	if (late)
		return RECORD_TOO_LATE;
	if (sim.wish[attempt].key && kept->found)
		return RECORD_KEY_TAKEN;
	if (sim.wish[attempt].key)
		*kept = (struct kept){.found = true, .attempt = attempt};
	a->committed = true;
	sim.outbox[sim.n_outbox++] =
		(struct news){attempt, MOVE_CONFIRM, (int64_t)attempt + 1};
	return RECORDED;
}

/* A twin that is fenced or late as well may learn either. */
static void same_end(unsigned attempt, enum recorded got, enum recorded expected)
{
	if (got == RECORD_KEY_TAKEN && expected != RECORDED)
		same("the key is taken", attempt, kept_of(attempt)->found, true);
	else
		same("end of recording", attempt, got, expected);
}

static void record(const unsigned *attempts, const bool *late, size_t n,
		   enum recorded *ends)
{
	enum recorded expected[ATTEMPTS_MAX];

	/* A batch is written by user, each one's orders as they came. */
	for (unsigned user = 0; user < PLACEMENT_USERS; user++) {
		for (size_t i = 0; i < n; i++) {
			if (sim.wish[attempts[i]].user == user)
				expected[i] = model_record(attempts[i], late[i]);
		}
	}
	memcpy(ends, expected, n * sizeof(*ends));
	if (sim.rules->orders)
		sim.rules->orders->record(attempts, late, n, ends);
	for (size_t i = 0; i < n; i++)
		same_end(attempts[i], ends[i], expected[i]);
}

static struct kept lookup(unsigned attempt)
{
	const struct wish *wish = &sim.wish[attempt];
	struct kept expected = {0}, got;

	if (!wish->key)
		return expected;
	expected = *kept_of(attempt);
	if (!sim.rules->orders)
		return expected;
	got = sim.rules->orders->lookup(wish->user, wish->key);
	same("key is known", attempt, got.found, expected.found);
	if (got.found && expected.found) {
		same("key was refused", attempt, got.refused, expected.refused);
		same("whose answer", attempt, got.attempt, expected.attempt);
	}
	return got;
}

static bool refuse(unsigned attempt)
{
	struct kept *kept = kept_of(attempt);
	bool expected = !kept->found;

	if (!kept->found)
		*kept = (struct kept){true, true, attempt};
	if (sim.rules->orders)
		same("refused", attempt, sim.rules->orders->refuse(attempt), expected);
	return expected;
}

static bool settle(unsigned attempt)
{
	struct attempt *a = &sim.attempt[attempt];

	if (!a->committed)
		a->aborted = true;
	if (sim.rules->orders)
		same("committed", attempt, sim.rules->orders->settle(attempt),
		     a->committed);
	return a->committed;
}

static void cancel(unsigned attempt)
{
	struct attempt *a = &sim.attempt[attempt];
	bool changes = !a->cancelled;

	if (changes)
		sim.outbox[sim.n_outbox++] =
			(struct news){attempt, MOVE_RETURN, (int64_t)attempt + 1};
	a->cancelled = true;
	if (sim.rules->orders)
		same("cancelled", attempt, sim.rules->orders->cancel(attempt), changes);
}

/* ---- what must always hold ---- */

static void check_stock(const int64_t *stock, const struct row *rows)
{
	int64_t held[PRODUCTS] = {0};

	for (unsigned i = 0; i < sim.n; i++) {
		if (!rows[i].stored || (rows[i].state != RESERVATION_PENDING &&
					rows[i].state != RESERVATION_CONFIRMED))
			continue;
		for (unsigned k = 0; k < sim.wish[i].n_lines; k++)
			held[sim.wish[i].product[k]] +=
				quantity_of(i, k, sim.attempt[i].extra);
	}
	for (unsigned p = 0; p < PRODUCTS - 1; p++) {
		same("stock and what is held", p, stock[p] + held[p], sim.came[p]);
		same("stock below zero", p, stock[p] < 0, false);
	}
}

/* Sold goods are nobody else's. */
static void check_orders(const struct row *rows)
{
	for (unsigned i = 0; i < sim.n; i++) {
		const struct attempt *a = &sim.attempt[i];

		same("committed and fenced", i, a->committed && a->aborted, false);
		if (a->committed)
			same("an order's stock was released", i,
			     !rows[i].stored || rows[i].state == RESERVATION_RELEASED,
			     false);
		if (a->committed && !a->cancelled)
			same("an order's stock was returned", i,
			     rows[i].state == RESERVATION_RETURNED, false);
	}
}

static bool same_wish(unsigned a, unsigned b)
{
	return memcmp(&sim.wish[a], &sim.wish[b], sizeof(struct wish)) == 0;
}

static bool is_final(const struct attempt *a)
{
	return a->answer == AN_ORDER || a->answer == A_REFUSAL;
}

static void check_answers(void)
{
	for (unsigned i = 0; i < sim.n; i++) {
		for (unsigned k = 0; k < i && sim.wish[i].key; k++) {
			const struct attempt *a = &sim.attempt[i], *b = &sim.attempt[k];

			if (sim.wish[i].user != sim.wish[k].user ||
			    sim.wish[i].key != sim.wish[k].key)
				continue;
			same("two orders under a key", i, a->committed && b->committed,
			     false);
			if (!is_final(a) || !is_final(b) || !same_wish(i, k))
				continue;
			same("two answers under a key", i, a->answer, b->answer);
			same("another order under a key", i, a->order, b->order);
		}
	}
}

static void check_all(void)
{
	int64_t stock[PRODUCTS] = {0};
	struct row rows[ATTEMPTS_MAX] = {0};

	sim.rules->look(stock, rows, sim.n);
	for (unsigned p = 0; p < PRODUCTS - 1; p++)
		same("stock", p, stock[p], sim.stock[p]);
	for (unsigned i = 0; i < sim.n; i++) {
		const struct row *expected = &sim.attempt[i].row;

		same("stored", i, rows[i].stored, expected->stored);
		if (expected->stored)
			same("state", i, rows[i].state, expected->state);
	}
	check_stock(stock, rows);
	check_orders(rows);
	check_answers();
}

/* ---- the steps of an attempt ---- */

static void finish(struct attempt *a, enum answer answer, unsigned order)
{
	a->stage = DONE;
	a->answer = answer;
	a->order = order;
}

/* The stored answer, if it was for the same order. */
static void answer_kept(unsigned attempt, const struct kept *kept)
{
	struct attempt *a = &sim.attempt[attempt];

	if (!same_wish(kept->attempt, attempt))
		finish(a, AN_ERROR, 0);
	else
		finish(a, kept->refused ? A_REFUSAL : AN_ORDER,
		       kept->refused ? 0 : kept->attempt);
}

static void add_line(struct wish *wish, int64_t product, int64_t quantity)
{
	wish->product[wish->n_lines] = (unsigned)(product % PRODUCTS);
	wish->quantity[wish->n_lines++] = 1 + quantity % 6;
}

static void do_place(const struct step *step)
{
	const int64_t *arg = step->arg;
	unsigned attempt = (unsigned)sim.n;
	struct wish *wish = &sim.wish[attempt];
	int64_t second = arg[4] % PRODUCTS, first = arg[2] % PRODUCTS;
	struct kept kept;

	if (sim.n == ATTEMPTS_MAX)
		return;
	*wish = (struct wish){.user = (unsigned)arg[0] % PLACEMENT_USERS,
			      .key = (unsigned)arg[1] % PLACEMENT_KEYS};
	sim.attempt[sim.n++] = (struct attempt){.stage = LOOKED_UP};
	if (arg[5] && second < first)
		add_line(wish, second, arg[5]);
	add_line(wish, first, arg[3]);
	if (arg[5] && second > first)
		add_line(wish, second, arg[5]);
	kept = lookup(attempt);
	if (kept.found)
		answer_kept(attempt, &kept);
}

/* Also later than anybody waits for it; then, or with another body, it is only
 * something that arrives. */
static void do_send(unsigned attempt, int64_t extra)
{
	struct attempt *a = &sim.attempt[attempt];

	if (a->stage == LOOKED_UP)
		a->stage = WAITING;
	else if (!a->sent)
		return;
	extra = a->sent ? extra % 2 : 0;
	a->sent = true;
	if (sim.n_queue < ARRAY_LEN(sim.queue))
		sim.queue[sim.n_queue++] = (struct message){attempt, extra};
}

static void take_answer(const struct message *message, const struct reserved *answer)
{
	struct attempt *a = &sim.attempt[message->attempt];

	if (a->stage != WAITING || message->extra)
		return;
	switch (answer->end) {
	case RESERVE_OK: a->stage = HOLDS; break;
	case RESERVE_SHORT: a->stage = IS_SHORT; break;
	case RESERVE_NO_PRODUCT:
	case RESERVE_IN_PROGRESS:
	case RESERVE_RELEASED:
	case RESERVE_DIFFERS: finish(a, AN_ERROR, 0); break;
	}
}

static void do_batch(size_t at, size_t n)
{
	struct message messages[MESSAGES_MAX];
	struct reserved expected[MESSAGES_MAX] = {0}, got[MESSAGES_MAX] = {0};

	if (!sim.n_queue)
		return;
	at %= sim.n_queue;
	n = 1 + n % MESSAGES_MAX;
	if (n > sim.n_queue - at)
		n = sim.n_queue - at;
	memcpy(messages, sim.queue + at, n * sizeof(*messages));
	memmove(sim.queue + at, sim.queue + at + n,
		(sim.n_queue - at - n) * sizeof(*messages));
	sim.n_queue -= n;
	model_batch(messages, n, expected);
	sim.rules->reserve(messages, n, got);
	for (size_t i = 0; i < n; i++) {
		same("answer", messages[i].attempt, got[i].end, expected[i].end);
		same("replayed", messages[i].attempt, got[i].replayed,
		     expected[i].replayed);
		if (expected[i].end == RESERVE_SHORT)
			same("available", messages[i].attempt, got[i].available,
			     expected[i].available);
		take_answer(&messages[i], &got[i]);
	}
}

static void take_end(unsigned attempt, enum recorded end)
{
	struct attempt *a = &sim.attempt[attempt];

	a->twin_won = end == RECORD_KEY_TAKEN;
	if (end == RECORDED)
		finish(a, AN_ORDER, attempt);
	else
		a->stage = UNDOING;
}

/* `lost`, `late`: a bit for each that is recorded. */
static void do_record(unsigned from, size_t most, int64_t lost, int64_t is_late)
{
	unsigned attempts[MESSAGES_MAX];
	enum recorded ends[MESSAGES_MAX];
	bool late[MESSAGES_MAX];
	size_t n = 0;

	most = 1 + most % MESSAGES_MAX;
	for (unsigned i = from; i < sim.n && n < most; i++) {
		if (sim.attempt[i].stage != HOLDS)
			continue;
		late[n] = is_late >> n & 1;
		attempts[n++] = i;
	}
	if (!n)
		return;
	record(attempts, late, n, ends);
	for (size_t i = 0; i < n; i++) {
		if (lost >> i & 1)
			sim.attempt[attempts[i]].stage = UNDOING;
		else
			take_end(attempts[i], ends[i]);
	}
}

static void do_refuse(unsigned attempt, bool lost)
{
	struct attempt *a = &sim.attempt[attempt];
	bool stored;

	if (a->stage != IS_SHORT)
		return;
	stored = !sim.wish[attempt].key || refuse(attempt);
	if (lost) {
		finish(a, AN_ERROR, 0);
	} else if (stored) {
		finish(a, A_REFUSAL, 0);
	} else {
		struct kept kept = lookup(attempt);

		answer_kept(attempt, &kept);
	}
}

static void do_settle(unsigned attempt, bool lost)
{
	struct attempt *a = &sim.attempt[attempt];
	bool committed;

	if (a->stage != UNDOING)
		return;
	committed = settle(attempt);
	if (lost) {
		finish(a, AN_ERROR, 0);
	} else if (committed) {
		finish(a, AN_ORDER, attempt);
	} else {
		a->stage = FENCED;
		a->fenced = true;
	}
}

/* Whoever knows of the fence may say it, and again. */
static void do_release(unsigned attempt, bool lost)
{
	struct attempt *a = &sim.attempt[attempt];
	struct kept kept = {0};

	if (!a->fenced)
		return;
	model_release(attempt);
	same("released", attempt, sim.rules->release(attempt), a->row.state);
	if (a->stage != FENCED)
		return;
	if (a->twin_won && !lost)
		kept = lookup(attempt);
	if (kept.found)
		answer_kept(attempt, &kept);
	else
		finish(a, AN_ERROR, 0);
}

/* ---- the steps of product-svc ---- */

static void move(const struct news *news, size_t n)
{
	struct told expected = {0}, got = {0};

	if (!n)
		return;
	model_moves(news, n, &expected);
	sim.rules->move(news, n, &got);
	for (unsigned kind = 0; kind <= MOVE_RELEASE; kind++)
		same("moved", kind, got.changed[kind], expected.changed[kind]);
	same("unknown reservations", 0, got.unknown, expected.unknown);
	same("lost reservations", 0, got.lost, 0);
}

static void check_event(size_t i)
{
	const struct news *expected = &sim.outbox[i];
	struct news got = {0};

	same("event exists", (unsigned)i, sim.rules->orders->event(i, &got), true);
	same("event's attempt", (unsigned)i, got.attempt, expected->attempt);
	same("event's kind", (unsigned)i, got.kind, expected->kind);
}

static void do_events(size_t n, bool again)
{
	size_t left = sim.n_outbox - sim.offset;

	n = n < left ? n : left;
	for (size_t i = sim.offset; i < sim.offset + n && sim.rules->orders; i++)
		check_event(i);
	move(sim.outbox + sim.offset, n);
	if (!again)
		sim.offset += n;
}

static void do_find(void)
{
	unsigned expected[ATTEMPTS_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < sim.n; i++) {
		if (sim.attempt[i].row.stored && sim.attempt[i].expired &&
		    sim.attempt[i].row.state == RESERVATION_PENDING)
			expected[n++] = i;
	}
	sim.n_found = sim.rules->overdue(sim.found);
	same("overdue", 0, (int64_t)sim.n_found, (int64_t)n);
	for (size_t i = 0; i < n && sim.ok; i++)
		same("overdue attempt", (unsigned)i, sim.found[i], expected[i]);
}

static void do_ask(size_t n, int64_t lost)
{
	for (size_t i = 0; i < n && sim.n_found && sim.n_heard < ATTEMPTS_MAX; i++) {
		unsigned attempt = sim.found[--sim.n_found];
		bool committed = settle(attempt);

		if (!(lost >> i & 1))
			sim.heard[sim.n_heard++] = (struct news){
				attempt, committed ? MOVE_CONFIRM : MOVE_RELEASE, 0};
	}
}

static void do_move(bool again)
{
	move(sim.heard, sim.n_heard);
	if (!again)
		sim.n_heard = 0;
}

static void do_expire(unsigned attempt)
{
	sim.rules->expire(attempt);
	if (sim.attempt[attempt].row.stored)
		sim.attempt[attempt].expired = true;
}

static void do_restock(unsigned product, int64_t n)
{
	sim.stock[product] += n;
	sim.came[product] += n;
	sim.rules->restock(product, n);
}

/* ---- running ---- */

static void do_to_attempt(const struct step *step, unsigned attempt)
{
	struct attempt *a = &sim.attempt[attempt];
	const int64_t *arg = step->arg;

	switch (step->kind) {
	case SEND: do_send(attempt, arg[1]); break;
	case GIVE_UP: a->stage = a->stage == WAITING ? UNDOING : a->stage; break;
	case RECORD: do_record(attempt, (size_t)arg[1], arg[2], arg[3]); break;
	case REFUSE: do_refuse(attempt, arg[1]); break;
	case SETTLE: do_settle(attempt, arg[1]); break;
	case RELEASE: do_release(attempt, arg[1]); break;
	case DIE: a->stage = a->stage == DONE ? DONE : DEAD; break;
	case EXPIRE: do_expire(attempt); break;
	case CANCEL:
		if (a->committed)
			cancel(attempt);
		break;
	}
}

static void do_step(const struct step *step)
{
	const int64_t *arg = step->arg;

	switch (step->kind) {
	case PLACE: do_place(step); break;
	case BATCH: do_batch((size_t)arg[0], (size_t)arg[1]); break;
	case EVENTS: do_events((size_t)arg[0], arg[1]); break;
	case FIND: do_find(); break;
	case ASK: do_ask((size_t)arg[0], arg[1]); break;
	case MOVE: do_move(arg[0]); break;
	case RESTOCK: do_restock((unsigned)arg[0] % (PRODUCTS - 1), arg[1] % 100); break;
	default:
		if (sim.n)
			do_to_attempt(step, (unsigned)((size_t)arg[0] % sim.n));
	}
	check_all();
}

/* All that is under way arrives, all that is held expires, the janitor comes, and
 * every event is delivered once more. */
static void heal(void)
{
	while (sim.n_queue && sim.ok)
		do_batch(0, MESSAGES_MAX - 1);
	for (unsigned i = 0; i < sim.n; i++)
		do_expire(i);
	do_move(false);
	do_find();
	do_ask(ATTEMPTS_MAX, 0);
	do_move(false);
	sim.offset = 0;
	do_events(2 * ATTEMPTS_MAX, false);
	check_all();
	for (unsigned i = 0; i < sim.n; i++) {
		const struct attempt *a = &sim.attempt[i];

		same("held in the end", i, holds(a), a->committed && !a->cancelled);
		if (sim.attempt[i].answer == AN_ORDER)
			same("order that was answered", i,
			     sim.attempt[a->order].committed, true);
	}
}

bool placement_run(const struct placement_rules *rules, const struct step *steps,
		   size_t n, char *why)
{
	static const int64_t stock[PRODUCTS] = {6, 4, 10, 0};

	memset(&sim, 0, sizeof(sim));
	sim.rules = rules;
	sim.why = why;
	sim.ok = true;
	memcpy(sim.stock, stock, sizeof(stock));
	memcpy(sim.came, stock, sizeof(stock));
	rules->begin(sim.wish, stock);
	for (size_t i = 0; i < n && sim.ok; i++)
		do_step(&steps[i]);
	if (sim.ok)
		heal();
	return sim.ok;
}
