/*
 * order.pml - placing an order: reserve at product-svc, record at order-svc,
 * confirm by event, janitor with commit-or-fence, cancellation.
 *
 * A d_step is one database transaction (or one read): the rows it writes have
 * unique keys, so of two transactions that meet in one the second waits.  Lost
 * answers, late and repeated requests, and deaths are choices: every one is
 * tried in every order.
 *
 *   attempt()  order-svc/place.c, undo.c       one POST /api/orders
 *   lane()     order-svc/order_record_repo.c   records a batch in one transaction
 *   reserve()  product-svc/reservation_repo.c  as often as the request arrives
 *   janitor()  product-svc/janitor.c
 *   confirm()  product-svc/confirm.c           each event once or more often
 *   cancel()   order-svc/order_read_repo.c
 *
 * Orders have one line and want one unit of the one product.
 */
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef TWINS
#define TWINS 2 /* the first so many attempts are one client's, under one key */
#endif
#ifndef STOCK
#define STOCK 1
#endif
#ifndef LANES
#define LANES 1
#endif
#ifndef JANITORS
#define JANITORS 1
#endif

#define KEY(i)     (i < TWINS -> 0 : i)
#define BIT(i)     (1 << (i))
#define IN(set, i) ((set & BIT(i)) != 0)
#define SAME_KEY(i) (i < TWINS -> BIT(TWINS) - 1 : BIT(i)) /* as a set */
#define REFUSAL    BIT(ATTEMPTS) /* in told[] */
#define OTHERS     BIT(ATTEMPTS) /* in had_stock */

mtype:claim = {
	EVERY, stock_never_negative, stock_adds_up, no_order_without_stock,
	committed_is_an_order, one_order_per_key, one_answer_per_key,
	acknowledged_exists, refusal_is_true, refused_for_a_reason
};
#include "claims.pml"

/* ---- the databases ---- */

mtype:state = { NO_ROW, PENDING, CONFIRMED, RELEASED, RETURNED };
mtype:outcome = { UNDECIDED, COMMITTED, ABORTED };
mtype:status = { NO_ORDER, PLACED, CANCELLED };
mtype:kept = { NO_ANSWER, ORDERED, REFUSED };

/* product-svc */
short stock = STOCK;
mtype:state res[ATTEMPTS] = NO_ROW; /* reservations */

/* order-svc; the event of an order is there from its commit on (outbox) */
mtype:outcome outcome[ATTEMPTS] = UNDECIDED; /* outcomes, by reservation */
mtype:status order[ATTEMPTS] = NO_ORDER;     /* orders: that of attempt i */
mtype:kept key[ATTEMPTS] = NO_ANSWER;        /* order_keys */
byte key_order[ATTEMPTS];                    /* order_keys.order_id */

/* ---- what only the claims look at ---- */

byte told[ATTEMPTS]; /* final answers under a key: BIT(order), REFUSAL */
byte had_stock;      /* who ever had some: BIT(key), OTHERS */
byte others_hold;    /* bought by others */

/* ---- product-svc: reserve, release, move ---- */

mtype:reserved = { NOT_HEARD, RESERVE_OK, RESERVE_SHORT, RESERVE_IN_PROGRESS, MOVED_ON };
byte asked;                                /* requests on their way, and repeated */
mtype:reserved heard[ATTEMPTS] = NOT_HEARD; /* the answer, if it is not lost */

/* A pending reservation of the same key has what is missing. */
inline find_held(i, held)
{
	held = false;
	for (k : 0 .. ATTEMPTS - 1) {
		held = held || (k != i && KEY(k) == KEY(i) && res[k] == PENDING)
	}
	k = 0
}

inline take_stock(i)
{
	stock--;
	had_stock = had_stock | BIT(KEY(i));
	res[i] = PENDING;
	claim(stock_never_negative, stock >= 0)
}

inline answer_reserve(i, what)
{
	if
	:: heard[i] == NOT_HEARD -> heard[i] = what
	:: else
	fi
}

/* The same id again gets the same answer; of a released one none that helps. */
#ifdef RESERVE_NOT_REPEATABLE
#define IS_NEW(i) (res[i] == NO_ROW || res[i] == PENDING)
#else
#define IS_NEW(i) (res[i] == NO_ROW)
#endif

inline round_tx(i)
{
	if
	:: IS_NEW(i) && stock > 0 -> take_stock(i); answer_reserve(i, RESERVE_OK)
	:: IS_NEW(i) && stock <= 0 ->
		find_held(i, held);
#ifdef IGNORES_TWIN
		held = false;
#endif
		if
		:: held -> answer_reserve(i, RESERVE_IN_PROGRESS)
		:: else -> answer_reserve(i, RESERVE_SHORT)
		fi;
		held = false
	:: !IS_NEW(i) && res[i] == PENDING -> answer_reserve(i, RESERVE_OK)
	:: else
	fi
}

