/* config.c - environment variables into settings structs. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "str.h"

#define FILE_MAX_BYTES 65536

static void *member(const struct config_part *part, const struct config_entry *e)
{
	return (char *)part->into + e->offset;
}

static bool is_string(const struct config_entry *e)
{
	return e->type == CONFIG_STR || e->type == CONFIG_LISTEN;
}

/* The value of NAME_FILE's file, one trailing newline dropped; NULL on failure. */
static char *read_file(const char *name, const char *path, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f) {
		err_set(err, ERR_INPUT, "%s_FILE: cannot read %s: %s", name, path,
			strerror(errno));
		return NULL;
	}
	text = xcalloc(1, FILE_MAX_BYTES + 1);
	n = fread(text, 1, FILE_MAX_BYTES, f);
	fclose(f);
	if (n && text[n - 1] == '\n')
		n--;
	text[n] = '\0';
	return text;
}

/* Owned by the caller; NULL with an empty `err` when the variable is not set. */
static char *fetch(const struct config_entry *e, struct err *err)
{
	const char *value = getenv(e->name);
	char file_name[128];
	const char *path;

	snprintf(file_name, sizeof(file_name), "%s_FILE", e->name);
	/* SIGNING_KEY_FILE and its like are settings of their own, never "_FILE_FILE". */
	path = is_string(e) ? getenv(file_name) : NULL;
	if (value && path) {
		err_set(err, ERR_INPUT, "%s and %s are both set; set one of them",
			e->name, file_name);
		return NULL;
	}
	if (path)
		return read_file(e->name, path, err);
	return value ? xstrdup(value) : NULL;
}

static bool parse_listen(struct str s)
{
	const char *colon = s.len ? memrchr(s.at, ':', s.len) : NULL;
	uint64_t port;

	if (!colon || colon == s.at)
		return false;
	return str_u64((struct str){colon + 1, (size_t)(s.at + s.len - colon - 1)},
		       &port) &&
	       port <= 65535;
}

static bool parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"true", "1", "yes", "on"};
	static const char *const no[] = {"false", "0", "no", "off"};

	for (unsigned i = 0; i < ARRAY_LEN(yes); i++) {
		*out = strcmp(text, yes[i]) == 0;
		if (*out || strcmp(text, no[i]) == 0)
			return true;
	}
	return false;
}

static bool set_int(const struct config_entry *e, const char *text, int64_t *out,
		    struct err *err)
{
	if (!str_i64(str_from(text), out) || *out < e->min || *out > e->max)
		return err_set(err, ERR_INPUT,
			       "%s must be a whole number from %" PRId64 " to %" PRId64
			       ", not \"%.60s\"",
			       e->name, e->min, e->max, text);
	return true;
}

static bool set_enum(const struct config_entry *e, const char *text, int *out,
		     struct err *err)
{
	char list[160] = "";

	for (int i = 0; e->choices[i]; i++) {
		size_t used = strlen(list);

		if (strcmp(e->choices[i], text) == 0) {
			*out = i;
			return true;
		}
		snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
			 e->choices[i]);
	}
	return err_set(err, ERR_INPUT, "%s must be one of %s, not \"%.60s\"", e->name,
		       list, text);
}

/* Takes ownership of `text`. */
static bool set_string(const struct config_entry *e, char *text, char **out,
		       struct err *err)
{
	free(*out);
	*out = text;
	if (e->type == CONFIG_LISTEN && !parse_listen(str_from(text)))
		return err_set(err, ERR_INPUT, "%s must be host:port, not \"%.60s\"",
			       e->name, text);
	if (e->certificate && *text && access(text, R_OK) != 0)
		return err_set(err, ERR_INPUT, "%s: cannot read '%.160s': %s", e->name,
			       text, strerror(errno));
	return true;
}

/* Takes ownership of `text`. */
static bool set(const struct config_part *part, const struct config_entry *e, char *text,
		struct err *err)
{
	void *at = member(part, e);
	bool ok = false;

	switch (e->type) {
	case CONFIG_STR:
	case CONFIG_LISTEN: return set_string(e, text, at, err);
	case CONFIG_INT: ok = set_int(e, text, at, err); break;
	case CONFIG_ENUM: ok = set_enum(e, text, at, err); break;
	case CONFIG_BOOL:
		ok = parse_bool(text, at);
		if (!ok)
			err_set(err, ERR_INPUT, "%s must be true or false, not \"%.60s\"",
				e->name, text);
		break;
	}
	free(text);
	return ok;
}

static bool load_entry(const struct config_part *part, const struct config_entry *e,
		       struct err *err)
{
	char *text;

	if (err)
		err->code = ERR_NONE;
	text = fetch(e, err);
	if (!text && err && err->code != ERR_NONE)
		return false;
	if (!text && !e->fallback)
		return err_set(err, ERR_INPUT, "%s is not set: %s", e->name, e->help);
	return set(part, e, text ? text : xstrdup(e->fallback), err);
}

bool config_load(const struct config_part *parts, struct err *err)
{
	struct err local;

	if (!err)
		err = &local;
	for (; parts->table; parts++) {
		for (const struct config_entry *e = parts->table; e->name; e++) {
			if (!load_entry(parts, e, err))
				return false;
		}
	}
	return true;
}

void config_free(const struct config_part *parts)
{
	for (; parts->table; parts++) {
		for (const struct config_entry *e = parts->table; e->name; e++) {
			if (is_string(e)) {
				char **at = member(parts, e);

				free(*at);
				*at = NULL;
			}
		}
	}
}
