/*
 * product_http.c - reading the catalogue; open to anyone.
 *
 * Answers come from the copy in memory (catalogue.c) where it has them: one product,
 * and pages without a filter.  Filters compare as the database does (case, accents),
 * so it runs them.  A search reads until its page is full, which may be the whole
 * catalogue, and anybody may ask for it: searches have connections of their own, so that
 * those who sell, and the copy, find theirs free.
 *
 * The tag of an answer stands for what is sold, not for how many are left: a
 * tag that changed with every order would make no copy worth keeping.  Who
 * needs the true stock asks without If-None-Match, and with Cache-Control: no-cache.
 */
#include <stdio.h>

#include "app.h"
#include "http_lists.h"
#include "id.h"
#include "product_repo.h"

#define LIMIT_DEFAULT  50
#define CATEGORY_BYTES 256
#define LIST_MAX       (4 * 1024 * 1024)

static void set_cache_headers(struct http_req *req, const char *etag)
{
	http_set_header(req, "ETag", etag);
	http_set_header(req, "Cache-Control", "no-cache");
}

/* RFC 9111 section 5.1; the warning is for people. */
static void set_age(struct http_req *req, const struct catalogue_reader *reader)
{
	char text[24];

	if (!reader->stale)
		return;
	snprintf(text, sizeof(text), "%lld", (long long)reader->age_s);
	http_set_header(req, "Age", text);
	http_set_header(req, "Warning", "110 - \"the database is away\"");
}

static bool client_has(struct http_req *req, const char *etag)
{
	struct str header = http_header(req, "If-None-Match");

	return header.at && http_etag_listed(header, str_from(etag), true);
}

/* GET /api/products/:id   look into the copy -> (wait -> again) -> find -> reply */

struct finding {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct catalogue_reader reader;
	struct product_find find;
};

static void find_in_copy(void *arg);
static void find_found(const struct err *err, void *arg);

static void find_done(void *arg)
{
	struct finding *f = arg;

	product_rows_fini(&f->find.rows);
}

void get_product(struct http_req *req, void *arg)
{
	struct finding *f = http_alloc(req, sizeof(*f));

	f->req = req;
	f->app = arg;
	f->find.owner = f;
	f->reader.exact = product_wants_exact(http_header(req, "Cache-Control"));
	if (product_id_of(req, &f->find.id))
		find_in_copy(f);
}

static void reply_entry(struct finding *f, const struct catalogue_entry *entry)
{
	set_cache_headers(f->req, entry->etag);
	set_age(f->req, &f->reader);
	if (client_has(f->req, entry->etag))
		http_reply_empty(f->req, 304);
	else
		http_reply_json(f->req, 200, entry->json);
}

static void find_in_copy(void *arg)
{
	struct finding *f = arg;
	struct catalogue *catalogue = f->app->catalogue;
	struct catalogue_entry *entry;

	http_action(f->req, "reading a product");
	switch (catalogue_find(catalogue, f->find.id, &f->reader, &entry)) {
	case CATALOGUE_HIT: reply_entry(f, entry); break;
	case CATALOGUE_WAIT:
		f->reader.since = catalogue_wait(catalogue, find_in_copy, f);
		break;
	case CATALOGUE_DATABASE:
		http_on_done(f->req, find_done, f);
		product_repo_find(f->app->db, &f->find, find_found);
	}
}

static void find_found(const struct err *err, void *arg)
{
	struct product_find *find = arg;
	struct finding *f = find->owner;
	char etag[PRODUCT_ETAG_MAX];
	struct jw w;

	if (err) {
		http_reply_err(f->req, err);
		return;
	}
	if (find->end == PRODUCT_MISSING) {
		reply_no_product(f->req, find->id);
		return;
	}
	product_etag(etag, find->product.version);
	set_cache_headers(f->req, etag);
	if (client_has(f->req, etag)) {
		http_reply_empty(f->req, 304);
		return;
	}
	jw_init(&w, PRODUCT_JSON_MAX);
	product_write(&w, &find->product);
	http_reply_jw(f->req, 200, &w);
}

/* GET /api/products   check -> look into the copy -> (wait -> again) -> list -> reply */

struct listing {
	struct http_req *req; /* also owns this struct */
	struct app *app;
	struct catalogue_reader reader;
	bool filtered, searches;
	char pattern[PRODUCT_PATTERN_MAX];
	struct product_list list;
};

static void list_in_copy(void *arg);
static void list_found(const struct err *err, void *arg);

static void list_done(void *arg)
{
	struct listing *l = arg;

	product_rows_fini(&l->list.rows);
}

