/* timeutil.c - days-from-civil arithmetic instead of timegm(): no locale, no TZ. */
#include "timeutil.h"

#include <stdio.h>
#include <time.h>

int64_t time_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t time_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

int64_t time_mono_ms(void)
{
	return (int64_t)(time_mono_us() / 1000u);
}

int time_format(char *dst, int64_t wall_ms, bool with_ms)
{
	int64_t secs = wall_ms / 1000;
	int ms = (int)(wall_ms % 1000);
	time_t t;
	struct tm tm;

	if (ms < 0) {
		ms += 1000;
		secs--;
	}
	t = (time_t)secs;
	gmtime_r(&t, &tm);
	if (with_ms)
		return snprintf(dst, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
				tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
				tm.tm_min, tm.tm_sec, ms);
	return snprintf(dst, TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			tm.tm_min, tm.tm_sec);
}

/* Howard Hinnant's days_from_civil: days since 1970-01-01. */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + (int64_t)doe - 719468;
}

static bool digits(const char **p, const char *end, unsigned n, unsigned *out)
{
	uint64_t value;

	if ((size_t)(end - *p) < n || !str_u64((struct str){*p, n}, &value))
		return false;
	*out = (unsigned)value;
	*p += n;
	return true;
}

static bool literal(const char **p, const char *end, const char *any_of)
{
	if (*p == end || !strchr(any_of, **p) || **p == '\0')
		return false;
	(*p)++;
	return true;
}

static bool parse_fraction(const char **p, const char *end, unsigned *ms)
{
	unsigned scale = 100, n = 0;

	*ms = 0;
	if (*p == end || **p != '.')
		return true;
	for ((*p)++; *p < end && **p >= '0' && **p <= '9'; (*p)++, n++) {
		*ms += (unsigned)(**p - '0') * scale;
		scale /= 10;
	}
	return n >= 1 && n <= 9;
}

static bool parse_offset(const char **p, const char *end, bool mysql, int64_t *secs)
{
	unsigned hours, minutes;
	char sign;

	*secs = 0;
	if (*p == end)
		return mysql;
	sign = **p;
	if (!literal(p, end, "Zz+-"))
		return false;
	if (sign == 'Z' || sign == 'z')
		return true;
	if (!digits(p, end, 2, &hours) || !literal(p, end, ":") ||
	    !digits(p, end, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*secs = (int64_t)(hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
	return true;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30,
					     31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

bool time_parse(struct str text, int64_t *wall_ms)
{
	const char *p = text.at, *end = text.at + text.len;
	unsigned year, month, day, hour, minute, second, ms;
	int64_t offset;
	bool mysql;

	if (!digits(&p, end, 4, &year) || !literal(&p, end, "-") ||
	    !digits(&p, end, 2, &month) || !literal(&p, end, "-") ||
	    !digits(&p, end, 2, &day))
		return false;
	mysql = p < end && *p == ' ';
	if (!literal(&p, end, "Tt ") || !digits(&p, end, 2, &hour) ||
	    !literal(&p, end, ":") || !digits(&p, end, 2, &minute) ||
	    !literal(&p, end, ":") || !digits(&p, end, 2, &second))
		return false;
	if (!parse_fraction(&p, end, &ms) || !parse_offset(&p, end, mysql, &offset) ||
	    p != end)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
	    hour > 23 || minute > 59 || second > 60)
		return false;
	*wall_ms =
		((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60000 +
		((int64_t)second - offset) * 1000 + ms;
	return true;
}
