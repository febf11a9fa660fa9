/* link: gateway/routes.c gateway/upstreams.c gateway/variants.c */
/* link: gateway/route_match.c gateway/expand.c */
/* test_gateway_variants.c - names, variants of an upstream, and who gets which. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "variants.h"

#define V2 "\"v2\":{\"endpoints\":\"http://127.0.0.1:2\"}"
#define ROUTES                      \
	"\"routes\":[{\"path\":\"/" \
	"x\",\"upstream\":\"v1\",\"methods\":[\"GET\"],\"who\":[\"anyone\"]}]"
#define V1(more) "\"v1\":{\"endpoints\":\"http://127.0.0.1:1\"" more "}"
#define DOC(ups) "{\"upstreams\":{" ups "}," ROUTES "}"
#define CANARY   "{\"upstream\":\"v2\",\"weight\":10,\"headers\":{\"canary\":\"true\"}}"

static struct routes *parse(const char *doc)
{
	struct err err = {0};
	struct routes *routes = routes_parse(str_from(doc), &err);

	if (!routes)
		fail_msg("%s", err.text);
	return routes;
}

static void refuse(const char *doc, const char *why)
{
	struct err err = {0};

	assert_null(routes_parse(str_from(doc), &err));
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static const char *chosen(const struct routes *routes, const char *fields, unsigned dice)
{
	struct http_head head;
	char text[512];

	snprintf(text, sizeof(text), "GET /x HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
	assert_int_equal(http_parse_request(str_from(text), &head), 0);
	return variants_choose(routes->list[0].upstream, &head, dice)->name;
}

static void weights_share_what_no_header_decides(void **state)
{
	struct routes *routes =
		parse(DOC(V2 "," V1(",\"weight\":90,\"variants\":[" CANARY "]")));
	unsigned canary = 0;

	(void)state;
	for (unsigned dice = 0; dice < 1000; dice++)
		canary += strcmp(chosen(routes, "", dice), "v2") == 0;
	assert_int_equal(canary, 100);
	for (unsigned dice = 0; dice < 100; dice++)
		assert_string_equal(chosen(routes, "Canary: true\r\n", dice), "v2");
	assert_string_equal(chosen(routes, "canary: false\r\n", 99), "v1");
	assert_string_equal(chosen(routes, "canary: true2\r\n", 99), "v1");
	routes_unref(routes);
}

static void every_rule_must_match(void **state)
{
	struct routes *routes =
		parse(DOC(V1(",\"variants\":[{\"upstream\":\"v2\",\"headers\":{\"a\":"
			     "\"1\",\"b\":\"2\"}}]") "," V2));

	(void)state;
	for (unsigned dice = 0; dice < 200; dice++) {
		assert_string_equal(chosen(routes, "", dice), "v1");
		assert_string_equal(chosen(routes, "a: 1\r\n", dice), "v1");
		assert_string_equal(chosen(routes, "b: 2\r\na: 1\r\n", dice), "v2");
	}
	routes_unref(routes);
}

static void the_stable_version_may_get_nothing(void **state)
{
	struct routes *routes =
		parse(DOC(V1(",\"weight\":0,\"variants\":[" CANARY "]") "," V2));

	(void)state;
	for (unsigned dice = 0; dice < 20; dice++)
		assert_string_equal(chosen(routes, "", dice), "v2");
	routes_unref(routes);
}

#define VARIANTS(list) DOC(V2 "," V1(",\"variants\":[" list "]"))

static void refuses(void **state)
{
	(void)state;
	refuse(DOC(V1(",\"weight\":9")),
	       "upstream v1: weight is for those with variants");
	refuse(DOC(V1(",\"variants\":{}")), "upstream v1: variants must be a list");
	refuse(VARIANTS(""), "variants must be a list of 1 to 8");
	refuse(VARIANTS("7"), "upstream v1: variants[0]: must be an object");
	refuse(VARIANTS("{\"weight\":1}"), "variants[0]: upstream");
	refuse(VARIANTS("{\"upstream\":\"v3\",\"weight\":1}"),
	       "variants[0]: upstream: v3 is unknown");
	refuse(VARIANTS("{\"upstream\":\"v1\",\"weight\":1}"), "a variant of itself");
	refuse(VARIANTS("{\"upstream\":\"v2\"}"), "needs a weight above 0 or headers");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"weight\":-1}"), "variants[0]: weight");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"weight\":1.5}"), "variants[0]: weight");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"wieght\":1}"), "wieght");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"headers\":{}}"), "headers must be");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"headers\":{\"a b\":\"1\"}}"), "'a b'");
	refuse(VARIANTS("{\"upstream\":\"v2\",\"headers\":{\"a\":true}}"), "headers.a");
	refuse(VARIANTS(CANARY "," CANARY), "upstream v1: variants: v2 twice");
	refuse(DOC(V2 "," V1(",\"weight\":0,\"variants\":[{\"upstream\":\"v2\","
			     "\"headers\":{\"a\":\"1\"}}]")),
	       "weight: somebody must get");
	refuse(DOC(V1(",\"variants\":[" CANARY
		      "]") ",\"v2\":{\"endpoints\":\"http://127.0.0.1:"
			   "2\",\"variants\":[{\"upstream\":"
			   "\"v1\",\"weight\":1}]}"),
	       "is itself a variant");
}

/* ---- names ---- */

