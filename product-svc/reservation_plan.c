/* reservation_plan.c - who gets the stock, when many ask at once. */
#include "reservation_plan.h"

#include <stdlib.h>

static int by_id(const void *a, const void *b)
{
	const struct reserve *x = *(struct reserve *const *)a;
	const struct reserve *y = *(struct reserve *const *)b;
	int order = strcmp(x->res->id, y->res->id);

	return order ? order : (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static int by_arrival(const void *a, const void *b)
{
	const struct reserve *x = *(struct reserve *const *)a;
	const struct reserve *y = *(struct reserve *const *)b;

	return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static int by_product(const void *a, const void *b)
{
	const struct reservation_line *x = *(struct reservation_line *const *)a;
	const struct reservation_line *y = *(struct reservation_line *const *)b;

	return strcmp(x->product_id, y->product_id);
}

static bool same_id(const struct reserve *a, const struct reserve *b)
{
	return strcmp(a->res->id, b->res->id) == 0;
}

/* ---- a round ---- */

static void round_fini(struct plan *plan)
{
	free(plan->members);
	free(plan->turns);
	free(plan->lines);
	free(plan->products);
	plan->members = plan->turns = NULL;
	plan->lines = NULL;
	plan->products = NULL;
	plan->n = plan->n_lines = plan->n_products = 0;
}

void plan_init(struct plan *plan, struct reserve **all, size_t n)
{
	*plan = (struct plan){.all = all, .n_all = n};
	for (size_t i = 0; i < n; i++) {
		all[i]->arrival = i;
		all[i]->decided = all[i]->replayed = false;
	}
	qsort(all, n, sizeof(struct reserve *), by_id);
}

void plan_fini(struct plan *plan)
{
	round_fini(plan);
}

static void choose_members(struct plan *plan)
{
	plan->members = xcalloc(plan->n_all, sizeof(struct reserve *));
	plan->turns = xcalloc(plan->n_all, sizeof(struct reserve *));
	for (size_t i = 0; i < plan->n_all; i++) {
		struct reserve *one = plan->all[i];

		if (one->decided || (plan->n && same_id(plan->members[plan->n - 1], one)))
			continue;
		plan->members[plan->n++] = one;
		plan->n_lines += one->res->n_lines;
	}
	memcpy(plan->turns, plan->members, plan->n * sizeof(struct reserve *));
	qsort(plan->turns, plan->n, sizeof(struct reserve *), by_arrival);
}

static void collect_lines(struct plan *plan)
{
	size_t at = 0;

	plan->lines = xcalloc(plan->n_lines, sizeof(struct reservation_line *));
	for (size_t i = 0; i < plan->n; i++) {
		struct reservation *res = plan->members[i]->res;

		for (unsigned k = 0; k < res->n_lines; k++)
			plan->lines[at++] = &res->lines[k];
	}
	qsort(plan->lines, plan->n_lines, sizeof(struct reservation_line *), by_product);
}

static void collect_products(struct plan *plan)
{
	struct plan_product *product = NULL;

	plan->products = xcalloc(plan->n_lines, sizeof(*plan->products));
	for (size_t i = 0; i < plan->n_lines; i++) {
		struct reservation_line *line = plan->lines[i];

		if (!product || strcmp(product->id, line->product_id) != 0) {
			product = &plan->products[plan->n_products++];
			product->id = line->product_id;
			product->first = i;
		}
		product->n++;
		line->product = (unsigned)(plan->n_products - 1);
	}
}

bool plan_round(struct plan *plan)
{
	round_fini(plan);
	choose_members(plan);
	if (!plan->n)
		return false;
	collect_lines(plan);
	collect_products(plan);
	return true;
}

/* ---- deciding ---- */

void plan_forget(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_products; i++) {
		plan->products[i].found = false;
		plan->products[i].stock = plan->products[i].taken = 0;
	}
}

void plan_found(struct plan *plan, size_t product, struct str name, int64_t unit_price,
		int64_t stock)
{
	struct plan_product *p = &plan->products[product];

	p->found = true;
	p->stock = stock;
	for (size_t i = p->first; i < p->first + p->n; i++) {
		str_copy(plan->lines[i]->name, sizeof(plan->lines[i]->name), name);
		plan->lines[i]->unit_price = unit_price;
	}
}

static void take(struct plan *plan, struct reservation *res)
{
	for (unsigned i = 0; i < res->n_lines; i++) {
		struct plan_product *product = &plan->products[res->lines[i].product];

		product->stock -= res->lines[i].quantity;
		product->taken += res->lines[i].quantity;
	}
	res->state = RESERVATION_PENDING;
}

static void decide(struct plan *plan, struct reserve *one)
{
	struct reservation *res = one->res;

	for (unsigned i = 0; i < res->n_lines; i++) {
		const struct plan_product *product =
			&plan->products[res->lines[i].product];

		res->lines[i].found = product->found;
		res->lines[i].available = product->stock;
		res->lines[i].held = 0;
	}
	switch (reservation_decide(res, &one->line)) {
	case RESERVATION_NO_PRODUCT: one->end = RESERVE_NO_PRODUCT; break;
	case RESERVATION_SHORT: one->end = RESERVE_SHORT; break;
	case RESERVATION_FITS:
		one->end = RESERVE_OK;
		take(plan, res);
		break;
	}
}

static struct reservation_line *find_line(struct reservation *res, struct str product_id)
{
	for (unsigned i = 0; i < res->n_lines; i++) {
		if (str_eqz(product_id, res->lines[i].product_id))
			return &res->lines[i];
	}
	return NULL;
}

/* What those before it in this round hold under the same key. */
static void add_twins(struct plan *plan, size_t turn)
{
	struct reservation *mine = plan->turns[turn]->res;

	for (size_t i = 0; i < turn; i++) {
		const struct reservation *theirs = plan->turns[i]->res;

		if (plan->turns[i]->end != RESERVE_OK ||
		    strcmp(mine->key_hash, theirs->key_hash) != 0)
			continue;
		for (unsigned k = 0; k < theirs->n_lines; k++) {
			const struct reservation_line *held = &theirs->lines[k];
			struct reservation_line *line =
				find_line(mine, str_from(held->product_id));

			if (line)
				line->held += held->quantity;
		}
	}
}

void plan_decide(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct reserve *one = plan->turns[i];

		decide(plan, one);
		if (one->end == RESERVE_SHORT && *one->res->key_hash)
			add_twins(plan, i);
	}
}

void plan_held(struct plan *plan, struct str key_hash, struct str product_id,
	       int64_t quantity)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct reserve *one = plan->members[i];
		struct reservation_line *line;

		if (one->end != RESERVE_SHORT || !str_eqz(key_hash, one->res->key_hash))
			continue;
		line = find_line(one->res, product_id);
		if (line)
			line->held += quantity;
	}
}

