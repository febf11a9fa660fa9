/* topics.c - read the topics file strictly, and compare. */
#include "topics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "js.h"

#define MAX_FILE       65536
#define MAX_TOPICS     64
#define MAX_PARTITIONS 10000
#define NAME_MAX_BYTES 249 /* Kafka's own limit */

/* ---- the file ---- */

static bool parse_options(struct topic *topic, json_t *obj, struct err *err)
{
	json_t *config = json_object_get(obj, "config");
	const char *name;
	json_t *value;

	if (!config)
		return true;
	if (!json_is_object(config))
		return err_set(err, ERR_INPUT, "config must be an object");
	topic->options =
		xcalloc(json_object_size(config) + 1, sizeof(struct topic_option));
	json_object_foreach(config, name, value)
	{
		struct topic_option *option = &topic->options[topic->n_options];

		/* As text, because Kafka's own form of a number is a text. */
		if (!json_is_string(value))
			return err_set(err, ERR_INPUT, "config.%s must be a text", name);
		topic->n_options++;
		option->name = xstrdup(name);
		option->value = xstrdup(json_string_value(value));
	}
	return true;
}

static bool parse_topic(struct topics *topics, json_t *obj, struct err *err)
{
	static const char *const allowed[] = {"name", "partitions", "config", NULL};
	struct topic *topic = &topics->list[topics->n++];
	struct str name;

	if (!json_is_object(obj))
		return err_set(err, ERR_INPUT, "must be an object");
	if (!js_str(obj, "name", 1, NAME_MAX_BYTES, &name, err))
		return false;
	topic->name = xstrndup(name.at, name.len);
	if (topics_find(topics, topic->name) != topic)
		return err_set(err, ERR_INPUT, "%s is there twice", topic->name);
	return (js_only(obj, "", allowed, err) &&
		js_int(obj, "partitions", 1, MAX_PARTITIONS, &topic->partitions, err) &&
		parse_options(topic, obj, err)) ||
	       err_wrap(err, "%s", topic->name);
}

bool topics_parse(struct str json, struct topics *topics, struct err *err)
{
	static const char *const allowed[] = {"topics", NULL};
	json_t *doc = js_parse_object(json, err);
	json_t *list = json_object_get(doc, "topics");
	json_t *obj;
	size_t i;
	bool ok = doc && js_only(doc, "", allowed, err);

	*topics = (struct topics){0};
	if (ok && (!json_is_array(list) || json_array_size(list) > MAX_TOPICS))
		ok = err_set(err, ERR_INPUT, "\"topics\" must be a list");
	if (ok)
		topics->list = xcalloc(json_array_size(list) + 1, sizeof(struct topic));
	json_array_foreach(list, i, obj)
	{
		ok = ok &&
		     (parse_topic(topics, obj, err) || err_wrap(err, "topics[%zu]", i));
	}
	json_decref(doc);
	return ok;
}

bool topics_load(const char *file, struct topics *topics, struct err *err)
{
	FILE *in = fopen(file, "re");
	char *text;
	size_t len;
	bool ok;

	*topics = (struct topics){0};
	if (!in)
		return err_set(err, ERR_INPUT, "cannot read %s: %s", file,
			       strerror(errno));
	text = xcalloc(1, MAX_FILE);
	len = fread(text, 1, MAX_FILE, in);
	fclose(in);
	ok = topics_parse((struct str){text, len}, topics, err) ||
	     err_wrap(err, "%s", file);
	free(text);
	return ok;
}

void topics_fini(struct topics *topics)
{
	for (size_t i = 0; i < topics->n; i++) {
		struct topic *topic = &topics->list[i];

		for (size_t k = 0; k < topic->n_options; k++) {
			free(topic->options[k].name);
			free(topic->options[k].value);
		}
		free(topic->options);
		free(topic->name);
	}
	free(topics->list);
	*topics = (struct topics){0};
}

const struct topic *topics_find(const struct topics *topics, const char *name)
{
	for (size_t i = 0; i < topics->n; i++) {
		if (topics->list[i].name && strcmp(topics->list[i].name, name) == 0)
			return &topics->list[i];
	}
	return NULL;
}

/* ---- comparing ---- */

bool topic_same_shape(const struct topic *topic, int64_t partitions, int64_t copies,
		      int64_t wanted_copies, struct err *err)
{
	if (partitions != topic->partitions)
		return err_set(err, ERR_CONFLICT,
			       "%s has %" PRId64 " partitions, not %" PRId64, topic->name,
			       partitions, topic->partitions);
	if (wanted_copies && copies != wanted_copies)
		return err_set(err, ERR_CONFLICT,
			       "%s is kept %" PRId64 " times, not %" PRId64
			       " (TOPICS_REPLICATION)",
			       topic->name, copies, wanted_copies);
	return true;
}

bool topic_same_option(const struct topic *topic, const char *name, const char *value,
		       struct err *err)
{
	for (size_t i = 0; i < topic->n_options; i++) {
		const struct topic_option *option = &topic->options[i];

		if (strcmp(option->name, name) != 0 || strcmp(option->value, value) == 0)
			continue;
		return err_set(err, ERR_CONFLICT, "%s has %s=%s, not %s", topic->name,
			       name, value, option->value);
	}
	return true;
}
