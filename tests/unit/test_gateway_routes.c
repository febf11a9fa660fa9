/* link: gateway/routes.c gateway/upstreams.c gateway/variants.c */
/* link: gateway/route_match.c gateway/expand.c gateway/access.c */
/* test_gateway_routes.c - the routes file, matching, and who may call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "access.h"
#include "expand.h"
#include "routes.h"

#define UPSTREAMS                                                                        \
	"{\"upstreams\":{\"a-svc\":{\"endpoints\":\"http://127.0.0.1:1,http://"          \
	"[::1]:2\","                                                                     \
	"\"admin\":\"http://127.0.0.1:3\"},\"b-svc\":{\"endpoints\":\"http://b:80/\"}}," \
	"\"routes\":["
#define ROUTE(path, more) "{\"path\":\"" path "\",\"upstream\":\"a-svc\"," more "}"
#define GET_ANY           "\"methods\":[\"GET\"],\"who\":[\"anyone\"]"

static struct routes *parse(const char *list, struct err *err)
{
	char text[4096];

	snprintf(text, sizeof(text), UPSTREAMS "%s]}", list);
	return routes_parse(str_from(text), err);
}

static void loads(void **state)
{
	struct err err = {0};
	struct routes *routes =
		parse(ROUTE("/x/:id", GET_ANY ",\"max_body\":7,\"timeout_ms\":9,"
					      "\"stream\":true,\"ignore_token\":true"),
		      &err);
	const struct route *route;

	(void)state;
	assert_non_null(routes);
	route = &routes->list[0];
	assert_int_equal(route->max_body, 7);
	assert_int_equal(route->timeout_ms, 9);
	assert_true(route->stream && route->ignore_token && route->anyone);
	assert_int_equal(route->methods, 1u << HTTP_GET | 1u << HTTP_HEAD);
	assert_int_equal(route->upstream->n_endpoints, 2);
	assert_string_equal(route->upstream->endpoints[0]->admin_url,
			    "http://127.0.0.1:3");
	assert_null(route->upstream->endpoints[1]->admin_url);
	assert_int_equal(routes->upstreams[1].endpoints[0]->origin.addr_len, 0);
	routes_unref(routes);
}

static void refuse(const char *list, const char *why)
{
	struct err err = {0};

	assert_null(parse(list, &err));
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void refuses(void **state)
{
	(void)state;
	refuse(ROUTE("x", GET_ANY), "start with '/'");
	refuse(ROUTE("/x//y", GET_ANY), "/x//y");
	refuse(ROUTE("/x/:", GET_ANY), "empty segment");
	refuse(ROUTE("/x", GET_ANY ",\"tiemout_ms\":1"), "/x");
	refuse(ROUTE("/x", "\"methods\":[],\"who\":[\"anyone\"]"), "methods");
	refuse(ROUTE("/x", "\"methods\":[\"get\"],\"who\":[\"anyone\"]"), "methods[0]");
	refuse(ROUTE("/x", "\"methods\":[\"TRACE\"],\"who\":[\"anyone\"]"), "methods[0]");
	refuse(ROUTE("/x", "\"methods\":[\"GET\"]"), "who");
	refuse(ROUTE("/x", "\"methods\":[\"GET\"],\"who\":[]"), "who");
	refuse(ROUTE("/x", "\"methods\":[\"GET\"],\"who\":[\"everyone\"]"), "who[0]");
	refuse(ROUTE("/x", "\"methods\":[\"GET\"],\"who\":[\"b-svc\"]"), "who[0]");
	refuse(ROUTE("/x", GET_ANY ",\"listener\":\"secret\""), "listener");
	refuse(ROUTE("/x", GET_ANY ",\"max_body\":-1"), "/x");
	refuse(ROUTE("/x", GET_ANY ",\"timeout_ms\":0"), "/x");
	refuse(ROUTE("/x", GET_ANY ",\"stream\":1"), "stream");
	refuse(ROUTE("/x", GET_ANY ",\"cache_ms\":0"), "/x");
	refuse(ROUTE("/x", GET_ANY ",\"cache_ms\":9,\"listener\":\"internal\""),
	       "cache_ms");
	refuse(ROUTE("/x", GET_ANY ",\"cache_ms\":9,\"stream\":true"), "cache_ms");
	refuse(ROUTE("/x", "\"methods\":[\"GET\"],\"who\":[\"user\"],\"cache_ms\":9"),
	       "cache_ms");
	refuse(ROUTE("/x", "\"methods\":[\"GET\",\"PUT\"],\"who\":[\"anyone\"],"
			   "\"cache_ms\":9"),
	       "cache_ms");
	refuse(ROUTE("/x", GET_ANY ",\"touches\":\"/x\""), "touches");
	refuse(ROUTE("/x", GET_ANY ",\"touches\":[7]"), "touches[0]");
	refuse(ROUTE("/x", GET_ANY ",\"touches\":[\"/x\"]"), "no cache_ms");
	refuse("{\"path\":\"/x\",\"upstream\":\"c-svc\"," GET_ANY "}",
	       "unknown upstream");
	refuse(ROUTE("/x/:a", GET_ANY) "," ROUTE("/x/:b", GET_ANY), "answer the same");
	refuse("7", "routes[0]");
}

static const char *found(const struct routes *routes, enum http_method_id method,
			 const char *path, unsigned *allowed)
{
	const struct route *route =
		route_find(routes, LISTENER_PUBLIC, method, str_from(path), allowed);

	return route ? route->pattern : NULL;
}

static void matches(void **state)
{
	struct err err;
	struct routes *routes = parse(
		ROUTE("/x/:id", GET_ANY) "," ROUTE("/x/list", GET_ANY) "," ROUTE("/x", GET_ANY) "," ROUTE(
			"/x",
			"\"methods\":[\"POST\"],"
			"\"who\":[\"admin\"]") "," ROUTE("/x/:id/y",
							 GET_ANY) "," ROUTE("/in", GET_ANY
									    ",\"listener"
									    "\":"
									    "\"internal"
									    "\""),
		&err);
	char text[96];
	unsigned allowed;

	(void)state;
	assert_non_null(routes);
	assert_string_equal(found(routes, HTTP_GET, "/x", &allowed), "/x");
	assert_string_equal(found(routes, HTTP_HEAD, "/x/7", &allowed), "/x/:id");
	assert_string_equal(found(routes, HTTP_GET, "/x/list", &allowed), "/x/list");
	assert_string_equal(found(routes, HTTP_GET, "/x/list/y", &allowed), "/x/:id/y");
	assert_null(found(routes, HTTP_GET, "/x/", &allowed));
	assert_null(found(routes, HTTP_GET, "/x/7/", &allowed));
	assert_null(found(routes, HTTP_GET, "/xx", &allowed));
	assert_null(found(routes, HTTP_GET, "/", &allowed));
	assert_null(found(routes, HTTP_GET, "/in", &allowed));
	assert_int_equal(allowed, 0);
	assert_null(found(routes, HTTP_DELETE, "/x", &allowed));
	route_allow_text(allowed, text, sizeof(text));
	assert_string_equal(text, "GET, HEAD, POST, OPTIONS");
	routes_unref(routes);
}

static void expand(const char *text, const char *want)
{
	struct err err;
	char *got = expand_env(str_from(text), &err);

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void expands(void **state)
{
	(void)state;
	setenv("GW_A", "one", 1);
	unsetenv("GW_B");
	expand("", "");
	expand("x", "x");
	expand("${GW_A}", "one");
	expand("<${GW_A}-${GW_B:-two}>", "<one-two>");
	expand("${GW_B:-}", "");
	expand("${GW_B}", NULL);
	expand("${GW_A", NULL);
	expand("${}", NULL);
}

static bool may(const struct route *route, enum caller_kind kind, bool admin,
		const char *service, enum auth_mode mode)
{
	struct caller caller = {.kind = kind, .user_id = 1, .admin = admin};
	struct err err;

	snprintf(caller.service, sizeof(caller.service), "%s", service);
	return access_allows(route, &caller, mode, &err);
}

static void who_may(void **state)
{
	const struct route any = {.anyone = true};
	const struct route user = {.user = true, .admin = true};
	const struct route admin = {.admin = true, .demo_anyone = true};
	const struct route inside = {.listener = LISTENER_INTERNAL,
				     .services = (char[]){"a-svc,b-svc"}};

	(void)state;
	assert_true(may(&any, CALLER_ANONYMOUS, false, "", AUTH_REQUIRED));
	assert_false(may(&user, CALLER_ANONYMOUS, false, "", AUTH_DEMO));
	assert_true(may(&user, CALLER_USER, false, "", AUTH_REQUIRED));
	assert_true(may(&admin, CALLER_USER, false, "", AUTH_DEMO));
	assert_false(may(&admin, CALLER_USER, false, "", AUTH_REQUIRED));
	assert_true(may(&admin, CALLER_USER, true, "", AUTH_REQUIRED));
	assert_false(may(&admin, CALLER_ANONYMOUS, false, "", AUTH_REQUIRED));
	assert_true(may(&admin, CALLER_ANONYMOUS, false, "", AUTH_DEMO));
	assert_true(may(&inside, CALLER_SERVICE, false, "b-svc", AUTH_REQUIRED));
	assert_false(may(&inside, CALLER_SERVICE, false, "svc", AUTH_REQUIRED));
	assert_false(may(&inside, CALLER_USER, true, "", AUTH_REQUIRED));
	assert_false(may(&inside, CALLER_ANONYMOUS, false, "", AUTH_DEMO));
	assert_false(may(&any, CALLER_SERVICE, false, "a-svc", AUTH_REQUIRED));
}

/* The file that is shipped. */
static void own_file(void **state)
{
	static const char *const names[] = {"USER_SVC_URL", "PRODUCT_SVC_URL",
					    "ORDER_SVC_URL", "NOTIFY_SVC_URL",
					    "ANALYTICS_SVC_URL"};
	struct err err = {0};
	struct routes *routes;

	(void)state;
	assert_null(routes_load("gateway/routes.json", &err));
	assert_non_null(strstr(err.text, "USER_SVC_URL is not set"));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		setenv(names[i], "http://127.0.0.1:1", 1);
	routes = routes_load("gateway/routes.json", &err);
	assert_non_null(routes);
	routes_unref(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads),   cmocka_unit_test(refuses),
		cmocka_unit_test(matches), cmocka_unit_test(expands),
		cmocka_unit_test(who_may), cmocka_unit_test(own_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
