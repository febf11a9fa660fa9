/*
 * placement.h - orders on their way through product-svc and order-svc, one step
 * at a time and in any order: requests that come late or twice, answers that are
 * lost, attempts that die, events that are delivered again, a janitor.
 *
 * The real rules are reached through struct placement_rules.  Each answer, each
 * stock and each state is compared with a model that takes one thing at a time;
 * and after every step, whatever the model says:
 *
 *   stock that came = stock + what pending and confirmed reservations hold,
 *   no stock below zero, no order without its stock, one order under a key, one
 *   answer under a key, and in the end nothing is held but for orders.
 */
#ifndef TESTS_UNIT_PLACEMENT_H
#define TESTS_UNIT_PLACEMENT_H

#include "product-svc/reservation_move.h"
#include "product-svc/reservation_plan.h"
#include "random_model.h"

#define PRODUCTS        4 /* the last does not exist */
#define WISH_LINES      2
#define ATTEMPTS_MAX    100
#define MESSAGES_MAX    16 /* in a batch */
#define PLACEMENT_USERS 2
#define PLACEMENT_KEYS  4 /* key 0: none */

/* PLACE: an attempt begins and looks up its key. SEND: its request to reserve is
 * on its way, which may be said again. BATCH: product-svc takes `n` requests from
 * place `at` of those under way. GIVE_UP: no answer came in time. */
enum {
	PLACE,
	SEND,
	BATCH,
	GIVE_UP,
	RECORD,
	REFUSE,
	SETTLE,
	RELEASE,
	DIE,
	CANCEL,
	EVENTS,
	EXPIRE,
	FIND,
	ASK,
	MOVE,
	RESTOCK
};

/* What a client wants; the number of the attempt names its reservation. */
struct wish {
	unsigned user, key, n_lines;
	unsigned product[WISH_LINES]; /* ascending */
	int64_t quantity[WISH_LINES];
};

/* A request to reserve. Right ones have no `extra` in their first line. */
struct message {
	unsigned attempt;
	int64_t extra;
};

struct reserved {
	enum reserve_end end;
	bool replayed;
	int64_t available; /* RESERVE_SHORT: of the first line that is short */
};

/* What became of an attempt's order. */
struct news {
	unsigned attempt;
	enum move_kind kind;
	int64_t order_id; /* 0: not known */
};

struct told {
	unsigned changed[MOVE_RELEASE + 1], unknown, lost;
};

struct row {
	bool stored;
	enum reservation_state state;
};

/* order-svc's ends, as far as they matter here. */
enum recorded { RECORDED, RECORD_FENCED, RECORD_TOO_LATE, RECORD_KEY_TAKEN };

/* The answer that is stored under a key. */
struct kept {
	bool found, refused;
	unsigned attempt; /* whose it is */
};

struct order_rules {
	struct kept (*lookup)(unsigned user, unsigned key);
	void (*record)(const unsigned *attempts, const bool *late, size_t n,
		       enum recorded *ends);
	bool (*refuse)(unsigned attempt); /* false: another was first */
	bool (*settle)(unsigned attempt); /* committed? else it is fenced */
	bool (*cancel)(unsigned attempt); /* false: it was before */
	/* Event number `i` since begin(); false: there is none. */
	bool (*event)(size_t i, struct news *news);
};

struct placement_rules {
	/* A shop with this stock; `wishes` get filled later on. */
	void (*begin)(const struct wish *wishes, const int64_t *stock);
	void (*restock)(unsigned product, int64_t n);
	void (*reserve)(const struct message *messages, size_t n,
			struct reserved *answers);
	enum reservation_state (*release)(unsigned attempt);
	void (*move)(const struct news *news, size_t n, struct told *told);
	void (*expire)(unsigned attempt);
	size_t (*overdue)(unsigned *attempts);
	void (*look)(int64_t *stock, struct row *rows, size_t n_attempts);
	const struct order_rules *orders; /* NULL: the model's own will do */
};

extern const struct step_kind placement_kinds[];
void placement_make(struct rng *rng, struct step *steps, size_t n);
bool placement_run(const struct placement_rules *rules, const struct step *steps,
		   size_t n, char *why);

#endif
