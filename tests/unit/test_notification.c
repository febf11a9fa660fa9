/* test_notification.c - texts from events and requests, pauses, pace, and mails. */
/* link: notify-svc/notification.c notify-svc/mail.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "notify-svc/mail.h"
#include "notify-svc/notification.h"

#define FIVE                                                               \
	"\"order_id\":123,\"user_id\":1,\"price\":7999.96,\"quantity\":4," \
	"\"timestamp\":\"2025-11-24T21:13:22Z\""
#define ITEMS                                                                          \
	"\"items\":[{\"product_id\":\"LAPTOP001\",\"quantity\":3,\"unit_price\":1999." \
	"99},"                                                                         \
	"{\"product_id\":\"MOUSE\",\"quantity\":1,\"unit_price\":1999.99}]"

static struct notice made(const char *value)
{
	struct notice notice;
	struct err err;

	if (notice_from_event(str_from(value), &notice, &err) != NOTICE_MADE)
		fail_msg("%s: %s", value, err.text);
	return notice;
}

static void poison(const char *value)
{
	struct notice notice;
	struct err err;

	if (notice_from_event(str_from(value), &notice, &err) != NOTICE_POISON)
		fail_msg("not poison: %s", value);
	assert_null(notice.body);
	assert_true(err.text[0] != '\0');
}

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in '%s'", part, text);
}

/* ---- events ---- */

static void an_order(void **state)
{
	struct notice n =
		made("{" FIVE ",\"type\":\"order.created\",\"event_id\":\"abc\","
		     "\"seq\":17,\"currency\":\"EUR\",\"new\":[]," ITEMS "}");

	(void)state;
	assert_int_equal(n.user_id, 1);
	assert_int_equal(n.order_id, 123);
	assert_string_equal(n.event_id, "abc");
	assert_string_equal(n.type, "order.created");
	has(n.subject, "123");
	has(n.body, "3 x LAPTOP001  at 1999.99");
	has(n.body, "1 x MOUSE");
	has(n.body, "Total: 7999.96 EUR");
	notice_fini(&n);
}

static void an_old_event_gets_an_id(void **state)
{
	struct notice n = made("{" FIVE "}");

	(void)state;
	assert_string_equal(n.event_id, "order:123:created");
	assert_string_equal(n.type, "order.created");
	has(n.body, "4 pieces");
	has(n.body, "7999.96 USD");
	notice_fini(&n);
}

static void a_cancellation(void **state)
{
	struct notice n = made("{" FIVE ",\"type\":\"order.cancelled\"}");

	(void)state;
	assert_string_equal(n.event_id, "order:123:cancelled");
	has(n.subject, "cancelled");
	has(n.body, "Refund: 7999.96");
	notice_fini(&n);
}

static void other_types_are_ignored(void **state)
{
	struct notice n;
	struct err err;

	(void)state;
	assert_int_equal(notice_from_event(STR("{\"type\":\"order.packed\"}"), &n, &err),
			 NOTICE_IGNORED);
}

static void nonsense_is_poison(void **state)
{
	(void)state;
	poison(NULL);
	poison("");
	poison("[1]");
	poison("{}");
	poison("{" FIVE ",\"type\":7}");
	poison("{" FIVE ",\"event_id\":\"with\\nline\"}");
	poison("{" FIVE ",\"event_id\":\"\"}");
	poison("{" FIVE ",\"items\":7}");
	poison("{" FIVE ",\"items\":[7]}");
	poison("{" FIVE ",\"items\":[{\"product_id\":\"A\",\"quantity\":1}]}");
	poison("{" FIVE ",\"currency\":\"dollars\"}");
	poison("{\"order_id\":1,\"user_id\":1,\"price\":1.001,\"quantity\":1,"
	       "\"timestamp\":\"2025-11-24T21:13:22Z\"}");
	poison("{\"order_id\":1,\"user_id\":-1,\"price\":1,\"quantity\":1,"
	       "\"timestamp\":\"2025-11-24T21:13:22Z\"}");
	poison("{\"order_id\":1,\"user_id\":1,\"price\":1,\"quantity\":1,\"timestamp\":"
	       "\"now\"}");
}

/* ---- requests ---- */

static bool request(const char *body, const char *key, struct notice *out)
{
	struct err err;

	return notice_from_request(str_from(body), str_from(key), out, &err);
}

static void a_message_by_hand(void **state)
{
	static const char body[] =
		"{\"user_id\":7,\"subject\":\"Hi\",\"body\":\"There\\nyou are\"}";
	struct notice a, b, c;

	(void)state;
	assert_true(request(body, NULL, &a) && request(body, NULL, &b));
	assert_string_not_equal(a.event_id, b.event_id);
	assert_true(notice_same(&a, &b));
	assert_string_equal(a.type, "message");
	notice_fini(&a);
	notice_fini(&b);
	assert_true(request(body, "key", &a) && request(body, "key", &b));
	assert_string_equal(a.event_id, b.event_id);
	assert_true(request(body, "other", &c));
	assert_string_not_equal(a.event_id, c.event_id);
	notice_fini(&a);
	notice_fini(&b);
	notice_fini(&c);
	assert_false(request("{\"user_id\":7,\"subject\":\"Hi\"}", NULL, &a));
	assert_false(
		request("{\"user_id\":7,\"subject\":\"a\\r\\nBcc: x\",\"body\":\"b\"}",
			NULL, &a));
	assert_false(
		request("{\"user_id\":7,\"subject\":\"a\",\"body\":\"b\",\"to\":\"x\"}",
			NULL, &a));
	assert_false(request(body, "", &a));
}

/* ---- when ---- */

