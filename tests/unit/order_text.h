/* order_text.h - the text of an order event, written by order-svc's own code. */
#ifndef TESTS_ORDER_TEXT_H
#define TESTS_ORDER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An order of `lines` lines of user 7; returns the length. In a file of its own because
 * both programs have a `struct order_event`. */
size_t order_text(char *dst, size_t size, unsigned lines, bool cancelled, int64_t seq);

#endif
