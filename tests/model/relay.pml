/*
 * relay.pml - from a committed order to orders-events: outbox, relays whose
 * shard changes hands, repeats.  One shard, two users.
 *
 *   order_tx() order-svc/order_record_repo.c, order_read_repo.c  number, row, COMMIT
 *   relay()    order-svc/relay_publisher.c, relay_repo.c         read, publish, delete
 *   send()     common/events_producer.c                          gapless, with a deadline
 *   network()  what a producer that was given up still had under way
 *   server()   MariaDB ends a connection, and with it a lock
 *
 * What is promised to the readers of orders-events, and what processor.pml
 * starts from: every event at least once, a user's events first in the order of
 * seq, and afterwards any of them again.
 */
#ifndef ROWS
#define ROWS 3 /* transactions; all but the last one are of user 0 */
#endif
#ifndef RELAYS
#define RELAYS 2
#endif
#ifndef FAULTS
#define FAULTS 2 /* deaths, lost connections, time-outs */
#endif
#ifndef MOVES
#define MOVES 1 /* times that the shard is given up to even out the shares */
#endif
#ifndef BATCH
#define BATCH 2
#endif

#define BIT(i)     (1 << (i))
#define IN(set, i) ((set & BIT(i)) != 0)
#define NOBODY     RELAYS
#define NONE       255

mtype:claim = {
	EVERY, nothing_lost, in_order, no_event_without_order,
	deleted_only_what_arrived, repeats_only_after_faults
};
#include "claims.pml"

/* ---- MariaDB ---- */

mtype:row = { NO_ROW, UNCOMMITTED, COMMITTED, GONE };
mtype:row row[ROWS] = NO_ROW; /* outbox, by id */
byte user[ROWS];
byte seq[ROWS];
byte next_id;         /* AUTO_INCREMENT: given out before the COMMIT */
byte user_seq[2];
bool seq_locked[2];
byte aside[2] = NONE; /* outbox_set_aside: a user's rows wait from this id on */
byte leader = NOBODY; /* GET_LOCK of the shard */
byte connected;       /* relays whose connection, and so the lock, is alive */

/* ---- Kafka ---- */

byte too_large = NONE;    /* the id of a row that is too large, if any */
byte arrived[2];      /* the last seq of a user in orders-events, first times only */
chan under_way[RELAYS] = [BATCH * FAULTS] of { byte };

byte faults = FAULTS;
byte moves = MOVES;

/* In a d_step. */
#define FAULT faults > 0 -> faults--

inline fault()
{
	d_step { FAULT }
}

inline append(id)
{
	claim(no_event_without_order, row[id] != UNCOMMITTED);
	claim(in_order, seq[id] <= arrived[user[id]] + 1);
	claim(repeats_only_after_faults, faults < FAULTS || seq[id] > arrived[user[id]]);
	if
	:: seq[id] > arrived[user[id]] -> arrived[user[id]] = seq[id]
	:: else
	fi
}

/* ---- order-svc: any transaction that writes an event ---- */

inline take_number(u)
{
	d_step { !seq_locked[u] -> seq_locked[u] = true }
}

inline insert_event(u)
{
	d_step {
		id = next_id;
		next_id++;
		user[id] = u;
		row[id] = UNCOMMITTED
	}
}

proctype order_tx(byte u)
{
	byte id;

#ifdef ROW_BEFORE_NUMBER
	insert_event(u);
	take_number(u);
#else
	/* Its row stays locked: one of a user at a time. */
	atomic { take_number(u); insert_event(u) };
#endif
	if
	:: d_step {
		seq[id] = user_seq[u] + 1;
		user_seq[u] = seq[id];
		row[id] = COMMITTED;
		seq_locked[u] = false;
		id = 0
	   }
	:: d_step { row[id] = GONE; seq_locked[u] = false; id = 0 }
	fi
}

/* ---- the relay ---- */

