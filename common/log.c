/* log.c - format a line on the stack and write it in one piece. */
#include "log.h"

#include <unistd.h>

#include "jw.h"
#include "timeutil.h"

#define LINE_MAX_BYTES  8192
#define VALUE_MAX_BYTES 2048

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