proctype reserve(byte i)
{
	bool held;
	byte k;

end_idle:
	do
	:: IN(asked, i) && (IS_NEW(i) || heard[i] == NOT_HEARD) ->
#ifdef PLAIN_STOCK
		held = (stock > 0);
		if
		:: held -> d_step { held = false; take_stock(i); answer_reserve(i, RESERVE_OK) }
		:: else
		fi
#else
		/* FAILPOINT product_before_commit: nothing is stored nor answered, which is
		 * this step not taken: who asked may stop waiting at any time */
		d_step { round_tx(i) }
#endif
		/* FAILPOINT product_reserved: stored, but not answered */
	od
}

inline give_back(i, state)
{
	stock++;
	res[i] = state;
	claim(stock_adds_up, stock <= STOCK)
}

/* An id that was never seen leaves a tombstone for a late reserve. */
inline release_tx(i)
{
	d_step {
		if
		:: res[i] == PENDING -> give_back(i, RELEASED)
		:: res[i] == NO_ROW -> res[i] = RELEASED
		:: else
		fi
	}
}

/* ---- order-svc: the keys ---- */

inline answer_order(me, o)
{
	d_step {
		told[KEY(me)] = told[KEY(me)] | BIT(o);
		claim(one_answer_per_key, (told[KEY(me)] & (told[KEY(me)] - 1)) == 0)
	}
}

inline answer_refusal(i)
{
	d_step {
		told[KEY(i)] = told[KEY(i)] | REFUSAL;
		claim(one_answer_per_key, (told[KEY(i)] & (told[KEY(i)] - 1)) == 0);
		claim(refused_for_a_reason, (had_stock & ~BIT(KEY(i))) != 0)
	}
}

/* ---- order-svc: record a batch ---- */

mtype:end = {
	NO_END, ORDER_RECORDED, ORDER_KEY_TAKEN, ORDER_FENCED, ORDER_UNKNOWN, FAILED, DIED
};
byte waiting;                         /* the queue of the stage "record" */
byte locked;                          /* orders of a transaction before its end */
mtype:end record_end[ATTEMPTS] = NO_END;

/* Of twins the first; the others learn what became of it. */
inline choose()
{
	d_step {
		now = 0;
		for (i : 0 .. ATTEMPTS - 1) {
			if
			:: IN(open, i) && (now & SAME_KEY(i)) == 0 ->
				now = now | BIT(i)
			:: else
			fi
		}
		i = 0
	}
}

inline end_all(members, end)
{
	for (i : 0 .. ATTEMPTS - 1) {
		if
		:: IN(members, i) -> record_end[i] = end
		:: else
		fi
	}
	i = 0
}

inline insert_outcomes()
{
	for (i : 0 .. ATTEMPTS - 1) {
		if
#ifndef NO_FENCE
		:: IN(now, i) && outcome[i] != UNDECIDED -> collision = ORDER_FENCED
#endif
		:: else
		fi
	}
	i = 0
}

inline insert_keys()
{
	for (i : 0 .. ATTEMPTS - 1) {
		if
#ifdef KEY_BEFORE
		:: false
#else
		:: IN(now, i) && collision == NO_END && key[KEY(i)] != NO_ANSWER ->
			collision = ORDER_KEY_TAKEN
#endif
		:: else
		fi
	}
	i = 0
}

inline commit_outcomes()
{
	for (i : 0 .. ATTEMPTS - 1) {
		if
		:: IN(now, i) -> outcome[i] = COMMITTED
		:: else
		fi
	}
	i = 0
}

inline commit_orders()
{
	for (i : 0 .. ATTEMPTS - 1) {
		if
		:: IN(now, i) ->
			order[i] = PLACED;
			key[KEY(i)] = ORDERED;
			key_order[KEY(i)] = i
		:: else
		fi
	}
	i = 0
}

/* The statements before COMMIT: each waits for rows that others have locked. */
inline run_statements()
{
#ifdef SPLIT_RECORD
	d_step {
		insert_outcomes();
		if
		:: collision == NO_END -> commit_outcomes()
		:: else
		fi
	};
#endif
	d_step {
		locked == 0 ->
#ifndef SPLIT_RECORD
		insert_outcomes();
#endif
		insert_keys();
#ifdef INSERT_IGNORE
		collision = NO_END;
#endif
		if
		:: collision == NO_END -> locked = now
		:: else
		fi
	}
}

