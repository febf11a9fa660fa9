/* variants.c - read the variants of an upstream, and choose one. */
#include "variants.h"

#include <stdio.h>
#include <stdlib.h>

#include "js.h"
#include "upstreams.h"

#define MAX_VARIANTS   8
#define MAX_WEIGHT     1000000
#define DEFAULT_WEIGHT 100 /* of the stable version: 10 is about a tenth of that */
#define MAX_VALUE      256

/* ---- reading ---- */

static bool parse_rule(struct variant *variant, const char *name, json_t *value,
		       struct err *err)
{
	struct header_rule *rule = &variant->rules[variant->n_rules];
	const char *text = json_string_value(value);

	if (variant->n_rules == VARIANT_MAX_RULES)
		return err_set(err, ERR_INPUT, "headers: at most %d", VARIANT_MAX_RULES);
	if (!http_is_token(str_from(name)))
		return err_set(err, ERR_INPUT, "headers: '%s' is no name of a header",
			       name);
	if (!text || !*text || strlen(text) > MAX_VALUE || !http_is_value(str_from(text)))
		return err_set(err, ERR_INPUT, "headers.%s must be a value of a header",
			       name);
	variant->n_rules++;
	rule->name = xstrdup(name);
	rule->value = xstrdup(text);
	return true;
}

static bool parse_rules(struct variant *variant, json_t *obj, struct err *err)
{
	json_t *headers = json_object_get(obj, "headers");
	json_t *value;
	const char *name;

	if (!headers)
		return true;
	if (!json_is_object(headers) || json_object_size(headers) == 0)
		return err_set(err, ERR_INPUT,
			       "headers must be an object of names and values");
	json_object_foreach(headers, name, value)
	{
		if (!parse_rule(variant, name, value, err))
			return false;
	}
	return true;
}

static bool parse_weight(json_t *obj, int64_t fallback, unsigned *weight, struct err *err)
{
	int64_t n = fallback;

	if (js_has(obj, "weight") && !js_int(obj, "weight", 0, MAX_WEIGHT, &n, err))
		return false;
	*weight = (unsigned)n;
	return true;
}

static bool parse_variant(const struct routes *routes, struct upstream *upstream,
			  json_t *obj, struct err *err)
{
	static const char *const allowed[] = {"upstream", "weight", "headers", NULL};
	struct variant *variant = &upstream->variants[upstream->n_variants++];
	struct str name;

	if (!json_is_object(obj))
		return err_set(err, ERR_INPUT, "must be an object");
	if (!js_only(obj, "", allowed, err) ||
	    !js_str(obj, "upstream", 1, 64, &name, err) ||
	    !parse_weight(obj, 0, &variant->weight, err) ||
	    !parse_rules(variant, obj, err))
		return false;
	variant->upstream = upstreams_find(routes, name);
	if (!variant->upstream)
		return err_set(err, ERR_INPUT, "upstream: " STR_FMT " is unknown",
			       STR_ARG(name));
	if (variant->upstream == upstream)
		return err_set(err, ERR_INPUT, "upstream: a variant of itself");
	if (variant->weight == 0 && variant->n_rules == 0)
		return err_set(err, ERR_INPUT,
			       "needs a weight above 0 or headers: it would get nothing");
	variant->upstream->is_variant = true;
	return true;
}

static bool check_whole(struct upstream *upstream, struct err *err)
{
	upstream->total_weight = upstream->weight;
	for (unsigned i = 0; i < upstream->n_variants; i++) {
		const struct variant *variant = &upstream->variants[i];

		upstream->total_weight += variant->weight;
		for (unsigned k = 0; k < i; k++) {
			if (upstream->variants[k].upstream == variant->upstream)
				return err_set(err, ERR_INPUT, "variants: %s twice",
					       variant->upstream->name);
		}
	}
	if (upstream->total_weight == 0)
		return err_set(err, ERR_INPUT,
			       "weight: somebody must get what no header decides");
	return true;
}

bool variants_parse(const struct routes *routes, struct upstream *upstream, json_t *obj,
		    struct err *err)
{
	json_t *list = json_object_get(obj, "variants");
	json_t *item;
	size_t i;

	if (!list && js_has(obj, "weight"))
		return err_set(err, ERR_INPUT, "weight is for those with variants");
	if (!list)
		return true;
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > MAX_VARIANTS)
		return err_set(err, ERR_INPUT, "variants must be a list of 1 to %d",
			       MAX_VARIANTS);
	if (!parse_weight(obj, DEFAULT_WEIGHT, &upstream->weight, err))
		return false;
	upstream->variants = xcalloc(json_array_size(list), sizeof(struct variant));
	json_array_foreach(list, i, item)
	{
		if (!parse_variant(routes, upstream, item, err))
			return err_wrap(err, "variants[%zu]", i);
	}
	return check_whole(upstream, err);
}

void variants_free(struct upstream *upstream)
{
	for (unsigned i = 0; i < upstream->n_variants; i++) {
		struct variant *variant = &upstream->variants[i];

		for (unsigned k = 0; k < variant->n_rules; k++) {
			free(variant->rules[k].name);
			free(variant->rules[k].value);
		}
	}
	free(upstream->variants);
}

/* ---- choosing ---- */

static bool matches(const struct variant *variant, const struct http_head *head)
{
	for (unsigned i = 0; i < variant->n_rules; i++) {
		const struct header_rule *rule = &variant->rules[i];
		struct str value = http_field_get(head, rule->name);

		if (!value.at || !str_eqz(value, rule->value))
			return false;
	}
	return variant->n_rules > 0;
}

const struct upstream *variants_choose(const struct upstream *stable,
				       const struct http_head *head, unsigned dice)
{
	if (stable->n_variants == 0)
		return stable;
	for (unsigned i = 0; i < stable->n_variants; i++) {
		if (matches(&stable->variants[i], head))
			return stable->variants[i].upstream;
	}
	dice %= stable->total_weight;
	for (unsigned i = 0; i < stable->n_variants; i++) {
		if (dice < stable->variants[i].weight)
			return stable->variants[i].upstream;
		dice -= stable->variants[i].weight;
	}
	return stable;
}
