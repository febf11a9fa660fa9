/*
 * password.h - argon2id (RFC 9106) on threads of its own.
 *
 * A hash takes some 20 ms of a core and 19 MB of memory, so few run at once and
 * few may wait: what comes on top is answered ERR_BUSY.
 */
#ifndef USER_SVC_PASSWORD_H
#define USER_SVC_PASSWORD_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "loop.h"
#include "metrics.h"
#include "str.h"
#include "user.h"

struct password_settings {
	int64_t memory_kib, passes, threads, max_queue, queue_ms;
};

struct passwords;

struct passwords *passwords_new(struct loop *loop, const struct password_settings *cfg,
				struct metrics *metrics, struct err *err);
/* Waits for running hashes; every `done` runs before this returns. */
void passwords_free(struct passwords *passwords);

/* Filled by the caller, who keeps it until `done`. The text is wiped then. */
struct password_job {
	char text[USER_PASSWORD_MAX * 4 + 1];
	size_t len;
	char hash[USER_HASH_MAX + 1]; /* to check against, or the result */
	bool match;                   /* result of a check */

	/* the module's own */
	struct passwords *passwords;
	bool failed;
	void (*done)(const struct err *err, void *arg);
	void *arg;
};

void password_job_init(struct password_job *job, struct str text);

/* `done` runs on the loop, once, later; `err` is NULL when the job ran. */
typedef void (*password_done)(const struct err *err, void *arg);
/* Fills job->hash. */
void password_hash(struct passwords *passwords, struct password_job *job,
		   password_done done, void *arg);
/* Fills job->match. An empty job->hash (no such user) takes the same time and
 * never matches. */
void password_check(struct passwords *passwords, struct password_job *job,
		    password_done done, void *arg);

/* On the own thread, for commands. */
bool password_hash_now(const struct password_settings *cfg, struct str text, char *hash,
		       struct err *err) __attribute__((warn_unused_result));

#endif
