/* sql.c - connections, and packets of several statements. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ordbench.h"

void text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	for (;;) {
		va_start(args, format);
		len = vsnprintf(text->at + text->len, text->size - text->len, format,
				args);
		va_end(args);
		if (len < 0)
			abort();
		if ((size_t)len < text->size - text->len)
			break;
		text->size = text->size * 2 + (size_t)len + 1024;
		text->at = realloc(text->at, text->size);
		if (!text->at)
			abort();
	}
	text->len += (size_t)len;
}

MYSQL *sql_connect(const struct options *opt)
{
	MYSQL *conn = mysql_init(NULL);

	if (!conn ||
	    !mysql_real_connect(conn, opt->host, opt->user, opt->password, NULL,
				(unsigned)opt->port, NULL, CLIENT_MULTI_STATEMENTS) ||
	    mysql_query(conn, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")) {
		fprintf(stderr, "ordbench: %s\n", conn ? mysql_error(conn) : "memory");
		exit(1);
	}
	return conn;
}

static void each_row(MYSQL *conn, sql_row row, void *arg)
{
	MYSQL_RES *result = mysql_store_result(conn);
	MYSQL_ROW values;

	if (!result)
		return;
	while ((values = mysql_fetch_row(result)) != NULL)
		if (row)
			row(arg, values);
	mysql_free_result(result);
}

int sql_run(struct bench *bench, MYSQL *conn, const char *text, size_t len, sql_row row,
	    void *arg)
{
	int more;

	bench->count.trips++;
	more = mysql_real_query(conn, text, (unsigned long)len);
	while (more == 0) {
		each_row(conn, row, arg);
		more = mysql_next_result(conn);
	}
	if (more < 0)
		return 0;
	if (!sql_is_retryable((int)mysql_errno(conn)))
		fprintf(stderr, "ordbench: %s\n", mysql_error(conn));
	return (int)mysql_errno(conn);
}

int sql_text(struct bench *bench, MYSQL *conn, const char *text)
{
	return sql_run(bench, conn, text, strlen(text), NULL, NULL);
}

bool sql_is_retryable(int error)
{
	return error == DEADLOCK || error == LOCK_TIMEOUT;
}
