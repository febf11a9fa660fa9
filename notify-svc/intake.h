/* intake.h - from `orders-events` to rows: stored before the offset is committed. */
#ifndef NOTIFY_SVC_INTAKE_H
#define NOTIFY_SVC_INTAKE_H

#include "db.h"
#include "events.h"

struct intake;

/* May more be stored now? */
typedef bool (*intake_room)(void *arg);

struct intake_config {
	const struct events_settings *events;
	const char *topic, *group;
	struct db_pool *db;
	intake_room room;
	loop_fn stored; /* something new is to be sent */
	void *arg;
};

struct intake *intake_new(struct loop *loop, const struct intake_config *cfg,
			  struct metrics *metrics, struct err *err);
/* Free the database pool before: it ends what is under way. */
void intake_free(struct intake *intake); /* accepts NULL */
bool intake_ready(const struct intake *intake, const char **why);

#endif
