/* http_date.c - RFC 9110 section 5.6.7. */
#include "http_date.h"

#include "timeutil.h"

struct str http_date(struct http_date *date)
{
	time_t now = (time_t)(time_now_ms() / 1000);
	struct tm tm;

	if (now != date->second) {
		gmtime_r(&now, &tm);
		date->len = strftime(date->text, sizeof(date->text),
				     "%a, %d %b %Y %H:%M:%S GMT", &tm);
		date->second = now;
	}
	return (struct str){date->text, date->len};
}
