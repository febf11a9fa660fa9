/* test_catalogue.c - the products in memory: order, JSON, versions, memory. */
/* link: product-svc/product.c product-svc/catalogue_index.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "product-svc/catalogue_index.h"

static struct product product_of(const char *id, int64_t version, int64_t stock)
{
	return (struct product){.id = str_from(id),
				.name = STR("Lamp \"x\""),
				.description = STR("l\xc3\xa4mp"),
				.category = STR("home"),
				.price = 1990,
				.stock = stock,
				.version = version,
				.created_at = 1764018802125,
				.updated_at = 1764018802125};
}

static struct catalogue_entry *put(struct catalogue_index *index, const char *id,
				   int64_t version, int64_t stock)
{
	struct product product = product_of(id, version, stock);

	return catalogue_index_put(index, &product);
}

/* What an entry says is what a writer would say, whatever the stock became. */
static void same_json(const struct catalogue_entry *entry, int64_t stock)
{
	char id[PRODUCT_ID_MAX + 1];
	struct product product;
	struct jw w;

	assert_true(str_copy(id, sizeof(id), entry->id));
	product = product_of(id, entry->version, stock);
	product.image_url = STR("/a.svg");
	jw_init(&w, PRODUCT_JSON_MAX);
	product_write(&w, &product);
	assert_true(str_eq(entry->json, jw_text(&w)));
	jw_fini(&w);
}

static void json_follows_the_stock(void **state)
{
	static const int64_t stocks[] = {0, 7, 1000000000000, 10, 0, INT64_MAX, 1};
	struct catalogue_index *index = catalogue_index_new();
	struct product product = product_of("A", 1, 3);
	struct catalogue_entry *entry;

	(void)state;
	product.image_url = STR("/a.svg");
	entry = catalogue_index_put(index, &product);
	same_json(entry, 3);
	for (size_t i = 0; i < ARRAY_LEN(stocks); i++) {
		catalogue_entry_set_stock(entry, stocks[i]);
		same_json(entry, stocks[i]);
	}
	catalogue_index_free(index);
}

static void is_at(const struct catalogue_index *index, const char *after,
		  const char *const *ids)
{
	struct catalogue_entry **first;
	size_t n = catalogue_index_after(index, str_from(after), &first);
	size_t i;

	for (i = 0; ids[i]; i++) {
		assert_true(i < n);
		assert_true(str_eqz(first[i]->id, ids[i]));
	}
	assert_int_equal(i, n);
}

/* As ascii_bin orders them. */
static void ids_are_in_order(void **state)
{
	static const char *const all[] = {"-a", "A", "A.", "AA", "Z", "_", "a", NULL};
	struct catalogue_index *index = catalogue_index_new();

	(void)state;
	for (size_t i = 0; i < 7; i++)
		assert_non_null(put(index, all[(i * 3 + 2) % 7], 1, 1));
	is_at(index, "", all);
	is_at(index, "A", all + 2);
	is_at(index, "AZ", all + 4);
	is_at(index, "a", all + 7);
	catalogue_index_remove(index, STR("A."));
	catalogue_index_remove(index, STR("A."));
	is_at(index, "A", all + 3);
	assert_null(catalogue_index_find(index, STR("A.")));
	assert_true(str_eqz(catalogue_index_find(index, STR("Z"))->id, "Z"));
	catalogue_index_free(index);
}

static void older_versions_lose(void **state)
{
	struct catalogue_index *index = catalogue_index_new();

	(void)state;
	assert_non_null(put(index, "A", 5, 1));
	assert_null(put(index, "A", 4, 9));
	assert_string_equal(catalogue_index_find(index, STR("A"))->etag, "\"5\"");
	assert_non_null(put(index, "A", 5, 2));
	assert_non_null(put(index, "A", 6, 2));
	assert_string_equal(catalogue_index_find(index, STR("A"))->etag, "\"6\"");
	assert_int_equal(catalogue_index_count(index), 1);
	catalogue_index_free(index);
}

/* The limit counts on it: nothing is lost or counted twice. */
static void bytes_return_to_zero(void **state)
{
	struct catalogue_index *index = catalogue_index_new();
	size_t one;
	char id[16];

	(void)state;
	assert_int_equal(catalogue_index_bytes(index), 0);
	put(index, "P000", 1, 1);
	one = catalogue_index_bytes(index);
	assert_true(one > sizeof(struct catalogue_entry) + 200 && one < 1000);
	for (int i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "P%03d", i);
		catalogue_entry_set_stock(put(index, id, 2, 1), 1000000);
	}
	assert_int_equal(catalogue_index_bytes(index), 500 * one);
	for (int i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "P%03d", i);
		catalogue_index_remove(index, str_from(id));
	}
	assert_int_equal(catalogue_index_bytes(index), 0);
	assert_int_equal(catalogue_index_count(index), 0);
	catalogue_index_free(index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_follows_the_stock),
		cmocka_unit_test(ids_are_in_order),
		cmocka_unit_test(older_versions_lose),
		cmocka_unit_test(bytes_return_to_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
