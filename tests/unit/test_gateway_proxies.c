/* link: gateway/proxies.c */
/* test_gateway_proxies.c - which networks are trusted, and whom X-Forwarded-For names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxies.h"

static struct proxies trusting(const char *text)
{
	struct proxies proxies;
	struct err err = {0};

	if (!proxies_init(&proxies, text, &err))
		fail_msg("%s: %s", text, err.text);
	return proxies;
}

static bool trusts(const char *networks, const char *address)
{
	struct proxies proxies = trusting(networks);
	bool found = proxies_trust(&proxies, address);

	proxies_fini(&proxies);
	return found;
}

static void networks(void **state)
{
	(void)state;
	assert_false(trusts("", "127.0.0.1"));
	assert_false(trusts("", "::1"));
	assert_true(trusts("10.0.0.0/8", "10.255.0.1"));
	assert_false(trusts("10.0.0.0/8", "11.0.0.0"));
	assert_false(trusts("10.0.0.0/8", "9.255.255.255"));
	assert_true(trusts("10.0.16.0/20", "10.0.31.255"));
	assert_false(trusts("10.0.16.0/20", "10.0.32.0"));
	assert_false(trusts("10.0.16.0/20", "10.0.15.255"));
	assert_true(trusts("0.0.0.0/1", "127.0.0.1"));
	assert_false(trusts("0.0.0.0/1", "128.0.0.1"));
	assert_true(trusts("192.0.2.1", "192.0.2.1"));
	assert_false(trusts("192.0.2.1", "192.0.2.2"));
	assert_true(trusts("192.0.2.0/31", "192.0.2.1"));
	assert_true(trusts("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(trusts("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(trusts("::1", "::1"));
	assert_false(trusts("::1/128", "127.0.0.1"));
	assert_true(trusts(" 10.0.0.0/8 ,\tfd00::/8 ", "fd00::7"));
	assert_true(trusts("10.0.0.0/8,fd00::/8", "10.0.0.1"));
}

static void a_socket_of_both_kinds_sees_ipv4_as_ipv6(void **state)
{
	(void)state;
	assert_true(trusts("10.0.0.0/8", "::ffff:10.0.0.1"));
	assert_false(trusts("10.0.0.0/8", "::ffff:11.0.0.1"));
	assert_true(trusts("::ffff:10.0.0.0/104", "10.0.0.1"));
}

static void what_is_no_address_is_not_trusted(void **state)
{
	(void)state;
	assert_false(trusts("0.0.0.0/1", "unknown"));
	assert_false(trusts("0.0.0.0/1", ""));
}

static void bad_networks(void **state)
{
	static const char *const bad[] = {"x",
					  "10.0.0.0/33",
					  "10.0.0.0/",
					  "10.0.0/8",
					  "10.0.0.0/-1",
					  "fd00::/129",
					  "10.0.0.0/8,",
					  ",10.0.0.0/8",
					  "10.0.0.0/8 fd00::/8",
					  "/8",
					  "10.0.0.0/8,,::1",
					  " ",
					  "localhost",
					  "10.0.0.0/8/8",
					  "10.0.0.1/8",
					  "fd00::1/8",
					  "0.0.0.0/0",
					  "::/0",
					  "[::1]",
					  "fe80::%lo",
					  "10.0.0.0/0x8",
					  "10.0.0.128/24"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct proxies proxies;
		struct err err = {0};

		if (proxies_init(&proxies, bad[i], &err))
			fail_msg("'%s' was taken", bad[i]);
		assert_null(proxies.nets);
		assert_true(err.text[0] == '\'');
	}
}

/* The client, when these fields come from a peer that is trusted. */
static const char *client_of(const char *first, const char *second)
{
	static char client[INET6_ADDRSTRLEN];
	struct proxies proxies = trusting("10.0.0.0/8,fd00::/8");
	struct http_head head = {.n_fields = 3};

	head.fields[0] = (struct http_field){STR("x-forwarded-for"), str_from(first)};
	head.fields[1] = (struct http_field){STR("X-Real-IP"), STR("6.6.6.6")};
	head.fields[2] = (struct http_field){STR("X-Forwarded-For"), str_from(second)};
	if (!second)
		head.n_fields = 2;
	memcpy(client, "10.0.0.1", sizeof("10.0.0.1"));
	proxies_client(&proxies, &head, client);
	proxies_fini(&proxies);
	return client;
}

