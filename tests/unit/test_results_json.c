/* test_results_json.c - records survive writing and reading; damage does not. */
/* link: processor/results_json.c processor/results_load.c processor/results_scan.c */
/* link: processor/partition_state.c processor/user_state.c */
/* link: processor/window_state.c processor/seq_window.c */
/* link: processor/partitioner.c */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "processor/partitioner.h"
#include "processor/results_json.h"
#include "processor/results_scan.h"

#define PARTITIONS 12

static char text[RESULTS_VALUE_MAX], key[RESULTS_KEY_MAX];
static struct jw w;
static struct err err;

static int32_t home(void)
{
	return partitioner_of(STR("7"), PARTITIONS);
}

static bool load(struct state *s, struct str k, const char *value)
{
	return results_load(s, PARTITIONS, k, str_from(value), &err);
}

static void user_survives(void **state)
{
	struct state *s = state_new(home(), 10);
	struct recent recent = {.n = 2, .id = {5, -6}};
	struct user user = {.user_id = 7,
			    .version = 12,
			    .orders = 6,
			    .cents = 3139986,
			    .last_order_ms = 1764018802123,
			    .window_s = 1764018780,
			    .seq = {17, 0x8000000000000002u},
			    .recent = &recent};
	const struct user *back;

	(void)state;
	jw_init_fixed(&w, text, sizeof(text));
	results_user(&w, &user);
	assert_true(jw_ok(&w));
	assert_string_equal(jw_text(&w).at,
			    "{\"v\":12,\"user_id\":7,\"orders\":6,\"spent\":31399.86,"
			    "\"last_order_at\":\"2025-11-24T21:13:22.123Z\",\"seq\":17,"
			    "\"seen\":\"8000000000000002\",\"recent\":[5,-6],"
			    "\"window\":1764018780}");
	assert_true(load(s, results_user_key(key, 7), text));
	assert_true(load(s, results_user_key(key, 7), text));
	back = state_user(s, 7);
	assert_int_equal(state_users(s), 1);
	assert_int_equal(back->cents, user.cents);
	assert_int_equal(back->last_order_ms, user.last_order_ms);
	assert_int_equal(back->seq.seen, user.seq.seen);
	assert_int_equal(back->recent->id[1], -6);
	assert_int_equal(back->version, 12);
	state_free(s);
}

/* Loads a user's record into a state of its own. NULL: refused. */
static struct state *loaded(const char *value, size_t len)
{
	struct state *s = state_new(home(), 10);

	if (results_load(s, PARTITIONS, results_user_key(key, 7),
			 (struct str){value, len}, &err))
		return s;
	state_free(s);
	return NULL;
}

/* White space in front keeps the quick reading out; all the same to the general one. */
static void same_as_general(const char *value, size_t len)
{
	char longer[RESULTS_VALUE_MAX + 1] = " ";
	struct state *quick = loaded(value, len), *general;

	memcpy(longer + 1, value, len);
	general = loaded(longer, len + 1);
	assert_int_equal(!!quick, !!general);
	if (quick) {
		struct user a = *state_user(quick, 7), b = *state_user(general, 7);

		a.next = b.next = NULL;
		assert_memory_equal(&a, &b, sizeof(a));
	}
	state_free(quick);
	state_free(general);
}

/* Or a restart with many users would be slow, and nobody would see why. */
static void users_are_read_quickly(void **state)
{
	struct user user = {.user_id = 7,
			    .version = 12,
			    .orders = -6,
			    .cents = -3139986,
			    .last_order_ms = 1764018802123,
			    .window_s = 1764018780,
			    .seq = {17, 0x8000000000000002u}};
	struct user back;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct str value;

		jw_init_fixed(&w, text, sizeof(text));
		results_user(&w, &user);
		value = jw_text(&w);
		assert_true(results_scan_user(value, &back));
		assert_memory_equal(&user, &back, sizeof(user));
		for (size_t at = 0; at < value.len; at++) {
			static const char bytes[] = "\"\\{},:. 0195-+enx\x01\xc3";
			char kept = text[at];

			for (size_t b = 0; b < sizeof(bytes); b++) {
				text[at] = bytes[b];
				same_as_general(text, value.len);
			}
			text[at] = kept;
			same_as_general(text, at);
		}
		user.last_order_ms = -1;
	}
}

static void largest_user_fits(void **state)
{
	struct recent recent = {.n = STATE_RECENT};
	struct user user = {.user_id = INT64_MAX,
			    .version = INT64_MAX,
			    .orders = INT64_MIN,
			    .cents = -STATE_MAX_CENTS,
			    .last_order_ms = 253402300799999,
			    .window_s = INT64_MAX,
			    .seq = {INT64_MAX, UINT64_MAX},
			    .recent = &recent};

	(void)state;
	for (int i = 0; i < STATE_RECENT; i++)
		recent.id[i] = -INT64_MAX;
	jw_init_fixed(&w, text, sizeof(text));
	results_user(&w, &user);
	assert_true(jw_ok(&w));
}