static void pauses_grow_to_ten_minutes(void **state)
{
	(void)state;
	assert_int_equal(notice_pause_ms(1, 0), 500);
	assert_int_equal(notice_pause_ms(2, 0), 1000);
	assert_int_equal(notice_pause_ms(5, 0), 8000);
	assert_int_equal(notice_pause_ms(1000, 0), 600000);
	for (uint32_t r = 0; r < 5000; r += 7) {
		assert_true(notice_pause_ms(4, r) >= 2000);
		assert_true(notice_pause_ms(4, r) <= 4000);
	}
}

static void the_pace_is_kept(void **state)
{
	struct pace pace;
	size_t all = 0;

	(void)state;
	pace_init(&pace, 10, 0);
	assert_int_equal(pace_take(&pace, 100, 0), 10);
	assert_int_equal(pace_take(&pace, 1, 99), 0);
	assert_int_equal(pace_take(&pace, 1, 100), 1);
	pace_return(&pace, 1);
	assert_int_equal(pace_take(&pace, 5, 100), 1);
	for (int64_t now = 101; now <= 10100; now += 3)
		all += pace_take(&pace, 100, now);
	assert_true(all >= 99 && all <= 100);
	assert_int_equal(pace_take(&pace, 100, 1000000), 10);
}

/* ---- mails ---- */

static void addresses_are_one_mailbox(void **state)
{
	static const char *const bad[] = {"",        "a",      "@b",       "a@",
					  "a@b@c",   "a b@c",  "a@b\r\nX", "<a@b>",
					  "a@b,c@d", "\"a\"@b"};

	(void)state;
	assert_true(mail_address_ok(STR("demo+tag@example.com")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (mail_address_ok(str_from(bad[i])))
			fail_msg("taken: %s", bad[i]);
	assert_false(mail_address_ok(STR_NONE));
}

/* `n` characters of two bytes each. */
static bool subject_of(size_t n)
{
	char subject[2 * (NOTICE_SUBJECT_MAX + 1) + 1] = "";
	char body[sizeof(subject) + 64];
	struct notice notice;
	bool ok;

	for (size_t i = 0; i < n; i++)
		memcpy(subject + 2 * i, "\xc3\xa4", 2);
	snprintf(body, sizeof(body), "{\"user_id\":7,\"subject\":\"%s\",\"body\":\"b\"}",
		 subject);
	ok = request(body, NULL, &notice);
	notice_fini(&notice);
	return ok;
}

static void lengths_are_in_characters(void **state)
{
	(void)state;
	assert_true(subject_of(NOTICE_SUBJECT_MAX));
	assert_false(subject_of(NOTICE_SUBJECT_MAX + 1));
}

static void greets_nobody_with_a_link(void **state)
{
	static const char *const good[] = {"Ada", "Dr. Ada Lovelace", "Zo\xc3\xab",
					   "Ada L.", "O'Neil, Ada"};
	static const char *const bad[] = {"http://evil.example",
					  "see evil.example",
					  "www.evil.example now",
					  "me@evil.example",
					  "a\nb",
					  "<b>"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (!mail_name_ok(str_from(good[i])))
			fail_msg("left out: %s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (mail_name_ok(str_from(bad[i])))
			fail_msg("taken: %s", bad[i]);
}

static char *mail(const char *subject, const char *body, const char *name)
{
	struct notice notice = {.event_id = "order:7:created",
				.subject = (char *)subject,
				.body = (char *)body};
	size_t len;
	char *text = mail_text(&notice, "shop@example.com", "demo@example.com", name,
			       1764018802000, &len);

	assert_int_equal(len, strlen(text));
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			assert_true(i > 0 && text[i - 1] == '\r');
		assert_true((unsigned char)text[i] < 127);
	}
	return text;
}

static void a_plain_mail(void **state)
{
	char *text = mail("Order 7", "One\nTwo\n", "Ada");

	(void)state;
	has(text,
	    "From: <shop@example.com>\r\nTo: <demo@example.com>\r\nSubject: Order 7\r\n");
	has(text, "Date: Mon, 24 Nov 2025 21:13:22 +0000\r\n");
	has(text, "Message-ID: <order.7.created@example.com>\r\n");
	has(text,
	    "Content-Transfer-Encoding: 7bit\r\n\r\nHello Ada,\r\n\r\nOne\r\nTwo\r\n");
	free(text);
}

static void a_mail_in_other_letters(void **state)
{
	static const char subject[] = "Gr\xc3\xbc\xc3\x9f"
				      "e aus K\xc3\xb6ln und noch viel mehr "
				      "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4";
	char *text = mail(subject, "\xc3\xa4\n", "");

	(void)state;
	has(text, "Subject: =?UTF-8?B?R3LDvMOfZSBhdXM");
	has(text, "?=\r\n =?UTF-8?B?");
	has(text, "Content-Transfer-Encoding: base64\r\n\r\nw6QNCg==\r\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_order),
		cmocka_unit_test(an_old_event_gets_an_id),
		cmocka_unit_test(a_cancellation),
		cmocka_unit_test(other_types_are_ignored),
		cmocka_unit_test(nonsense_is_poison),
		cmocka_unit_test(a_message_by_hand),
		cmocka_unit_test(pauses_grow_to_ten_minutes),
		cmocka_unit_test(the_pace_is_kept),
		cmocka_unit_test(addresses_are_one_mailbox),
		cmocka_unit_test(greets_nobody_with_a_link),
		cmocka_unit_test(lengths_are_in_characters),
		cmocka_unit_test(a_plain_mail),
		cmocka_unit_test(a_mail_in_other_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