#ifdef READS_UNCOMMITTED
#define IS_THERE(i) (row[i] == COMMITTED || row[i] == UNCOMMITTED)
#else
#define IS_THERE(i) (row[i] == COMMITTED)
#endif
#ifdef OVERTAKES_SET_ASIDE
#define WAITS(i) (aside[user[i]] == i)
#else
#define WAITS(i) (aside[user[i]] <= i)
#endif

/* From the lowest id that is left, never from a remembered one. */
#ifdef REMEMBERS_ID
#define READABLE(i) (IS_THERE(i) && !WAITS(i) && i >= from)
#else
#define READABLE(i) (IS_THERE(i) && !WAITS(i))
#endif

inline relay_repo_read()
{
	d_step {
		batch = 0;
		n = 0;
		for (i : 0 .. ROWS - 1) {
			if
			:: READABLE(i) && n < BATCH ->
				batch = batch | BIT(i);
				n++
			:: else
			fi
		}
		i = 0;
		n = 0
	}
}

#define SOMETHING_TO_READ (READABLE(0) || READABLE(1) || (ROWS > 2 && READABLE(ROWS - 2)) || READABLE(ROWS - 1))

/* An undeliverable row of the same user before this one: it would be overtaken. */
#ifdef SENDS_PAST_TOO_LARGE
#define IS_BLOCKED(i) false
#else
#define IS_BLOCKED(i) (too_large < i && IN(batch, too_large) && user[too_large] == user[i])
#endif

/* The deadline has passed. What was under way may arrive later, in order; of this
 * producer nothing more is heard. */
inline time_out()
{
	for (i : i .. ROWS - 1) {
		if
		:: IN(batch, i) && i != too_large && !IS_BLOCKED(i) -> under_way[r]!i
		:: else
		fi
	}
	i = ROWS
}

/* All of it is under way when the process ends, or waits no longer. */
inline no_report()
{
	d_step {
		i = 0;
		time_out();
		i = 0
	}
}

/* Fills `delivered` by the reports. */
inline send()
{
	i = 0;
	do
	:: i >= ROWS -> break
	:: i < ROWS && (!IN(batch, i) || i == too_large || IS_BLOCKED(i)) -> i++
	:: i < ROWS && IN(batch, i) && i != too_large && !IS_BLOCKED(i) ->
		if
		:: d_step { append(i); delivered = delivered | BIT(i); i++ }
		:: d_step { FAULT -> time_out() }             /* on its way, or lost */
		:: d_step { FAULT -> append(i); i++; time_out() } /* the report is lost */
#ifdef NOT_GAPLESS
		:: d_step { FAULT -> i++ }
#endif
		fi
	od;
	i = 0
}

/* Rows that arrived, unless an earlier row of the same user did not. */
inline collect_delivered()
{
	d_step {
		for (i : 0 .. ROWS - 1) {
			if
			:: IN(batch, i) && !IN(delivered, i) ->
				for (n : i .. ROWS - 1) {
					if
					:: user[n] == user[i] -> delivered = delivered & ~BIT(n)
					:: else
					fi
				}
			:: else
			fi
		}
		i = 0;
		n = 0
	}
}

inline set_aside()
{
	d_step {
		if
		:: too_large < ROWS && IN(batch, too_large) && aside[user[too_large]] == NONE ->
			aside[user[too_large]] = too_large
		:: else
		fi
	}
}

inline delete_row(id)
{
	claim(deleted_only_what_arrived, row[id] == GONE || (row[id] == COMMITTED && seq[id] <= arrived[user[id]]));
	row[id] = GONE
}

#ifdef DELETES_UP_TO
#define IS_DELETED(i) ((delivered >> i) != 0 && row[i] == COMMITTED)
#else
#define IS_DELETED(i) IN(delivered, i)
#endif

