/* password.c - hash and check passwords on the work pool. */
#include "password.h"

#include <argon2.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "id.h"
#include "log.h"
#include "timeutil.h"
#include "work.h"

#define SALT_BYTES 16
#define HASH_BYTES 32
#define LANES      1

struct passwords {
	const struct password_settings *cfg;
	struct work_pool *work;
	struct metric *seconds, *queued;
	/* Checked when there is no such user: right in form, and nobody's. */
	char nobody[USER_HASH_MAX + 1];
};

bool password_hash_now(const struct password_settings *cfg, struct str text, char *hash,
		       struct err *err)
{
	unsigned char salt[SALT_BYTES];
	int rc;

	id_random(salt, sizeof(salt));
	rc = argon2id_hash_encoded((uint32_t)cfg->passes, (uint32_t)cfg->memory_kib,
				   LANES, text.at, text.len, salt, sizeof(salt),
				   HASH_BYTES, hash, USER_HASH_MAX + 1);
	if (rc != ARGON2_OK)
		return err_set(err, ERR_INTERNAL, "argon2: %s", argon2_error_message(rc));
	return true;
}

/* Salt and hash are base64 without padding, of which hex digits are a part; the
 * last character of each must leave its unused bits zero, as "A" does. */
static void make_nobody(struct passwords *passwords)
{
	const struct password_settings *cfg = passwords->cfg;
	char random[65];
	unsigned char bytes[32];

	id_random(bytes, sizeof(bytes));
	str_hex(random, bytes, sizeof(bytes));
	snprintf(passwords->nobody, sizeof(passwords->nobody),
		 "$argon2id$v=19$m=%u,t=%u,p=%d$%.21sA$%.42sA", (unsigned)cfg->memory_kib,
		 (unsigned)cfg->passes, LANES, random, random + 20);
}

static void collect(void *arg)
{
	struct passwords *passwords = arg;

	metric_set(passwords->queued, work_queued(passwords->work));
}

struct passwords *passwords_new(struct loop *loop, const struct password_settings *cfg,
				struct metrics *metrics, struct err *err)
{
	struct passwords *passwords = xcalloc(1, sizeof(*passwords));
	struct work_config work = {.name = "password",
				   .threads = (unsigned)cfg->threads,
				   .max_queue = (unsigned)cfg->max_queue};

	/* A fixed threshold, so that the memory of a hash goes back at once. */
	mallopt(M_MMAP_THRESHOLD, 1024 * 1024);
	passwords->cfg = cfg;
	make_nobody(passwords);
	passwords->work = work_pool_new(loop, &work, err);
	if (!passwords->work) {
		free(passwords);
		return NULL;
	}
	passwords->seconds = metrics_histogram(metrics, "shop_password_hash_seconds",
					       "Time of one password hash", NULL);
	passwords->queued = metrics_gauge(metrics, "shop_password_queued",
					  "Password hashes that wait", NULL);
	metrics_on_collect(metrics, collect, passwords);
	return passwords;
}

void passwords_free(struct passwords *passwords)
{
	if (!passwords)
		return;
	work_pool_free(passwords->work);
	free(passwords);
}

void password_job_init(struct password_job *job, struct str text)
{
	memset(job, 0, sizeof(*job));
	/* Longer ones were refused as input. */
	if (str_copy(job->text, sizeof(job->text), text))
		job->len = text.len;
}

/* ---- submit -> run (worker) -> job_done (loop) ---- */

static void run_hash(void *worker, void *arg)
{
	struct password_job *job = arg;
	uint64_t started = time_mono_us();

	(void)worker;
	job->failed = !password_hash_now(
		job->passwords->cfg, (struct str){job->text, job->len}, job->hash, NULL);
	metric_observe_us(job->passwords->seconds, time_mono_us() - started);
}

static void run_check(void *worker, void *arg)
{
	struct password_job *job = arg;
	uint64_t started = time_mono_us();
	bool somebody = job->hash[0] != '\0';
	int rc = argon2id_verify(somebody ? job->hash : job->passwords->nobody, job->text,
				 job->len);

	(void)worker;
	job->match = rc == ARGON2_OK && somebody;
	job->failed = rc != ARGON2_OK && rc != ARGON2_VERIFY_MISMATCH;
	metric_observe_us(job->passwords->seconds, time_mono_us() - started);
}

static void job_done(enum work_end end, void *arg)
{
	struct password_job *job = arg;
	struct err err = {0};

	explicit_bzero(job->text, sizeof(job->text));
	if (end != WORK_DONE) {
		err_slug(&err, ERR_BUSY, "sign_in_busy",
			 "too many people sign in at this moment");
		err.retry_after_s = 2;
	} else if (job->failed) {
		err_set(&err, ERR_INTERNAL, "argon2 failed");
	}
	job->done(err.code == ERR_NONE ? NULL : &err, job->arg);
}

static void submit(struct passwords *passwords, struct password_job *job, work_fn run,
		   password_done done, void *arg)
{
	job->passwords = passwords;
	job->done = done;
	job->arg = arg;
	work_submit(passwords->work, passwords->cfg->queue_ms, run, job_done, job);
}

void password_hash(struct passwords *passwords, struct password_job *job,
		   password_done done, void *arg)
{
	submit(passwords, job, run_hash, done, arg);
}

void password_check(struct passwords *passwords, struct password_job *job,
		    password_done done, void *arg)
{
	submit(passwords, job, run_check, done, arg);
}
