/*
 * processor.pml - from orders-events to analytics-results and to what is shown:
 * transactions, rebalances, zombies, restores; one partition, two users.
 *
 *   processor()   processor/commit.c, restore.c, rebalance.c  one numbered slot each
 *   group()       Kafka's group coordinator
 *   transactions() Kafka's transaction coordinator: ends what takes too long
 *   feed()        analytics-svc/feed.c                        reads along, restarts
 *
 * orders-events is any sequence that relay.pml allows: each event first in the
 * order of its user, then any of them again.  A transaction writes one record
 * here: all keys that it touched, their absolute values, versions, the next
 * offset.  Windows are sums like those of the users, and not here.
 */
#ifndef LENGTH
#define LENGTH 4 /* of orders-events; the repeats are what is over EVENTS */
#endif
#define EVENTS 3 /* 0, 1 of user 0; 2 of user 1 */
#define USERS  2
#ifndef PROCESSORS
#define PROCESSORS 2
#endif
#ifndef FAULTS
#define FAULTS 1 /* aborts, deaths, sleepers, time-outs */
#endif
#ifndef MOVES
#define MOVES 1 /* orderly rebalances */
#endif
#ifndef FEED
#define FEED 0 /* 1: somebody reads along */
#endif
#define RECORDS (LENGTH + FAULTS) /* at most 8 */
#define NOBODY  PROCESSORS
#define NONE    255

#define USER(event) (event == EVENTS - 1 -> 1 : 0)
#define BIT(i)      (1 << (i))
#define IN(set, i)  ((set & BIT(i)) != 0)

mtype:claim = {
	EVERY, counted_once, shown_is_counted, versions_rise, offset_is_of_state,
	state_is_not_missing, shown_never_goes_back
};
#include "claims.pml"

/* ---- Kafka ---- */

byte event[LENGTH];      /* orders-events */
byte committed = NONE;   /* the group's offset */

/* analytics-results; a record's place is also its transaction's number. */
typedef result {
	bool done;       /* committed */
	byte by;
	byte v[USERS];   /* version of u:<user>; 0: not touched */
	byte sum[USERS]; /* how often each event was counted, two bits each */
	byte next        /* of p:<partition>: the offset to go on at */
};
result log[RECORDS];
byte end;         /* of the log */
byte open;        /* transactions, as a set: neither committed nor aborted */
byte offset_sent; /* those of them that have the group's offset pending */

/* ---- the group ---- */

byte owner = 0;
byte generation = 1;
bool revoking; /* the owner has been asked to give the partition up */

byte faults = FAULTS;
byte moves = MOVES;

inline fault()
{
	d_step { faults > 0 -> faults-- }
}

#define COUNTED(sum, e) ((sum >> (2 * (e))) & 3)
#ifdef FEED_READS_UNCOMMITTED
#define UNCOMMITTED true
#else
#define UNCOMMITTED false
#endif

inline end_transaction(t)
{
	open = open & ~BIT(t);
	offset_sent = offset_sent & ~BIT(t)
}

/* ---- a processor ---- */

inline forget_undo()
{
	undo_next = 0;
	undo_sum[0] = 0; undo_sum[1] = 0;
	touched = 0;
	mine = NONE
}

inline forget()
{
	v[0] = 0; v[1] = 0;
	sum[0] = 0; sum[1] = 0;
	next = 0;
	forget_undo()
}

/* Who was asked to give up and comes back without anything has given up. */
inline leave()
{
	if
	:: owner == p && revoking ->
		owner = (owner + 1) % PROCESSORS;
		generation++;
		revoking = false
	:: else
	fi;
	my_generation = 0
}

/* A new process of this slot: Kafka aborts what the last one left open. */
inline init_transactions()
{
	d_step {
		for (i : 0 .. RECORDS - 1) {
			if
			:: IN(open, i) && log[i].by == p -> end_transaction(i)
			:: else
			fi
		}
		i = 0;
		leave();
		forget()
	}
}

/* "Require stable": not while a transaction with an offset is undecided. */
#ifdef RESTORE_WAITS_FOR_NOBODY
#define OFFSETS_NOT_STABLE
#define ENDS_WHERE_DECIDED
#endif

#ifdef OFFSETS_NOT_STABLE
#define STABLE true
#else
#define STABLE (offset_sent == 0)
#endif

inline get_committed()
{
	d_step { STABLE -> offset = committed }
}

/* Without regard to transactions; or else only to where all is decided. */
inline get_ends()
{
	d_step {
		goal = end;
#ifdef ENDS_WHERE_DECIDED
		for (i : 0 .. RECORDS - 1) {
			if
			:: IN(open, i) && i < goal -> goal = i
			:: else
			fi
		}
		i = 0
#endif
	}
}

#ifdef RESTORES_UNCOMMITTED
#define ALL_DECIDED true
#define RESTORES(i) true
#else
#define ALL_DECIDED ((open & (BIT(goal) - 1)) == 0)
#define RESTORES(i) log[i].done
#endif