void plan_judge(struct plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		struct reserve *one = plan->members[i];

		if (one->end == RESERVE_SHORT && reservation_twin_holds(one->res))
			one->end = RESERVE_IN_PROGRESS;
	}
}

/* ---- the same id again ---- */

static bool same_lines(const struct reservation *a, const struct reservation *b)
{
	if (a->n_lines != b->n_lines)
		return false;
	for (unsigned i = 0; i < a->n_lines; i++) {
		if (strcmp(a->lines[i].product_id, b->lines[i].product_id) != 0 ||
		    a->lines[i].quantity != b->lines[i].quantity)
			return false;
	}
	return true;
}

/* Something else under an id that stayed free: a request of its own. */
static void answer_again(struct reserve *again, const struct reserve *first)
{
	bool same = same_lines(again->res, first->res);
	bool twin = same && strcmp(again->res->key_hash, first->res->key_hash) == 0;

	if (first->end != RESERVE_OK && !twin)
		return;
	again->decided = true;
	again->end = same ? first->end : RESERVE_DIFFERS;
	again->replayed = again->end == RESERVE_OK;
	again->line = first->line;
	again->res->state = first->res->state;
	again->res->expires_at = first->res->expires_at;
	if (same)
		memcpy(again->res->lines, first->res->lines,
		       first->res->n_lines * sizeof(*first->res->lines));
}

void plan_settle(struct plan *plan)
{
	const struct reserve *first = NULL;
	size_t at = 0;

	for (size_t i = 0; i < plan->n_all; i++) {
		struct reserve *one = plan->all[i];

		if (at < plan->n && one == plan->members[at]) {
			one->decided = true;
			first = plan->members[at++];
		} else if (!one->decided && first && same_id(first, one)) {
			answer_again(one, first);
		}
	}
}
