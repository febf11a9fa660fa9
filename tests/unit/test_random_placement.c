/*
 * test_random_placement.c - random interleavings of orders against the pure rules
 * of product-svc, whose tables are arrays here.
 */
/* link: tests/unit/random_model.c tests/unit/placement.c */
/* link: tests/unit/placement_make.c */
/* link: product-svc/reservation.c product-svc/reservation_plan.c */
/* link: product-svc/reservation_move.c product-svc/product.c */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "placement.h"

/* ---- the tables ---- */

static struct {
	const struct wish *wishes;
	int64_t stock[PRODUCTS];
	struct stored {
		struct row row;
		int64_t extra, order_id;
		bool expired;
	} reservations[ATTEMPTS_MAX];
} tables;

static void begin(const struct wish *wishes, const int64_t *stock)
{
	memset(&tables, 0, sizeof(tables));
	tables.wishes = wishes;
	memcpy(tables.stock, stock, sizeof(tables.stock));
}

static void restock(unsigned product, int64_t n)
{
	tables.stock[product] += n;
}

static void give_back(unsigned attempt)
{
	const struct wish *wish = &tables.wishes[attempt];

	for (unsigned i = 0; i < wish->n_lines; i++)
		tables.stock[wish->product[i]] +=
			wish->quantity[i] +
			(i == 0 ? tables.reservations[attempt].extra : 0);
}

/* ---- reserve ---- */

struct request {
	struct reserve reserve;
	struct reservation res;
	struct reservation_line lines[WISH_LINES];
	const struct message *message;
};

static void make_id(char *dst, unsigned attempt)
{
	snprintf(dst, ID_HEX_LEN + 1, "%032x", attempt);
}

static unsigned attempt_of(const char *id)
{
	return (unsigned)strtoul(id, NULL, 16);
}

static void make_request(struct request *r, const struct message *message)
{
	const struct wish *wish = &tables.wishes[message->attempt];

	*r = (struct request){.message = message};
	r->reserve = (struct reserve){.res = &r->res, .owner = r};
	r->res.lines = r->lines;
	r->res.n_lines = wish->n_lines;
	make_id(r->res.id, message->attempt);
	if (wish->key)
		snprintf(r->res.key_hash, sizeof(r->res.key_hash), "%032x%032x",
			 wish->user, wish->key);
	for (unsigned i = 0; i < wish->n_lines; i++) {
		snprintf(r->lines[i].product_id, sizeof(r->lines[i].product_id), "p%u",
			 wish->product[i]);
		r->lines[i].quantity = wish->quantity[i] + (i == 0 ? message->extra : 0);
	}
}

static unsigned product_of(const struct plan_product *product)
{
	return (unsigned)(product->id[1] - '0');
}

static struct stored *stored_of(const struct reserve *one)
{
	return &tables.reservations[attempt_of(one->res->id)];
}

/* What the repository does when an id is there already. */
static bool answer_stored(struct plan *plan)
{
	bool any = false;

	for (size_t i = 0; i < plan->n; i++)
		any = any || stored_of(plan->members[i])->row.stored;
	for (size_t i = 0; i < plan->n_all && any; i++) {
		struct reserve *one = plan->all[i];
		const struct stored *stored = stored_of(one);
		const struct request *r = one->owner;

		if (one->decided || !stored->row.stored)
			continue;
		one->decided = true;
		one->end = stored->row.state == RESERVATION_RELEASED ? RESERVE_RELEASED
			   : stored->extra == r->message->extra      ? RESERVE_OK
								     : RESERVE_DIFFERS;
		one->replayed = one->end == RESERVE_OK;
	}
	return any;
}

static void lock_products(struct plan *plan)
{
	plan_forget(plan);
	for (size_t i = 0; i < plan->n_products; i++) {
		unsigned p = product_of(&plan->products[i]);

		if (p < PRODUCTS - 1)
			plan_found(plan, i, STR("a name"), 100, tables.stock[p]);
	}
}

/* The rows of the round are not there yet. */
static void find_held(struct plan *plan)
{
	for (unsigned a = 0; a < ATTEMPTS_MAX; a++) {
		struct message message = {a, tables.reservations[a].extra};
		struct request held;

		if (!tables.reservations[a].row.stored ||
		    tables.reservations[a].row.state != RESERVATION_PENDING ||
		    !tables.wishes[a].key)
			continue;
		make_request(&held, &message);
		for (unsigned i = 0; i < held.res.n_lines; i++)
			plan_held(plan, str_from(held.res.key_hash),
				  str_from(held.lines[i].product_id),
				  held.lines[i].quantity);
	}
}