static void survives_exactly(struct state *s, int64_t cents)
{
	struct user user = {.user_id = 7, .version = 1, .cents = cents};

	jw_init_fixed(&w, text, sizeof(text));
	results_user(&w, &user);
	assert_true(load(s, results_user_key(key, 7), jw_text(&w).at));
	assert_int_equal(state_user(s, 7)->cents, cents);
}

static void sums_are_exact(void **state)
{
	static const int64_t sums[] = {0,
				       1,
				       -1,
				       99,
				       101,
				       999999999999,
				       STATE_MAX_CENTS,
				       -STATE_MAX_CENTS,
				       STATE_MAX_CENTS - 1,
				       123456789012345};
	struct state *s = state_new(home(), 10);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sums); i++)
		survives_exactly(s, sums[i]);
	/* All the way up: near the end a double has little room below the cent. */
	for (int64_t cents = 1; cents < STATE_MAX_CENTS; cents += cents / 500 + 1) {
		survives_exactly(s, cents);
		survives_exactly(s, -cents);
		survives_exactly(s, STATE_MAX_CENTS - cents);
	}
	state_free(s);
}

static void window_survives(void **state)
{
	struct state *s = state_new(4, 10);
	struct window win = {.start_s = 1764018780,
			     .version = 3,
			     .orders = 5,
			     .revenue = 9995,
			     .cancelled = 1,
			     .refunded = 1999,
			     .users = 4,
			     .final = true};
	struct str k;

	(void)state;
	jw_init_fixed(&w, text, sizeof(text));
	results_window(&w, &win, 4);
	assert_string_equal(jw_text(&w).at,
			    "{\"v\":3,\"start\":1764018780,\"partition\":4,\"orders\":5,"
			    "\"revenue\":99.95,\"cancelled\":1,\"refunded\":19.99,"
			    "\"users\":4,\"final\":true}");
	k = results_window_key(key, win.start_s, 4);
	assert_string_equal(k.at, "w:1764018780:4");
	assert_true(load(s, k, text));
	assert_int_equal(state_window(s, win.start_s)->refunded, 1999);
	assert_true(state_window(s, win.start_s)->final);
	assert_true(results_load(s, PARTITIONS, k, STR_NONE, &err));
	assert_int_equal(state_windows(s), 0);
	state_free(s);
}

static void totals_survive(void **state)
{
	struct state *s = state_new(4, 10);
	struct totals totals = {.version = 9,
				.watermark_ms = 1764018802123,
				.next = 77,
				.late = {1, 2, 3, 4},
				.folded = {5, 6, 7, 8}};

	(void)state;
	jw_init_fixed(&w, text, sizeof(text));
	results_totals(&w, &totals, 4);
	assert_true(jw_ok(&w));
	assert_true(load(s, results_totals_key(key, 4), jw_text(&w).at));
	assert_memory_equal(state_totals(s), &totals, sizeof(totals));
	state_free(s);
}

#define WINDOW                                                                 \
	"{\"v\":3,\"start\":60,\"partition\":4,\"orders\":5,\"revenue\":1.00," \
	"\"cancelled\":1,\"refunded\":1,\"users\":4,\"final\":true}"

static void damage_is_refused(void **state)
{
	static const struct {
		const char *key, *value, *says;
	} bad[] = {
		{"x:1", "{}", "unknown kind"},
		{"u:", "{}", "unknown kind"},
		{"w:60", WINDOW, "unknown kind"},
		{"w:60:4", "{\"v\":3,", "JSON"},
		{"w:60:4", "{}", "agree"},
		{"w:120:4", WINDOW, "agree"},
		{"w:60:5", WINDOW, "another partition"},
		{"p:5", "{}", "another partition"},
		{"p:4", "{\"partition\":4}", "v is missing"},
		{"u:7", NULL, "deleted"},
		{"p:4", NULL, "deleted"},
		{"u:7", "{\"user_id\":7,\"v\":0}", "v must be"},
		{"u:7",
		 "{\"v\":1,\"user_id\":7,\"orders\":1,\"spent\":1.00,"
		 "\"last_order_at\":null,\"seq\":0,\"seen\":\"0000000000000000\","
		 "\"window\":0}",
		 "number of partitions was changed"},
	};
	struct state *s = state_new(4, 10);

	(void)state;
	assert_int_not_equal(home(), 4);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(load(s, str_from(bad[i].key), bad[i].value));
		if (!strstr(err.text, bad[i].says) || !strstr(err.text, bad[i].key))
			fail_msg("%s %s: %s", bad[i].key, bad[i].says, err.text);
	}
	assert_true(load(s, STR("w:60:4"), WINDOW));
	state_free(s);
}

RUN(cmocka_unit_test(user_survives), cmocka_unit_test(users_are_read_quickly),
    cmocka_unit_test(largest_user_fits), cmocka_unit_test(sums_are_exact),
    cmocka_unit_test(window_survives), cmocka_unit_test(totals_survive),
    cmocka_unit_test(damage_is_refused))
