/* http_date.h - the value of a Date field, made once a second. */
#ifndef COMMON_HTTP_DATE_H
#define COMMON_HTTP_DATE_H

#include <time.h>

#include "str.h"

/* One for each thread; starts as {0}. */
struct http_date {
	time_t second;
	size_t len;
	char text[40];
};

/* Now; valid until the next call. */
struct str http_date(struct http_date *date);

#endif
