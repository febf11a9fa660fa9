/*
 * product_http.c - reading the catalogue; open to anyone.
 *
 * The tag of an answer stands for what is sold, not for how many are left: a
 * tag that changed with every order would make no copy worth keeping.  Who
 * needs the true stock asks without If-None-Match.
 */
#include <stdio.h>

#include "app.h"
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

static bool client_has(struct http_req *req, const char *etag)
{
	struct str header = http_header(req, "If-None-Match");

	return header.at && product_etag_listed(header, etag, true);
}

/* GET /api/products/:id   find -> reply */

struct finding {
	struct http_req *req; /* also owns this struct */
	struct product_find find;
};

static void find_found(const struct err *err, void *arg);

static void find_done(void *arg)
{
	struct finding *f = arg;

	product_rows_fini(&f->find.rows);
}

void get_product(struct http_req *req, void *arg)
{
	struct finding *f = http_alloc(req, sizeof(*f));
	struct app *app = arg;

	f->req = req;
	f->find.owner = f;
	if (!product_id_of(req, &f->find.id))
		return;
	http_on_done(req, find_done, f);
	http_action(req, "reading a product");
	product_repo_find(app->db, &f->find, find_found);
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

/* GET /api/products   check -> list -> reply */

struct listing {
	struct http_req *req; /* also owns this struct */
	char pattern[PRODUCT_PATTERN_MAX];
	struct product_list list;
};

static void list_found(const struct err *err, void *arg);

static void list_done(void *arg)
{
	struct listing *l = arg;

	product_rows_fini(&l->list.rows);
}

static bool list_check(struct http_req *req, struct listing *l, struct err *err)
{
	struct str cursor = http_query(req, "cursor");

	l->list.pattern = l->pattern;
	l->list.category = http_query(req, "category");
	l->list.after = cursor.at ? cursor : STR("");
	l->list.limit = LIMIT_DEFAULT;
	if (cursor.at && !product_id_ok(cursor))
		return err_field(err, "cursor",
				 "cursor must be the next_cursor of an earlier answer");
	if (l->list.category.len > CATEGORY_BYTES)
		return err_field(err, "category", "category is too long");
	if (!product_pattern(l->pattern, http_query(req, "q")))
		return err_field(err, "q", "q is too long");
	return http_query_int(req, "limit", 1, PRODUCT_PAGE_MAX, &l->list.limit, err);
}

void list_products(struct http_req *req, void *arg)
{
	struct listing *l = http_alloc(req, sizeof(*l));
	struct app *app = arg;
	struct err err;

	l->req = req;
	l->list.owner = l;
	if (!list_check(req, l, &err)) {
		http_reply_err(req, &err);
		return;
	}
	http_on_done(req, list_done, l);
	http_action(req, "listing products");
	product_repo_list(app->db, &l->list, list_found);
}

/* Of the ids and versions on the page, and whether another follows. */
static void page_etag(char dst[PRODUCT_ETAG_MAX], const struct product_list *list)
{
	unsigned char sum[32];
	char line[PRODUCT_ID_MAX + 32], hex[17];
	unsigned char chain[32 + sizeof(line)] = {0};

	for (size_t i = 0; i < list->n; i++) {
		struct product product = product_from_row(list->rows, i);
		int len = snprintf(line, sizeof(line), STR_FMT ":%lld",
				   STR_ARG(product.id), (long long)product.version);

		memcpy(chain + 32, line, (size_t)len);
		id_sha256(sum, chain, 32 + (size_t)len);
		memcpy(chain, sum, sizeof(sum));
	}
	str_hex(hex, chain, 8);
	snprintf(dst, PRODUCT_ETAG_MAX, "\"%s%s\"", hex, list->more ? "+" : "");
}

static void write_page(struct jw *w, const struct product_list *list)
{
	struct product product = {0};

	jw_object(w);
	jw_key(w, "products");
	jw_array(w);
	for (size_t i = 0; i < list->n; i++) {
		product = product_from_row(list->rows, i);
		product_write(w, &product);
	}
	jw_end(w);
	jw_key(w, "next_cursor");
	if (list->more)
		jw_str(w, product.id);
	else
		jw_null(w);
	jw_end(w);
}

static void list_found(const struct err *err, void *arg)
{
	struct product_list *list = arg;
	struct listing *l = list->owner;
	char etag[PRODUCT_ETAG_MAX];
	struct jw w;

	if (err) {
		http_reply_err(l->req, err);
		return;
	}
	page_etag(etag, list);
	set_cache_headers(l->req, etag);
	if (client_has(l->req, etag)) {
		http_reply_empty(l->req, 304);
		return;
	}
	jw_init(&w, LIST_MAX);
	write_page(&w, list);
	http_reply_jw(l->req, 200, &w);
}
