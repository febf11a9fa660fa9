/* log.c - format a line, and write it in one piece, alone or with others. */
#include "log.h"

#include <stdio.h>
#include <unistd.h>

#include "jw.h"
#include "timeutil.h"

#define LINE_MAX_BYTES  8192
#define VALUE_MAX_BYTES 2048
/* A line that comes so long after the last write is not one of thousands. */
#define ALONE_US 2000

/* Set once before threads start, then only read. */
static struct {
	const char *svc;
	enum log_level min;
} self = {"?", LOG_INFO};

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_init(const char *svc, enum log_level min)
{
	self.svc = svc;
	self.min = min;
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_enabled(enum log_level level)
{
	return level >= self.min;
}

/* Not by printf: two of these are in every line of the gateway. */
static void put_ms(struct jw *w, int64_t us)
{
	uint64_t left = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	char text[32], *at = text + sizeof(text);

	for (int digits = 0; digits < 4 || left; digits++) {
		if (digits == 3)
			*--at = '.';
		*--at = (char)('0' + left % 10);
		left /= 10;
	}
	if (us < 0)
		*--at = '-';
	jw_raw(w, (struct str){at, (size_t)(text + sizeof(text) - at)});
}

static void put_field(struct jw *w, const struct log_field *f)
{
	jw_key(w, f->key);
	switch (f->type) {
	case LOG_T_STR: {
		struct str s = f->s;

		if (s.len > VALUE_MAX_BYTES)
			s.len = VALUE_MAX_BYTES;
		jw_str(w, s);
		break;
	}
	case LOG_T_INT: jw_int(w, f->i); break;
	case LOG_T_BOOL: jw_bool(w, f->i != 0); break;
	case LOG_T_DOUBLE: jw_double(w, f->d); break;
	case LOG_T_MS: put_ms(w, f->i); break;
	}
}

static bool format(char *line, size_t size, enum log_level level, const char *msg,
		   const struct log_field *fields, size_t *len)
{
	struct jw w;

	jw_init_fixed(&w, line, size - 1);
	jw_object(&w);
	jw_ktime(&w, "ts", time_now_ms(), true);
	jw_kstrz(&w, "level", names[level]);
	jw_kstrz(&w, "svc", self.svc);
	jw_kstrz(&w, "msg", msg);
	for (; fields && fields->key; fields++)
		put_field(&w, fields);
	jw_end(&w);
	*len = w.len;
	return jw_ok(&w);
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	char line[LINE_MAX_BYTES];
	size_t len;

	/* Too long with all its fields: the message alone still tells something. */
	if (!format(line, sizeof(line), level, msg, fields, &len) &&
	    !format(line, sizeof(line), level, msg, NULL, &len))
		return;
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* nowhere left to say so */
}

void log_batch_flush(struct log_batch *batch)
{
	size_t len = batch->len;

	batch->flushed_us = time_mono_us();
	batch->len = 0;
	if (len > 0 && write(STDERR_FILENO, batch->text, len) < 0)
		return; /* nowhere left to say so */
}

/* false: it does not fit behind what is there. */
static bool append(struct log_batch *batch, enum log_level level, const char *msg,
		   const struct log_field *fields)
{
	size_t len;

	if (!format(batch->text + batch->len, sizeof(batch->text) - batch->len, level,
		    msg, fields, &len))
		return false;
	batch->len += len;
	batch->text[batch->len++] = '\n';
	return true;
}

void log_batch_write(struct log_batch *batch, enum log_level level, const char *msg,
		     const struct log_field *fields)
{
	if (!append(batch, level, msg, fields)) {
		log_batch_flush(batch);
		if (!append(batch, level, msg, fields))
			log_write(level, msg, fields);
	}
	if (time_mono_us() - batch->flushed_us > ALONE_US)
		log_batch_flush(batch);
}
