/* timeutil.c - days-from-civil arithmetic instead of timegm(): no locale, no TZ. */
#include "timeutil.h"

#include <time.h>

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z */
#define TIME_MIN_MS (-62135596800000)
#define TIME_MAX_MS 253402300799999

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

/* Howard Hinnant's civil_from_days: day, month, year of days since 1970-01-01. */
static void civil_from_days(int64_t days, unsigned *y, unsigned *m, unsigned *d)
{
	unsigned z = (unsigned)(days + 719468); /* from the year 0, so never negative */
	unsigned era = z / 146097, doe = z % 146097;
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2);
}

/* `n` digits and the character behind them. */
static char *put_digits(char *at, unsigned value, unsigned n, char behind)
{
	for (unsigned i = n; i > 0; i--, value /= 10)
		at[i - 1] = (char)('0' + value % 10);
	at[n] = behind;
	return at + n + 1;
}

int time_format(char *dst, int64_t wall_ms, bool with_ms)
{
	unsigned y, m, d, second, ms;
	char *at = dst;

	/* Nothing that we show is outside; a broken clock must not write further. */
	if (wall_ms < TIME_MIN_MS || wall_ms > TIME_MAX_MS)
		wall_ms = wall_ms < 0 ? TIME_MIN_MS : TIME_MAX_MS;
	wall_ms -= TIME_MIN_MS;
	ms = (unsigned)(wall_ms % 1000);
	second = (unsigned)(wall_ms / 1000 % 86400);
	civil_from_days(wall_ms / 86400000 + TIME_MIN_MS / 86400000, &y, &m, &d);
	at = put_digits(at, y, 4, '-');
	at = put_digits(at, m, 2, '-');
	at = put_digits(at, d, 2, 'T');
	at = put_digits(at, second / 3600, 2, ':');
	at = put_digits(at, second / 60 % 60, 2, ':');
	at = put_digits(at, second % 60, 2, with_ms ? '.' : 'Z');
	if (with_ms)
		at = put_digits(at, ms, 3, 'Z');
	*at = '\0';
	return (int)(at - dst);
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
