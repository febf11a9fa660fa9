/* err.c - filling the error type; the one table from codes to HTTP. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int status;
	const char *slug;
} table[] = {
	[ERR_NONE] = {200, "none"},
	[ERR_INPUT] = {400, "bad_request"},
	[ERR_UNAUTHORIZED] = {401, "unauthorized"},
	[ERR_FORBIDDEN] = {403, "forbidden"},
	[ERR_NOT_FOUND] = {404, "not_found"},
	[ERR_CONFLICT] = {409, "conflict"},
	[ERR_PRECONDITION] = {412, "precondition_failed"},
	[ERR_UNPROCESSABLE] = {422, "unprocessable"},
	[ERR_PRECONDITION_REQUIRED] = {428, "precondition_required"},
	[ERR_BUSY] = {503, "unavailable"},
	[ERR_TIMEOUT] = {504, "timeout"},
	[ERR_UPSTREAM] = {502, "bad_upstream"},
	[ERR_INTERNAL] = {500, "internal"},
};

int err_status(enum err_code code)
{
	return table[code].status;
}

const char *err_default_slug(enum err_code code)
{
	return table[code].slug;
}

static void fill(struct err *err, enum err_code code, const char *fmt, va_list ap)
{
	if (!err)
		return;
	memset(err, 0, sizeof(*err));
	err->code = code;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	return false;
}

bool err_field(struct err *err, const char *field, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, ERR_INPUT, fmt, ap);
	va_end(ap);
	if (err)
		snprintf(err->field, sizeof(err->field), "%s", field);
	return false;
}

bool err_slug(struct err *err, enum err_code code, const char *slug, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(err, code, fmt, ap);
	va_end(ap);
	if (err)
		snprintf(err->slug, sizeof(err->slug), "%s", slug);
	return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
	char old[ERR_TEXT_MAX];
	char head[ERR_TEXT_MAX];
	va_list ap;

	if (!err)
		return false;
	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	memcpy(old, err->text, sizeof(old));
	snprintf(err->text, sizeof(err->text), "%.120s: %.130s", head, old);
	return false;
}