static void store(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct request *r = plan->members[i]->owner;

		if (plan->members[i]->end == RESERVE_OK)
			*stored_of(plan->members[i]) = (struct stored){
				.row = {true, r->res.state}, .extra = r->message->extra};
	}
	for (size_t i = 0; i < plan->n_products; i++) {
		if (plan->products[i].taken)
			tables.stock[product_of(&plan->products[i])] -=
				plan->products[i].taken;
	}
}

static void reserve(const struct message *messages, size_t n, struct reserved *answers)
{
	static struct request requests[MESSAGES_MAX];
	struct reserve *all[MESSAGES_MAX];
	struct plan plan;

	for (size_t i = 0; i < n; i++) {
		make_request(&requests[i], &messages[i]);
		all[i] = &requests[i].reserve;
	}
	plan_init(&plan, all, n);
	while (plan_round(&plan)) {
		if (answer_stored(&plan))
			continue;
		lock_products(&plan);
		plan_decide(&plan);
		find_held(&plan);
		plan_judge(&plan);
		store(&plan);
		plan_settle(&plan);
	}
	plan_fini(&plan);
	for (size_t i = 0; i < n; i++) {
		const struct reserve *one = &requests[i].reserve;

		answers[i] =
			(struct reserved){.end = one->end, .replayed = one->replayed};
		if (one->end == RESERVE_SHORT)
			answers[i].available = one->res->lines[one->line].available;
	}
}

/* ---- later ---- */

static enum reservation_state release(unsigned attempt)
{
	struct stored *stored = &tables.reservations[attempt];

	if (!stored->row.stored)
		stored->row = (struct row){true, RESERVATION_RELEASED};
	if (stored->row.state == RESERVATION_PENDING) {
		give_back(attempt);
		stored->row.state = RESERVATION_RELEASED;
	}
	return stored->row.state;
}

static void apply_move(struct order_move *move, struct told *told)
{
	static const enum reservation_state states[] = {
		[MOVE_CONFIRM] = RESERVATION_CONFIRMED,
		[MOVE_RETURN] = RESERVATION_RETURNED,
		[MOVE_RELEASE] = RESERVATION_RELEASED,
	};
	unsigned attempt = attempt_of(move->reservation_id);
	struct stored *stored = &tables.reservations[attempt];

	move->end = stored->row.stored
			    ? move_decide(move, stored->row.state, stored->order_id != 0)
			    : MOVE_UNKNOWN;
	told->unknown += move->end == MOVE_UNKNOWN;
	told->lost += move->end == MOVE_LOST;
	if (move->end != MOVE_CHANGED)
		return;
	told->changed[move->kind]++;
	stored->row.state = states[move->kind];
	stored->order_id = move->order_id;
	if (move->kind != MOVE_CONFIRM)
		give_back(attempt);
}

static void move(const struct news *news, size_t n, struct told *told)
{
	static struct order_move moves[2 * ATTEMPTS_MAX];

	for (size_t i = 0; i < n; i++) {
		moves[i] = (struct order_move){.kind = news[i].kind,
					       .order_id = news[i].order_id};
		make_id(moves[i].reservation_id, news[i].attempt);
	}
	n = moves_fold(moves, n);
	for (size_t i = 0; i < n; i++)
		apply_move(&moves[i], told);
}

static void expire(unsigned attempt)
{
	tables.reservations[attempt].expired = tables.reservations[attempt].row.stored;
}

static size_t overdue(unsigned *attempts)
{
	size_t n = 0;

	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		if (tables.reservations[i].expired &&
		    tables.reservations[i].row.state == RESERVATION_PENDING)
			attempts[n++] = i;
	}
	return n;
}

static void look(int64_t *stock, struct row *rows, size_t n_attempts)
{
	memcpy(stock, tables.stock, sizeof(tables.stock));
	for (size_t i = 0; i < n_attempts; i++)
		rows[i] = tables.reservations[i].row;
}

static const struct placement_rules rules = {.begin = begin,
					     .restock = restock,
					     .reserve = reserve,
					     .release = release,
					     .move = move,
					     .expire = expire,
					     .overdue = overdue,
					     .look = look};

static bool run(const struct step *steps, size_t n, char *why)
{
	return placement_run(&rules, steps, n, why);
}

static const struct random_test test = {.name = "random_placements",
					.kinds = placement_kinds,
					.max_steps = 120,
					.make = placement_make,
					.run = run};

static void random_placements(void **state)
{
	(void)state;
	random_check(&test);
}

RUN(cmocka_unit_test(random_placements))