/* Read committed up to the end: waits there for what is undecided. */
inline read_results()
{
	d_step {
		ALL_DECIDED ->
		for (i : 0 .. RECORDS - 1) {
			if
			:: i < goal && RESTORES(i) ->
				for (u : 0 .. USERS - 1) {
					if
					:: log[i].v[u] != 0 -> v[u] = log[i].v[u]; sum[u] = log[i].sum[u]
					:: else
					fi
				}
				next = log[i].next;
				any = true
			:: else
			fi
		}
		i = 0;
		u = 0
	}
}

/* Where to go on: at the offset that the state names. */
inline settle()
{
	d_step {
		claim(state_is_not_missing, any || offset == NONE || offset == 0);
		claim(offset_is_of_state, !any || offset == next || my_generation != generation);
		if
		:: !any && offset != NONE -> next = offset
		:: else
		fi;
		any = false;
		offset = 0;
		goal = 0
	}
}

/* One event, counted once. */
inline consume()
{
	d_step {
		e = event[next];
		u = USER(e);
		if
#ifdef NO_DEDUP
		:: true ->
#else
		:: COUNTED(sum[u], e) == 0 ->
#endif
			sum[u] = sum[u] + (1 << (2 * e));
			v[u] = v[u] + (IN(touched, u) -> 0 : 1);
			touched = touched | BIT(u)
		:: else
		fi;
		next++;
		e = 0;
		u = 0
	}
}

/* Some of what there is. */
inline txn_begin()
{
	d_step {
		undo_next = next;
		undo_sum[0] = sum[0];
		undo_sum[1] = sum[1]
	};
	do
	:: next < LENGTH -> consume()
	:: next > undo_next -> break
	od
}

inline write_results()
{
	d_step {
		mine = end;
		end++;
		open = open | BIT(mine);
		log[mine].by = p;
		for (u : 0 .. USERS - 1) {
			if
			:: IN(touched, u) -> log[mine].v[u] = v[u]; log[mine].sum[u] = sum[u]
			:: else
			fi
		}
		u = 0;
		log[mine].next = next
	}
}

/* The generation goes with the offsets: it keeps a sleeper out. */
#ifdef NO_GROUP_METADATA
#define IS_MEMBER true
#else
#define IS_MEMBER (my_generation == generation)
#endif

inline commit_transaction()
{
	d_step {
		log[mine].done = true;
		committed = (IN(offset_sent, mine) -> next : committed);
		end_transaction(mine);
		forget_undo()
	}
}

/* Back to the last commit, in memory and in the consumer. */
inline txn_abort()
{
	d_step {
		if
		:: mine != NONE -> end_transaction(mine)
		:: else
		fi;
#ifndef NO_ROLL_BACK
		for (u : 0 .. USERS - 1) {
			v[u] = v[u] - (IN(touched, u) -> 1 : 0);
			sum[u] = undo_sum[u]
		}
		u = 0;
#endif
#ifndef NO_REWIND
		next = undo_next;
#endif
		forget_undo()
	}
}

/* Between any two steps it may sleep, and others go on.  What is taken away while
 * a transaction is only in memory is as if it had not been begun. */
proctype processor(byte p)
{
	byte my_generation, next, goal, offset, mine = NONE, touched, i, u, e;
	byte v[USERS], sum[USERS];       /* the state, */
	byte undo_next, undo_sum[USERS]; /* and as it was when the transaction began */
	bool any;

start:
	true;
	init_transactions();
end_no_partition:
	if
	:: d_step { owner == p && !revoking -> my_generation = generation }
	:: d_step { owner == p && revoking -> leave() }; goto end_no_partition
	fi;

	/* restore */
	get_committed();
	atomic {
		get_ends();
		FAILPOINT(processor_restoring)
		:: fault() -> goto start
		END_FAILPOINT
	};
	atomic { read_results(); settle() };

turn:
end_idle:
	atomic {
		if
		:: my_generation != generation || (owner == p && revoking) -> goto revoked
		:: next < LENGTH && my_generation == generation -> txn_begin()
		fi;
		FAILPOINT(processor_before_produce)
		:: fault() -> goto abort
		:: fault() -> goto start
		END_FAILPOINT
	};
	atomic {
		write_results();
		FAILPOINT(processor_produced)
		:: fault() -> goto abort
		:: fault() -> goto start
		END_FAILPOINT
	};
	atomic {
#ifdef OFFSETS_APART
		committed = next;
#else
		if
		:: IN(open, mine) && IS_MEMBER -> offset_sent = offset_sent | BIT(mine)
		:: IN(open, mine) && !IS_MEMBER -> goto abort
		:: !IN(open, mine) -> goto start /* fenced */
		fi;
#endif
		FAILPOINT(processor_offsets_sent)
		:: fault() -> goto abort
		:: fault() -> goto start
		END_FAILPOINT
	};
	atomic {
		if
		:: IN(open, mine) -> commit_transaction()
		:: !IN(open, mine) -> goto start
		fi;
		FAILPOINT(processor_committed)
		:: fault() -> goto start
		END_FAILPOINT;
		goto turn
	};
abort:
	true;
	txn_abort();
	goto turn;

revoked:
	atomic {
		FAILPOINT(processor_rebalancing)
		:: fault() -> goto start
		END_FAILPOINT;
		/* FAILPOINT processor_revoked: the same state, for nothing is open here */
		d_step { leave(); forget() };
		goto end_no_partition
	}
}

