/* expand.c - replace variables of the environment in a text. */
#include "expand.h"

#include <stdlib.h>

struct out {
	char *at;
	size_t len;
};

static void add(struct out *out, struct str part)
{
	out->at = xrealloc(out->at, out->len + part.len + 1);
	memcpy(out->at + out->len, part.at, part.len);
	out->len += part.len;
	out->at[out->len] = '\0';
}

/* `inner` is what stands between "${" and "}". */
static bool add_variable(struct out *out, struct str inner, struct err *err)
{
	const char *mark = memmem(inner.at, inner.len, ":-", 2);
	size_t name_len = mark ? (size_t)(mark - inner.at) : inner.len;
	char name[64];
	const char *value;

	if (name_len == 0 ||
	    !str_copy(name, sizeof(name), (struct str){inner.at, name_len}))
		return err_set(err, ERR_INPUT, "bad variable in '" STR_FMT "'",
			       STR_ARG(inner));
	value = getenv(name);
	if (value && *value)
		add(out, str_from(value));
	else if (mark)
		add(out, (struct str){mark + 2, inner.len - name_len - 2});
	else
		return err_set(err, ERR_INPUT, "variable %s is not set", name);
	return true;
}

char *expand_env(struct str text, struct err *err)
{
	struct out out = {NULL, 0};

	add(&out, STR(""));
	while (text.len > 0) {
		const char *start = memmem(text.at, text.len, "${", 2);
		size_t before = start ? (size_t)(start - text.at) : text.len;
		const char *end = start ? memchr(start, '}', text.len - before) : NULL;

		add(&out, (struct str){text.at, before});
		if (!start)
			break;
		if (!end) {
			err_set(err, ERR_INPUT, "'${' without '}'");
			goto fail;
		}
		if (!add_variable(&out,
				  (struct str){start + 2, (size_t)(end - start - 2)},
				  err))
			goto fail;
		text.len -= (size_t)(end + 1 - text.at);
		text.at = end + 1;
	}
	return out.at;
fail:
	free(out.at);
	return NULL;
}
