/*
 * engine.h - the thread that consumes, computes and produces.
 *
 * It owns both Kafka clients and all state, because their transactional calls
 * block; the main loop sees it only through atomics and loop_post().
 */
#ifndef PROCESSOR_ENGINE_H
#define PROCESSOR_ENGINE_H

#include <stdbool.h>

#include "err.h"
#include "service.h"
#include "settings.h"

struct engine;

/* NULL: a setting is wrong (`err`). A missing broker is waited for. A fault
 * that only a restart cures ends the process by service_fail(). */
struct engine *engine_start(struct service *service, const struct settings *cfg,
			    struct err *err);
/* Commits what is counted, leaves Kafka, then calls service_drained(). */
void engine_drain(struct engine *engine);
/* Ends the thread (at most 3 s of leaving Kafka) and frees. Accepts NULL. */
void engine_stop(struct engine *engine);

/* A service_check: was the broker there lately? Never the group assignment. */
bool engine_ready(void *engine, const char **why);

#endif