/* ---- the coordinators ---- */

proctype group()
{
end_idle:
	do
	:: d_step { moves > 0 && !revoking -> moves--; revoking = true }
	/* The owner sleeps, and is not asked. */
	:: d_step {
		faults > 0 -> faults--;
			owner = (owner + 1) % PROCESSORS;
			generation++;
			revoking = false
	   }
	od
}

/* A transaction that takes too long is aborted, whosever it is. */
proctype transactions()
{
	byte i;

end_idle:
	do
	:: atomic {
		faults > 0 && open != 0 ->
			faults--;
			do
			:: IN(open, i) -> break
			:: (open >> (i + 1)) != 0 -> i++
			od;
			end_transaction(i);
			i = 0
	   }
	od
}

/* ---- analytics-svc ---- */

byte feed_v[USERS], feed_sum[USERS];

#ifdef FEED_PASSES_UNDECIDED
#define FEED_MAY_PASS(i) (i < end)
#else
#define FEED_MAY_PASS(i) (i < end && !IN(open, i))
#endif

/* Until then it reads what it has answered before. */
inline feed_start()
{
	place = 0;
	feed_v[0] = 0; feed_v[1] = 0;
	feed_sum[0] = 0; feed_sum[1] = 0;
#ifndef FEED_ANSWERS_AT_ONCE
	goal = end
#endif
}

inline feed_take()
{
	for (u : 0 .. USERS - 1) {
		if
		:: log[place].done && log[place].v[u] != 0 ->
			feed_v[u] = log[place].v[u];
			feed_sum[u] = log[place].sum[u]
		:: else
		fi
	}
	place++
}

inline feed_show()
{
	for (u : 0 .. USERS - 1) {
		if
		:: place >= goal ->
			claim(shown_never_goes_back, feed_v[u] >= shown[u]);
			shown[u] = feed_v[u]
		:: else
		fi
	}
	u = 0
}

/* From its beginning, as far as all is decided; it answers when it has read what was
 * there at its start.  The last record counts, whatever its version. */
proctype feed()
{
	byte place, goal, u, shown[USERS], restarts = 1;

end_idle:
	do
	:: d_step { FEED_MAY_PASS(place) -> feed_take(); feed_show() }
	:: d_step { place > 0 && restarts > 0 -> restarts--; feed_start(); feed_show() }
	od
}

/* ---- at rest: the log from its beginning ---- */

inline fold(uncommitted)
{
	for (i : 0 .. RECORDS - 1) {
		for (u : 0 .. USERS - 1) {
			if
			:: (log[i].done || uncommitted) && log[i].v[u] != 0 ->
				claim(versions_rise, log[i].v[u] > v[u]);
				v[u] = log[i].v[u];
				sum[u] = log[i].sum[u]
			:: else
			fi
		}
	}
}

#define EACH_ONCE (sum[0] == 5 && sum[1] == 16)

/* Any sequence that the relay allows. */
inline fill_orders_events()
{
	for (i : 0 .. LENGTH - 1) {
		if
		:: !IN(seen, 0) -> event[i] = 0
		:: IN(seen, 0) && !IN(seen, 1) -> event[i] = 1
		:: !IN(seen, 2) -> event[i] = 2
		:: IN(seen, 0) && i - n < LENGTH - EVENTS -> event[i] = 0
		:: IN(seen, 1) && i - n < LENGTH - EVENTS -> event[i] = 1
		:: IN(seen, 2) && i - n < LENGTH - EVENTS -> event[i] = 2
		fi;
		n = n + (IN(seen, event[i]) -> 0 : 1);
		seen = seen | BIT(event[i])
	}
}

init {
	byte i, u, n, seen;
	byte v[USERS], sum[USERS];

	atomic {
		fill_orders_events();
		n = 0;
		seen = 0;
		for (i : 0 .. PROCESSORS - 1) {
			run processor(i)
		}
		i = 0;
#if FEED
		run feed();
#endif
		run group();
		run transactions()
	}
	timeout;
	d_step {
		fold(false);
		claim(counted_once, EACH_ONCE);
		v[0] = 0;
		v[1] = 0;
		fold(UNCOMMITTED);
		claim(shown_is_counted, EACH_ONCE);
#if FEED
		sum[0] = feed_sum[0];
		sum[1] = feed_sum[1];
		claim(shown_is_counted, EACH_ONCE)
#endif
	}
}
