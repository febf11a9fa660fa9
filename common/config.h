/*
 * config.h - settings as one table per program.
 *
 * A setting is an environment variable: name, type, default, help, secret.
 * `NAME_FILE` may give the value of any string setting by file (one trailing
 * newline is dropped), which is how secrets arrive; setting both is an error.
 * The table feeds --help, --check-config and docs/OPERATIONS.md.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

enum config_type {
	CONFIG_STR,   /* char *, owned by the settings struct */
	CONFIG_INT,   /* int64_t, min..max */
	CONFIG_BOOL,  /* bool: true/false/1/0/yes/no */
	CONFIG_ENUM,  /* int: index into `choices` */
	CONFIG_LISTEN /* char *: "host:port" or "[v6]:port", checked */
};

struct config_entry {
	const char *name; /* NULL ends a table */
	enum config_type type;
	size_t offset;              /* of the member in the program's settings struct */
	const char *fallback;       /* default as text; NULL: the setting is required */
	const char *help;           /* one line; says the unit */
	bool secret;                /* masked by --check-config */
	int64_t min, max;           /* CONFIG_INT */
	const char *const *choices; /* CONFIG_ENUM, ends with NULL */
	bool certificate;           /* CONFIG_STR: a file whose certificates may end */
};

/* For tables: the struct type is named once per entry. */
#define CFG_STR(S, m, env, def, text)                                        \
	{                                                                    \
		.name = (env), .type = CONFIG_STR, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text)                            \
	}
#define CFG_SECRET(S, m, env, def, text)                                     \
	{                                                                    \
		.name = (env), .type = CONFIG_STR, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text), .secret = true            \
	}
#define CFG_CERTIFICATE(S, m, env, text)                                     \
	{                                                                    \
		.name = (env), .type = CONFIG_STR, .offset = offsetof(S, m), \
		.fallback = "", .help = (text), .certificate = true          \
	}
#define CFG_LISTEN(S, m, env, def, text)                                        \
	{                                                                       \
		.name = (env), .type = CONFIG_LISTEN, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text)                               \
	}
#define CFG_INT(S, m, env, def, lo, hi, text)                                \
	{                                                                    \
		.name = (env), .type = CONFIG_INT, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text), .min = (lo), .max = (hi)  \
	}
#define CFG_BOOL(S, m, env, def, text)                                        \
	{                                                                     \
		.name = (env), .type = CONFIG_BOOL, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text)                             \
	}
#define CFG_ENUM(S, m, env, def, list, text)                                  \
	{                                                                     \
		.name = (env), .type = CONFIG_ENUM, .offset = offsetof(S, m), \
		.fallback = (def), .help = (text), .choices = (list)          \
	}
#define CFG_END              \
	{                    \
		.name = NULL \
	}

/* Several tables (common parts and the program's own) filling one struct each. */
struct config_part {
	const struct config_entry *table; /* NULL ends a list of parts */
	void *into;
};

/* Fills every part from the environment. On failure `err` names the variable,
 * what is wrong with it and what is allowed. */
bool config_load(const struct config_part *parts, struct err *err)
	__attribute__((warn_unused_result));
void config_free(const struct config_part *parts);

/* --help: the table as text on stdout; --check-config: NAME=value lines with
 * secrets masked; --settings-json: the table for the docs and their test. */
void config_print_help(const char *program, const char *about,
		       const struct config_part *parts);
void config_print_effective(const struct config_part *parts);
void config_print_json(const struct config_part *parts);

#endif