static bool list_check(struct http_req *req, struct listing *l, struct err *err)
{
	struct str cursor, q;

	if (!http_query_text(req, "cursor", &cursor, err) ||
	    !http_query_text(req, "q", &q, err) ||
	    !http_query_text(req, "category", &l->list.category, err))
		return false;
	l->list.pattern = l->pattern;
	l->list.after = cursor.at ? cursor : STR("");
	l->list.limit = LIMIT_DEFAULT;
	l->searches = q.len > 0;
	l->filtered = l->list.category.at || l->searches;
	if (cursor.at && !product_id_ok(cursor))
		return err_field(err, "cursor",
				 "cursor must be the next_cursor of an earlier answer");
	if (l->list.category.len > CATEGORY_BYTES)
		return err_field(err, "category", "category is too long");
	if (!product_pattern(l->pattern, q))
		return err_field(err, "q", "q is too long");
	return http_query_int(req, "limit", 1, PRODUCT_PAGE_MAX, &l->list.limit, err);
}

static void list_query(struct listing *l)
{
	struct app *app = l->app;

	http_on_done(l->req, list_done, l);
	product_repo_list(l->searches ? app->searching : app->db, &l->list, list_found);
}

void list_products(struct http_req *req, void *arg)
{
	struct listing *l = http_alloc(req, sizeof(*l));
	struct err err;

	l->req = req;
	l->app = arg;
	l->list.owner = l;
	l->reader.exact = product_wants_exact(http_header(req, "Cache-Control"));
	http_action(req, "listing products");
	if (!list_check(req, l, &err))
		http_reply_err(req, &err);
	else if (l->filtered)
		list_query(l);
	else
		list_in_copy(l);
}

/* What a page is made of, from wherever. */
struct page {
	size_t n;
	bool more;
	struct catalogue_entry **entries; /* from the copy, or */
	const struct db_rows *rows;       /* from the database */
};

/* Of the ids and versions on the page, and whether another follows. */
static void page_etag(char dst[PRODUCT_ETAG_MAX], const struct page *page)
{
	char text[PRODUCT_PAGE_MAX * (PRODUCT_ID_MAX + 24)];
	unsigned char sum[32];
	char hex[17];
	size_t len = 0;

	for (size_t i = 0; i < page->n; i++) {
		struct product product = {0};

		if (page->entries) {
			product.id = page->entries[i]->id;
			product.version = page->entries[i]->version;
		} else {
			product = product_from_row(page->rows, i);
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len, STR_FMT ":%lld,",
					STR_ARG(product.id), (long long)product.version);
	}
	id_sha256(sum, text, len);
	str_hex(hex, sum, 8);
	snprintf(dst, PRODUCT_ETAG_MAX, "\"%s%s\"", hex, page->more ? "+" : "");
}

/* Returns the last id. */
static struct str write_products(struct jw *w, const struct page *page)
{
	struct product product = {0};

	for (size_t i = 0; i < page->n; i++) {
		if (page->entries) {
			jw_raw(w, page->entries[i]->json);
			product.id = page->entries[i]->id;
		} else {
			product = product_from_row(page->rows, i);
			product_write(w, &product);
		}
	}
	return product.id;
}

static void reply_page(struct listing *l, const struct page *page)
{
	char etag[PRODUCT_ETAG_MAX];
	struct str last;
	struct jw w;

	page_etag(etag, page);
	set_cache_headers(l->req, etag);
	set_age(l->req, &l->reader);
	if (client_has(l->req, etag)) {
		http_reply_empty(l->req, 304);
		return;
	}
	jw_init(&w, LIST_MAX);
	jw_object(&w);
	jw_key(&w, "products");
	jw_array(&w);
	last = write_products(&w, page);
	jw_end(&w);
	jw_key(&w, "next_cursor");
	if (page->more)
		jw_str(&w, last);
	else
		jw_null(&w);
	jw_end(&w);
	http_reply_jw(l->req, 200, &w);
}

static void list_in_copy(void *arg)
{
	struct listing *l = arg;
	struct catalogue *catalogue = l->app->catalogue;
	struct page page = {0};

	switch (catalogue_page(catalogue, l->list.after, (size_t)l->list.limit,
			       &l->reader, &page.entries, &page.n, &page.more)) {
	case CATALOGUE_HIT: reply_page(l, &page); break;
	case CATALOGUE_WAIT:
		l->reader.since = catalogue_wait(catalogue, list_in_copy, l);
		break;
	case CATALOGUE_DATABASE: list_query(l);
	}
}

static void list_found(const struct err *err, void *arg)
{
	struct product_list *list = arg;
	struct listing *l = list->owner;
	struct page page = {.rows = list->rows, .n = list->n, .more = list->more};

	if (err)
		http_reply_err(l->req, err);
	else
		reply_page(l, &page);
}
