/*
 * money.h - amounts as int64 cents.
 *
 * On the wire an amount is a decimal number with two digits (1999.99); in
 * MySQL it is DECIMAL(12,2); inside it is cents.  Never a double, except while
 * a JSON real is checked to be a whole number of cents.
 */
#ifndef COMMON_MONEY_H
#define COMMON_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* The largest DECIMAL(12,2): 9999999999.99 */
#define MONEY_MAX_CENTS 999999999999LL
/* The largest sum of amounts: from 2^46 on, doubles are further apart than cents. */
#define MONEY_MAX_SUM  7000000000000000LL
#define MONEY_TEXT_MAX 24

/* "1999.99", "-5", "3.5"; at most two decimals, at most MONEY_MAX_CENTS. */
bool money_parse(struct str text, int64_t *cents);
/* Accepts a real only if it is a whole number of cents within 1e-6. */
bool money_from_double(double value, int64_t *cents);
/* A sum that we wrote ourselves: its nearest cent, exact up to MONEY_MAX_SUM. */
bool money_sum_from_double(double value, int64_t *cents);
/* Writes "1999.99"; `dst` holds MONEY_TEXT_MAX bytes. Returns its length. */
int money_format(char *dst, int64_t cents);
/* Average rounded half away from zero; 0 when count is 0. */
int64_t money_average(int64_t cents, int64_t count);

#endif
