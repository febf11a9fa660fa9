/*
 * sender.h - sends what is due, from any instance, once each.
 *
 * Once, except in one window: when the process dies after the mail server was given
 * the end of DATA and before its answer is recorded, the lease ends and the mail goes
 * out again, with the same Message-ID.
 */
#ifndef NOTIFY_SVC_SENDER_H
#define NOTIFY_SVC_SENDER_H

#include "addresses.h"
#include "db.h"
#include "smtp.h"

struct sender;

struct sender_config {
	struct db_pool *db;
	struct addresses *addresses;
	struct smtp *smtp;
	const char *from;
	int64_t rate, max_tries, max_pending;
};

struct sender *sender_new(struct loop *loop, const struct sender_config *cfg,
			  struct metrics *metrics);
/* Nothing may be under way any more: free pool, client and smtp before. */
void sender_free(struct sender *sender); /* accepts NULL */

/* Something may be due. */
void sender_wake(struct sender *sender);
/* Do fewer than max_pending wait? As of some seconds ago. */
bool sender_has_room(const struct sender *sender);
/* Claims and begins nothing more; gives back what waits for its turn. `drained` runs
 * when all that was claimed is settled. */
void sender_drain(struct sender *sender, loop_fn drained, void *arg);
/* Begins nothing any more: what waits for its turn is left to its lease. Before
 * the parts that it works with are freed. */
void sender_stop(struct sender *sender); /* accepts NULL */

#endif
