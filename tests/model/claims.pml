/*
 * claims.pml - what the models have in common.
 *
 * claim(NAME, P) fails the run if P does not hold.  -DCLAIM=NAME lets only that
 * one fail: so a mutant is refuted by the claim that names what it breaks, and
 * not by whatever else it breaks first.
 */
#ifndef CLAIM
#define CLAIM EVERY
#endif

inline claim(name, p)
{
	assert((CLAIM != EVERY && CLAIM != name) || (p))
}

/*
 *   FAILPOINT(NAME)
 *   :: what may happen here ...
 *   END_FAILPOINT
 *
 * The same step as FAILPOINT("NAME") in the program; mostly nothing happens.
 */
#define FAILPOINT(name) if :: true
#define END_FAILPOINT	fi

/* A process that is killed tells nobody; what it has not committed is gone. */
#define KILLED goto dead