inline commit_all()
{
	d_step { commit_outcomes(); commit_orders(); locked = 0 }
}

/* A duplicate does not say whose it is: read. */
inline take_out_collided()
{
	d_step {
		for (i : 0 .. ATTEMPTS - 1) {
			if
			:: IN(open, i) && ((collision == ORDER_FENCED && outcome[i] != UNDECIDED) ||
					   (collision == ORDER_KEY_TAKEN && key[KEY(i)] != NO_ANSWER)) ->
				record_end[i] = collision;
				open = open & ~BIT(i)
			:: else
			fi
		}
		i = 0;
		collision = NO_END
	}
}

/* The twins of what was recorded, or may have been, are no longer first. */
inline decide(end)
{
	d_step {
#ifdef TWIN_IS_TOLD_TOO
		end_all(open, ORDER_RECORDED);
#else
		end_all(open, ORDER_KEY_TAKEN);
#endif
		end_all(now, end);
		open = 0
	}
}

/* The whole of order-svc dies with its lane. */
inline die()
{
	d_step { end_all(open, DIED); open = 0 }
}

/* The connection is lost while COMMIT is under way.  The server has yet to see it
 * or the loss; until then the rows are locked. */
inline commit_lost()
{
	if
	:: decide(ORDER_UNKNOWN)
	:: die()
	fi;
	if
	:: commit_all()
	:: locked = 0
	fi
}

inline commit()
{
	FAILPOINT(order_before_commit)
	:: d_step { locked = 0; end_all(open, FAILED); open = 0 }
	:: d_step { locked = 0; end_all(open, DIED); open = 0 }
	END_FAILPOINT;
	if
	:: open == 0
	:: open != 0 -> commit_lost()
	:: open != 0 ->
		commit_all();
		FAILPOINT(order_committed)
		:: decide(ORDER_UNKNOWN)
		:: die()
		END_FAILPOINT;
		if
		:: open != 0 -> decide(ORDER_RECORDED)
		:: else
		fi
	fi
}

inline record_round()
{
	choose();
	run_statements();
	if
	:: collision != NO_END -> take_out_collided()
	:: else -> commit()
	fi;
	now = 0
}

proctype lane()
{
	byte open, now, i;
	mtype:end collision = NO_END;

end_idle:
	do
	/* What came while the last batch was committed. */
	:: atomic { waiting != 0 -> open = waiting; waiting = 0 };
		do
		:: open != 0 -> record_round()
		:: else -> break
		od
	od
}

/* ---- order-svc: one attempt ---- */

inline settle(i)
{
	d_step {
#ifndef SETTLE_DOES_NOT_WAIT
		!IN(locked, i) ->
#endif
		if
		:: outcome[i] == UNDECIDED -> outcome[i] = ABORTED
		:: else
		fi
	}
}

proctype attempt(byte i)
{
	bool twin_won;

	/* look up the key */
	if
	:: key[KEY(i)] != NO_ANSWER -> goto replay
	:: else
	fi;

	/* reserve; no answer within the time: nobody knows */
	asked = asked | BIT(i);
	if
	:: heard[i] == RESERVE_OK -> heard[i] = MOVED_ON
	:: heard[i] == RESERVE_SHORT -> heard[i] = MOVED_ON; goto refuse
	:: heard[i] == RESERVE_IN_PROGRESS -> heard[i] = MOVED_ON; goto dead
	:: heard[i] = MOVED_ON; goto undo
	:: d_step { heard[i] = MOVED_ON; asked = asked & ~BIT(i) }; goto undo /* nor will it ever arrive */
	fi;
	FAILPOINT(order_reserved)
	:: goto undo
	:: KILLED
	END_FAILPOINT;

	/* record */
#ifdef REPLY_BEFORE_COMMIT
	answer_order(i, i);
#endif
	waiting = waiting | BIT(i);
	if
	:: record_end[i] == ORDER_RECORDED
	:: record_end[i] == ORDER_KEY_TAKEN -> twin_won = true; goto undo
	:: record_end[i] == ORDER_FENCED || record_end[i] == FAILED -> goto undo
#ifdef UNKNOWN_IS_FAILED
	:: record_end[i] == ORDER_UNKNOWN -> goto release
#else
	:: record_end[i] == ORDER_UNKNOWN -> goto undo
#endif
	:: record_end[i] == DIED -> KILLED
	fi;
	FAILPOINT(order_before_reply)
	:: goto undo
	:: KILLED
	END_FAILPOINT;
	answer_order(i, i);
	goto dead;

refuse: /* short of stock: final for the key before anybody hears of it */
#ifndef REFUSAL_NOT_STORED
	if
	:: d_step { (locked & SAME_KEY(i)) == 0 && key[KEY(i)] == NO_ANSWER -> key[KEY(i)] = REFUSED }
	:: key[KEY(i)] != NO_ANSWER -> goto replay
	fi;
#endif
	if
	:: answer_refusal(i)
	:: KILLED
	fi;
	goto dead;

undo: /* fence it, give the stock back, answer; or it is committed after all */
	settle(i);
	if
	:: outcome[i] == COMMITTED -> answer_order(i, i); goto dead
	:: else
	fi;
release:
	if
	:: release_tx(i)
	:: KILLED
	fi;
	if
	:: !twin_won -> goto dead
	:: else
	fi;

replay: /* the stored answer, or "in progress" */
	if
	:: key[KEY(i)] == ORDERED -> answer_order(i, key_order[KEY(i)])
	:: key[KEY(i)] == REFUSED -> answer_refusal(i)
	:: key[KEY(i)] == NO_ANSWER
	fi;
dead:
	skip
}

