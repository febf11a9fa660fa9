/* config_print.c - the settings table as --help, --check-config and JSON. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "jw.h"

static const char *type_name(const struct config_entry *e)
{
	switch (e->type) {
	case CONFIG_INT: return "number";
	case CONFIG_BOOL: return "true|false";
	case CONFIG_ENUM: return "choice";
	case CONFIG_LISTEN: return "host:port";
	case CONFIG_STR: break;
	}
	return "text";
}

static void print_entry(const struct config_entry *e)
{
	printf("  %s\n      %s", e->name, e->help);
	if (e->type == CONFIG_ENUM) {
		for (int i = 0; e->choices[i]; i++)
			printf("%s%s", i ? "|" : " (", e->choices[i]);
		printf(")");
	}
	if (e->type == CONFIG_INT)
		printf(" [%" PRId64 "..%" PRId64 "]", e->min, e->max);
	if (!e->fallback)
		printf(" [required]\n");
	else if (*e->fallback)
		printf(" [default %s]\n", e->fallback);
	else
		printf("\n");
}

void config_print_help(const char *program, const char *about,
		       const struct config_part *parts)
{
	printf("%s - %s\n\nSettings are environment variables. NAME_FILE gives the value "
	       "of a "
	       "text setting by file.\n\n",
	       program, about);
	for (; parts->table; parts++) {
		for (const struct config_entry *e = parts->table; e->name; e++)
			print_entry(e);
	}
}

static void print_value(const struct config_part *part, const struct config_entry *e)
{
	const void *at = (const char *)part->into + e->offset;
	const char *text;

	printf("%s=", e->name);
	switch (e->type) {
	case CONFIG_STR:
	case CONFIG_LISTEN:
		text = *(char *const *)at;
		printf("%s\n", e->secret && *text ? "********" : text);
		break;
	case CONFIG_INT: printf("%" PRId64 "\n", *(const int64_t *)at); break;
	case CONFIG_BOOL: printf("%s\n", *(const bool *)at ? "true" : "false"); break;
	case CONFIG_ENUM: printf("%s\n", e->choices[*(const int *)at]); break;
	}
}

void config_print_effective(const struct config_part *parts)
{
	for (; parts->table; parts++) {
		for (const struct config_entry *e = parts->table; e->name; e++)
			print_value(parts, e);
	}
}

static void json_entry(struct jw *w, const struct config_entry *e)
{
	jw_object(w);
	jw_kstrz(w, "name", e->name);
	jw_kstrz(w, "type", type_name(e));
	jw_kstrz(w, "default", e->fallback);
	jw_kstrz(w, "help", e->help);
	jw_kbool(w, "secret", e->secret);
	if (e->type == CONFIG_INT) {
		jw_kint(w, "min", e->min);
		jw_kint(w, "max", e->max);
	}
	if (e->type == CONFIG_ENUM) {
		jw_key(w, "choices");
		jw_array(w);
		for (int i = 0; e->choices[i]; i++)
			jw_strz(w, e->choices[i]);
		jw_end(w);
	}
	jw_end(w);
}

void config_print_json(const struct config_part *parts)
{
	struct jw w;

	jw_init(&w, 1 << 20);
	jw_array(&w);
	for (; parts->table; parts++) {
		for (const struct config_entry *e = parts->table; e->name; e++)
			json_entry(&w, e);
	}
	jw_end(&w);
	puts(jw_text(&w).at);
	jw_fini(&w);
}