static void a_name_has_room_for_its_addresses(void **state)
{
	struct routes *routes =
		parse(DOC("\"v1\":{\"endpoints\":\"http://v1:80,http://127.0.0.1:1\","
			  "\"admin\":\"http://v1:90,http://127.0.0.1:2\"}"));
	const struct upstream *upstream = &routes->upstreams[0];

	(void)state;
	assert_int_equal(upstream->n_endpoints, ENDPOINTS_OF_NAME + 1);
	for (unsigned i = 0; i < ENDPOINTS_OF_NAME; i++) {
		assert_int_equal(upstream->endpoints[i]->slot, i);
		assert_int_equal(upstream->endpoints[i]->admin_port, 90);
		assert_null(upstream->endpoints[i]->admin_url);
	}
	assert_string_equal(upstream->endpoints[ENDPOINTS_OF_NAME]->admin_url,
			    "http://127.0.0.1:2");
	routes_unref(routes);
	refuse(DOC("\"v1\":{\"endpoints\":\"http://v1:80\",\"admin\":\"http://v2:90\"}"),
	       "must have the same name");
	refuse(DOC("\"v1\":{\"endpoints\":\"http://a,http://b,http://c\"}"),
	       "too many endpoints");
	refuse(DOC("\"v1\":{\"endpoints\":\"http://v1:80\",\"admin\":\"http://v1:90,"
		   "http://v1:91\"}"),
	       "more admin addresses");
}

/* ---- several files ---- */

static char files[2][32];

static void write_file(int n, const char *text)
{
	FILE *out;
	int fd;

	snprintf(files[n], sizeof(files[n]), "/tmp/routesXXXXXX");
	fd = mkstemp(files[n]);
	out = fdopen(fd, "w");
	fputs(text, out);
	fclose(out);
}

static struct routes *load(const char *first, const char *second, struct err *err)
{
	char both[80];
	struct routes *routes;

	write_file(0, first);
	write_file(1, second);
	snprintf(both, sizeof(both), "%s, %s", files[0], files[1]);
	routes = routes_load(both, err);
	unlink(files[0]);
	unlink(files[1]);
	return routes;
}

static void a_second_file_adds_a_canary(void **state)
{
	struct err err = {0};
	struct routes *routes = load(
		DOC(V1("")),
		"{\"upstreams\":{" V1(",\"variants\":[" CANARY "]") "," V2 "}}", &err);

	(void)state;
	if (!routes)
		fail_msg("%s", err.text);
	assert_string_equal(chosen(routes, "canary: true\r\n", 99), "v2");
	routes_unref(routes);
	assert_null(load(DOC(V1("")), "{\"upstreams\":[]}", &err));
	assert_non_null(strstr(err.text, files[1]));
	assert_null(load(DOC(V1("")), "{\"route\":[]}", &err));
	assert_non_null(strstr(err.text, "route"));
	assert_null(load(DOC(V1("")),
			 "{\"upstreams\":{" V1(",\"variants\":[" CANARY "]") "}}", &err));
	assert_non_null(strstr(err.text, "v2 is unknown"));
	assert_null(load("{", "{}", &err));
	assert_non_null(strstr(err.text, files[0]));
	assert_null(routes_load("", &err));
}

RUN(cmocka_unit_test(weights_share_what_no_header_decides),
    cmocka_unit_test(every_rule_must_match),
    cmocka_unit_test(the_stable_version_may_get_nothing), cmocka_unit_test(refuses),
    cmocka_unit_test(a_name_has_room_for_its_addresses),
    cmocka_unit_test(a_second_file_adds_a_canary))
