/*
 * cppcheck.h - what cppcheck 2.10 cannot read, in words that it can.
 *
 * Included before every file by `make cppcheck`, never compiled.
 */
/* Skips common/log.h: __VA_OPT__ is unknown. */
#define COMMON_LOG_H
/* System headers are not read. */
#define TAILQ_FOREACH(v, head, link) \
	for ((v) = (head)->tqh_first; (v); (v) = (v)->link.tqe_next)