proctype cancel(byte i)
{
	if
	:: d_step { order[i] == PLACED -> order[i] = CANCELLED }
	:: true
	fi
}

/* ---- product-svc: what happens to a reservation later ---- */

/* Each event again and again: a batch whose offsets were not committed
 * (FAILPOINT product_confirm) is repeated. */
proctype confirm(byte i)
{
end_idle:
	do
	:: d_step { order[i] != NO_ORDER && res[i] == PENDING -> res[i] = CONFIRMED }
#ifdef RETURN_TWICE
	:: d_step { order[i] == CANCELLED -> give_back(i, RETURNED) }
#else
	:: d_step {
		order[i] == CANCELLED && (res[i] == PENDING || res[i] == CONFIRMED) ->
			give_back(i, RETURNED)
	   }
#endif
	od
}

inline move(i)
{
	d_step {
		if
#ifdef RELEASE_TWICE
		:: said == ABORTED -> give_back(i, RELEASED)
#else
		:: said == ABORTED && res[i] == PENDING -> give_back(i, RELEASED)
#endif
		:: said == COMMITTED && res[i] == PENDING -> res[i] = CONFIRMED
		:: else
		fi;
		said = UNDECIDED
	}
}

/* A round may come at any time, for the reservation may expire at any time. */
proctype janitor(byte i)
{
	mtype:outcome said = UNDECIDED;

end_idle:
	do
	:: res[i] == PENDING ->
		/* FAILPOINT product_janitor: this round does nothing */
#ifdef JANITOR_NO_FENCE
		said = ABORTED;
#else
		settle(i);
		said = outcome[i];
#endif
		FAILPOINT(product_janitor_fenced)
		:: said = UNDECIDED
		END_FAILPOINT;
		move(i)
	od
}

/* Somebody else, who buys or changes their mind. */
proctype buyer()
{
	if
	:: d_step {
		stock > 0 -> stock--; others_hold++; had_stock = had_stock | OTHERS
	   };
		if
		:: d_step { stock++; others_hold-- }
		:: true
		fi
	:: true
	fi
}

/* ---- at rest ---- */

#define FIRST_TWO (order[0] != NO_ORDER && order[1] != NO_ORDER)

init {
	byte i, sold;

	atomic {
		for (i : 0 .. ATTEMPTS - 1) {
			run attempt(i);
			run reserve(i);
			run confirm(i)
		}
		for (i : 0 .. ATTEMPTS * JANITORS - 1) {
			run janitor(i % ATTEMPTS)
		}
		for (i : 1 .. LANES) {
			run lane()
		}
		run cancel(0);
		run buyer()
	}
	timeout;
	d_step {
		for (i : 0 .. ATTEMPTS - 1) {
			sold = sold + (order[i] == PLACED -> 1 : 0);
			claim(no_order_without_stock, order[i] == NO_ORDER || res[i] == CONFIRMED || res[i] == RETURNED);
			claim(committed_is_an_order, (outcome[i] == COMMITTED) == (order[i] != NO_ORDER));
			claim(acknowledged_exists, !IN(told[KEY(i)], i) || order[i] != NO_ORDER);
			claim(refusal_is_true, !(told[KEY(i)] & REFUSAL) || order[i] == NO_ORDER)
		}
		claim(stock_adds_up, stock + sold + others_hold == STOCK);
		claim(one_order_per_key, TWINS < 2 || !FIRST_TWO)
	}
}
