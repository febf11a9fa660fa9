/*
 * test_users.c - who exists, as order-svc remembers it: with a clock, and a user-svc
 * whose answers the test gives when it wants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_client.h"
#include "loop.h"
#include "order-svc/trace.h"
#include "timeutil.h"

/* ---- the world of users.c ---- */

static int64_t clock_ms;
static struct {
	unsigned calls; /* made, and not answered yet */
	http_client_cb cb[4];
	void *arg[4];
} asked;

static int64_t test_now(void)
{
	return clock_ms;
}

static void test_call(struct http_client *client, const struct http_call *call,
		      http_client_cb cb, void *arg)
{
	(void)client;
	assert_true(call->timeout_ms > 0 && asked.calls < 4);
	asked.cb[asked.calls] = cb;
	asked.arg[asked.calls++] = arg;
}

static void test_defer(struct loop *loop, loop_fn fn, void *arg)
{
	(void)loop;
	fn(arg);
}

static void test_headers(const struct trace *trace, const char *authorization,
			 struct http_header_pair headers[TRACE_HEADERS])
{
	(void)trace;
	(void)authorization;
	headers[0] = (struct http_header_pair){NULL, STR_NONE};
}

#define time_mono_ms     test_now
#define http_client_call test_call
#define loop_defer       test_defer
#define trace_headers    test_headers
#include "order-svc/users.c"

/* ---- steps ---- */

#define MINUTE 60000

/* What a check came to; 0: it waits. */
enum { WAITS, KNOWN, UNKNOWN, FAILED };

struct check {
	struct users_query query;
	int result;
	unsigned place; /* among those that came to something */
};

static unsigned n_checked;

static struct users *users;

static void on_checked(const struct err *err, void *arg)
{
	struct check *check = arg;

	assert_int_equal(check->result, WAITS);
	check->place = ++n_checked;
	check->result = !err ? KNOWN : err->code == ERR_NOT_FOUND ? UNKNOWN : FAILED;
	if (check->result == FAILED)
		assert_int_equal(err->retry_after_s, 1);
}

static int start(struct check *check, int64_t user_id)
{
	*check = (struct check){.query = {.user_id = user_id}};
	users_check(users, &check->query, on_checked, check);
	return check->result;
}

/* The first question is answered; 0: not at all. */
static void answer(int status)
{
	const struct http_answer answer = {.status = status};
	const struct err err = {.code = ERR_BUSY};
	http_client_cb cb = asked.cb[0];
	void *arg = asked.arg[0];

	assert_true(asked.calls > 0);
	asked.calls--;
	memmove(asked.cb, asked.cb + 1, sizeof(asked.cb) - sizeof(asked.cb[0]));
	memmove(asked.arg, asked.arg + 1, sizeof(asked.arg) - sizeof(asked.arg[0]));
	cb(status ? &answer : NULL, status ? NULL : &err, arg);
}

/* user-svc is asked and says that. */
static int check_asks(int64_t user_id, int status)
{
	struct check check;

	assert_int_equal(start(&check, user_id), WAITS);
	assert_int_equal(asked.calls, 1);
	answer(status);
	return check.result;
}

static int setup(void **state)
{
	(void)state;
	clock_ms = 1000 * MINUTE;
	asked.calls = 0;
	users = users_new(NULL, NULL, "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	users_free(users);
	return 0;
}

/* ---- tests ---- */

static void a_yes_is_remembered_for_a_minute(void **state)
{
	struct check check;

	(void)state;
	assert_int_equal(check_asks(7, 200), KNOWN);
	clock_ms += MINUTE - 1;
	assert_int_equal(start(&check, 7), KNOWN);
	clock_ms += 1;
	assert_int_equal(check_asks(7, 404), UNKNOWN);
	assert_int_equal(check_asks(7, 404), UNKNOWN);
	assert_int_equal(asked.calls, 0);
}

static void who_was_known_still_is_while_user_svc_is_away(void **state)
{
	struct check check;

	(void)state;
	assert_int_equal(check_asks(8, 0), FAILED);
	assert_int_equal(check_asks(7, 200), KNOWN);
	clock_ms += 5 * MINUTE;
	assert_int_equal(check_asks(7, 0), KNOWN);
	/* The next ones need not wait for it. */
	assert_int_equal(start(&check, 7), KNOWN);
	clock_ms += 5000;
	assert_int_equal(check_asks(7, 503), KNOWN);
	clock_ms += 5000;
	assert_int_equal(check_asks(7, 200), KNOWN);
	clock_ms += 9 * MINUTE;
	assert_int_equal(check_asks(7, 0), KNOWN);
}

static void a_deleted_user_becomes_unknown(void **state)
{
	(void)state;
	assert_int_equal(check_asks(7, 200), KNOWN);
	clock_ms += MINUTE;
	assert_int_equal(check_asks(7, 404), UNKNOWN);
	assert_int_equal(check_asks(7, 0), FAILED);
	assert_int_equal(check_asks(7, 200), KNOWN);
	for (int i = 0; i < 9; i++) {
		clock_ms += MINUTE;
		assert_int_equal(check_asks(7, 0), KNOWN);
	}
	clock_ms += MINUTE;
	assert_int_equal(check_asks(7, 0), FAILED);
}

static void a_user_is_asked_for_once_at_a_time(void **state)
{
	struct check first, second, third, other;

	(void)state;
	assert_int_equal(start(&first, 7), WAITS);
	assert_int_equal(start(&second, 7), WAITS);
	assert_int_equal(start(&third, 7), WAITS);
	assert_int_equal(asked.calls, 1);
	assert_int_equal(start(&other, 7 + SLOTS), WAITS); /* the same slot */
	assert_int_equal(asked.calls, 2);
	answer(200);
	assert_true(first.result == KNOWN && second.result == KNOWN &&
		    third.result == KNOWN && other.result == WAITS);
	assert_true(first.place < second.place && second.place < third.place);
	answer(404);
	assert_int_equal(other.result, UNKNOWN);
	assert_int_equal(start(&first, 7), KNOWN);
}

static void who_waited_fails_with_the_first(void **state)
{
	struct check first, second;

	(void)state;
	assert_int_equal(start(&first, 7), WAITS);
	assert_int_equal(start(&second, 7), WAITS);
	answer(0);
	assert_true(first.result == FAILED && second.result == FAILED);
	assert_int_equal(check_asks(7, 200), KNOWN);
}

#define USERS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		USERS_TEST(a_yes_is_remembered_for_a_minute),
		USERS_TEST(who_was_known_still_is_while_user_svc_is_away),
		USERS_TEST(a_deleted_user_becomes_unknown),
		USERS_TEST(a_user_is_asked_for_once_at_a_time),
		USERS_TEST(who_waited_fails_with_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