static void the_last_who_is_not_trusted(void **state)
{
	(void)state;
	assert_string_equal(client_of("192.0.2.1", NULL), "192.0.2.1");
	assert_string_equal(client_of("6.6.6.6, 192.0.2.1", NULL), "192.0.2.1");
	assert_string_equal(client_of("6.6.6.6,192.0.2.1 ,\t10.0.0.2", NULL),
			    "192.0.2.1");
	assert_string_equal(client_of("10.0.0.9, 192.0.2.1, 10.0.0.2, fd00::2", NULL),
			    "192.0.2.1");
	assert_string_equal(client_of("::ffff:192.0.2.1, ::ffff:10.0.0.2", NULL),
			    "192.0.2.1");
}

static void many_fields_are_one_list(void **state)
{
	(void)state;
	assert_string_equal(client_of("6.6.6.6", "192.0.2.1"), "192.0.2.1");
	assert_string_equal(client_of("6.6.6.6, 192.0.2.1", "10.0.0.2, 10.0.0.3"),
			    "192.0.2.1");
}

static void all_are_trusted(void **state)
{
	(void)state;
	assert_string_equal(client_of("10.0.0.7", NULL), "10.0.0.7");
	assert_string_equal(client_of("10.0.0.7, 10.0.0.8", "fd00::2"), "10.0.0.7");
}

static void forms_of_addresses(void **state)
{
	(void)state;
	assert_string_equal(client_of("192.0.2.1:65535", NULL), "192.0.2.1");
	assert_string_equal(client_of("2001:db8::1", NULL), "2001:db8::1");
	assert_string_equal(client_of("2001:DB8:0::1", NULL), "2001:db8::1");
	assert_string_equal(client_of("[2001:db8::1]", NULL), "2001:db8::1");
	assert_string_equal(client_of("[2001:db8::1]:443", NULL), "2001:db8::1");
	assert_string_equal(client_of("192.0.2.1, 10.0.0.2:80, [fd00::1]:80", NULL),
			    "192.0.2.1");
}

static void what_is_no_address_leaves_the_peer(void **state)
{
	static const char *const bad[] = {
		"",
		",",
		"unknown",
		"192.0.2.1,",
		"192.0.2.1, x",
		"192.0.2",
		"192.0.2.1:",
		"192.0.2.1:65536",
		"192.0.2.1:x",
		"192.0.2.1 80",
		"192.0.2.1/32",
		"[2001:db8::1",
		"[2001:db8::1]443",
		"[2001:db8::1]:",
		"[",
		"[]",
		"]:1",
		":1",
		"2001:db8::1]",
		"fe80::1%lo",
		"\"192.0.2.1\"",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (strcmp(client_of(bad[i], NULL), "10.0.0.1") != 0)
			fail_msg("'%s' was taken", bad[i]);
	}
	assert_string_equal(client_of("192.0.2.1, unknown, 10.0.0.2", NULL), "10.0.0.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks),
		cmocka_unit_test(a_socket_of_both_kinds_sees_ipv4_as_ipv6),
		cmocka_unit_test(what_is_no_address_is_not_trusted),
		cmocka_unit_test(bad_networks),
		cmocka_unit_test(the_last_who_is_not_trusted),
		cmocka_unit_test(many_fields_are_one_list),
		cmocka_unit_test(all_are_trusted),
		cmocka_unit_test(forms_of_addresses),
		cmocka_unit_test(what_is_no_address_leaves_the_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
