/* money.c - text and JSON reals to cents and back. */
#include "money.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

bool money_parse(struct str text, int64_t *cents)
{
	bool negative = text.len && text.at[0] == '-';
	const char *dot;
	struct str whole, part;
	uint64_t units, hundredths = 0;

	if (negative) {
		text.at++;
		text.len--;
	}
	dot = text.len ? memchr(text.at, '.', text.len) : NULL;
	whole = text;
	if (dot) {
		whole.len = (size_t)(dot - text.at);
		part = (struct str){dot + 1, text.len - whole.len - 1};
		if (part.len < 1 || part.len > 2 || !str_u64(part, &hundredths))
			return false;
		if (part.len == 1)
			hundredths *= 10;
	}
	if (!str_u64(whole, &units) || units > MONEY_MAX_CENTS / 100)
		return false;
	*cents = (int64_t)(units * 100 + hundredths);
	if (negative)
		*cents = -*cents;
	return true;
}

bool money_from_double(double value, int64_t *cents)
{
	/* A product of doubles would be rounded once more, which beyond 2^33 is too much
	 * for amounts that are whole cents, and for sums beyond 2^45 a cent. */
	long double scaled = (long double)value * 100, whole = nearbyintl(scaled);

	if (!isfinite(value) || fabsl(whole) > (long double)MONEY_MAX_CENTS)
		return false;
	if (fabsl(scaled - whole) > 1e-4L) /* 1e-6 of a unit is 1e-4 of a cent */
		return false;
	*cents = (int64_t)whole;
	return true;
}

bool money_sum_from_double(double value, int64_t *cents)
{
	long double scaled = (long double)value * 100; /* as above */

	if (!isfinite(value) || fabsl(scaled) > (long double)MONEY_MAX_SUM)
		return false;
	*cents = llroundl(scaled);
	return true;
}

int money_format(char *dst, int64_t cents)
{
	uint64_t abs = cents < 0 ? 0 - (uint64_t)cents : (uint64_t)cents;

	return snprintf(dst, MONEY_TEXT_MAX, "%s%" PRIu64 ".%02" PRIu64,
			cents < 0 ? "-" : "", abs / 100, abs % 100);
}

int64_t money_average(int64_t cents, int64_t count)
{
	int64_t half;

	if (count == 0)
		return 0;
	half = count / 2;
	return (cents + (cents < 0 ? -half : half)) / count;
}
