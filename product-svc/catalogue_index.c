/* catalogue_index.c - a sorted array of entries, each one block of memory. */
#include "catalogue_index.h"

#include <stdlib.h>

/* What malloc() and the array take beside the entry itself. */
#define ENTRY_EXTRA 24
#define FIRST_CAP   64

struct catalogue_index {
	struct catalogue_entry **entries;
	size_t n, cap, bytes;
};

struct catalogue_index *catalogue_index_new(void)
{
	struct catalogue_index *index = xcalloc(1, sizeof(*index));

	index->cap = FIRST_CAP;
	index->entries = xcalloc(index->cap, sizeof(struct catalogue_entry *));
	return index;
}

void catalogue_index_free(struct catalogue_index *index)
{
	if (!index)
		return;
	for (size_t i = 0; i < index->n; i++)
		free(index->entries[i]);
	free(index->entries);
	free(index);
}

static int compare(struct str a, struct str b)
{
	int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

/* Index of the first entry whose id is not less than `id`. */
static size_t lower_bound(const struct catalogue_index *index, struct str id)
{
	size_t from = 0, to = index->n;

	/* A load comes in order. */
	if (to && compare(index->entries[to - 1]->id, id) < 0)
		return to;
	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(index->entries[middle]->id, id) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool is_at(const struct catalogue_index *index, size_t at, struct str id)
{
	return at < index->n && str_eq(index->entries[at]->id, id);
}

static struct catalogue_entry *entry_new(const struct product *product)
{
	struct catalogue_entry *entry;
	size_t begin, end, bytes;
	struct str json;
	struct jw w;

	jw_init(&w, PRODUCT_JSON_MAX);
	product_write_marked(&w, product, &begin, &end);
	json = jw_text(&w);
	bytes = sizeof(*entry) + product->id.len + json.len + PRODUCT_STOCK_TEXT;
	entry = xcalloc(1, bytes);
	entry->bytes = bytes + ENTRY_EXTRA;
	memcpy(entry->text, product->id.at, product->id.len);
	memcpy(entry->text + product->id.len, json.at, json.len);
	entry->id = (struct str){entry->text, product->id.len};
	entry->json = (struct str){entry->text + product->id.len, json.len};
	entry->stock_at = begin;
	entry->stock_len = end - begin;
	entry->version = product->version;
	product_etag(entry->etag, product->version);
	jw_fini(&w);
	return entry;
}

static void insert_at(struct catalogue_index *index, size_t at,
		      struct catalogue_entry *entry)
{
	if (index->n == index->cap) {
		index->cap *= 2;
		index->entries = xrealloc(index->entries,
					  index->cap * sizeof(struct catalogue_entry *));
	}
	memmove(index->entries + at + 1, index->entries + at,
		(index->n - at) * sizeof(struct catalogue_entry *));
	index->entries[at] = entry;
	index->n++;
}

struct catalogue_entry *catalogue_index_put(struct catalogue_index *index,
					    const struct product *product)
{
	size_t at = lower_bound(index, product->id);
	struct catalogue_entry *entry;

	if (is_at(index, at, product->id)) {
		struct catalogue_entry *old = index->entries[at];

		if (old->version > product->version)
			return NULL;
		entry = entry_new(product);
		entry->wanted = old->wanted;
		index->bytes -= old->bytes;
		index->entries[at] = entry;
		free(old);
	} else {
		entry = entry_new(product);
		insert_at(index, at, entry);
	}
	index->bytes += entry->bytes;
	return entry;
}

void catalogue_index_remove(struct catalogue_index *index, struct str id)
{
	size_t at = lower_bound(index, id);

	if (!is_at(index, at, id))
		return;
	index->bytes -= index->entries[at]->bytes;
	free(index->entries[at]);
	index->n--;
	memmove(index->entries + at, index->entries + at + 1,
		(index->n - at) * sizeof(struct catalogue_entry *));
}

struct catalogue_entry *catalogue_index_find(const struct catalogue_index *index,
					     struct str id)
{
	size_t at = lower_bound(index, id);

	return is_at(index, at, id) ? index->entries[at] : NULL;
}

size_t catalogue_index_after(const struct catalogue_index *index, struct str after,
			     struct catalogue_entry ***first)
{
	size_t at = lower_bound(index, after);

	at += is_at(index, at, after);
	*first = index->entries + at;
	return index->n - at;
}

void catalogue_entry_set_stock(struct catalogue_entry *entry, int64_t stock)
{
	char *json = entry->text + entry->id.len;
	size_t after = entry->stock_at + entry->stock_len;
	char text[PRODUCT_STOCK_TEXT];
	size_t len = product_stock_text(text, stock);

	memmove(json + entry->stock_at + len, json + after, entry->json.len - after);
	memcpy(json + entry->stock_at, text, len);
	entry->json.len += len - entry->stock_len;
	entry->stock_len = len;
}

size_t catalogue_index_count(const struct catalogue_index *index)
{
	return index->n;
}

size_t catalogue_index_bytes(const struct catalogue_index *index)
{
	return index->bytes;
}