/* Exactly the ids that were read. */
inline relay_repo_delete()
{
	d_step {
		for (i : 0 .. ROWS - 1) {
			if
			:: IS_DELETED(i) ->
#ifdef REMEMBERS_ID
				from = i + 1;
#endif
				delete_row(i)
			:: else
			fi
		}
		i = 0
	}
}

inline forget()
{
	d_step { batch = 0; delivered = 0 }
}

/* What a process knew is gone, and its connection with it. */
inline start_again()
{
	d_step {
		if
		:: leader == r -> leader = NOBODY
		:: else
		fi;
		connected = connected | BIT(r);
		batch = 0;
		delivered = 0;
		i = 0;
		n = 0
	}
}

/* A zombie notices only where it asks the database: between reading and deleting
 * it may sleep while another one leads. */
proctype relay(byte r)
{
	byte batch, delivered, i, n;
#ifdef REMEMBERS_ID
	byte from;
#endif

open:
	start_again();
end_no_leader:
	atomic {
#ifdef TWO_LEADERS
		SOMETHING_TO_READ
#else
		leader == NOBODY -> leader = r
#endif
	};
turn:
end_idle:
	atomic {
		if
		:: leader == r && moves > 0 -> moves--; leader = NOBODY; goto end_no_leader
		:: !IN(connected, r) -> goto open
		:: IN(connected, r) && SOMETHING_TO_READ -> relay_repo_read()
		fi;
#ifdef GIVES_MID_BATCH
		if
		:: leader == r && moves > 0 -> moves--; leader = NOBODY
		:: true
		fi;
#endif
#ifdef DELETES_FIRST
		delivered = batch;
		relay_repo_delete();
		delivered = 0;
#endif
		FAILPOINT(relay_before_produce)
		:: fault() -> forget(); goto turn
		:: fault() -> goto open
		END_FAILPOINT
	};
	atomic {
		FAILPOINT(relay_produced)
		:: fault() -> no_report(); forget(); goto turn
		:: fault() -> no_report(); goto open
		END_FAILPOINT
	};
	send();
	atomic {
		FAILPOINT(relay_delivered)
		:: fault() -> forget(); goto turn
		:: fault() -> goto open
		END_FAILPOINT;
		if
		:: !IN(connected, r) -> goto open
		:: else -> set_aside()
		fi;
		collect_delivered();
		FAILPOINT(relay_before_delete)
		:: fault() -> forget(); goto turn
		:: fault() -> goto open
		END_FAILPOINT
	};
	atomic {
		if
		:: IN(connected, r) -> relay_repo_delete(); forget()
		:: else -> goto open
		fi;
		FAILPOINT(relay_deleted)
		:: fault() -> goto open
		END_FAILPOINT;
#ifdef GIVES_MID_BATCH
		if
		:: leader != r -> goto end_no_leader
		:: else
		fi;
#endif
		goto turn
	}
}

/* The oldest first, or nothing any more. */
proctype network(byte r)
{
	byte id;

end_idle:
	do
	:: under_way[r]?[id] ->
		if
		:: d_step { under_way[r]?id; append(id); id = 0 }
		:: d_step { do :: under_way[r]?id :: empty(under_way[r]) -> break od; id = 0 }
		fi
	od
}

proctype server()
{
end_idle:
	do
	:: d_step { leader != NOBODY && FAULT -> connected = connected & ~BIT(leader); leader = NOBODY }
	od
}

/* ---- at rest ---- */

init {
	byte i;

	atomic {
		if
		:: too_large = 0
		:: too_large = 1
		:: true
		fi;
		for (i : 0 .. RELAYS - 1) {
			run relay(i);
			run network(i)
		}
		for (i : 0 .. ROWS - 1) {
			run order_tx((i == ROWS - 1 -> 1 : 0))
		}
		run server()
	}
	timeout;
	d_step {
		for (i : 0 .. 1) {
			claim(nothing_lost, arrived[i] == user_seq[i] || aside[i] != NONE)
		}
	}
}
