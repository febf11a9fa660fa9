/* routes.c - what product-svc may be asked, and answers that several share. */
#include "app.h"

const struct http_route product_routes[] = {
	{"GET", "/api/products", list_products},
	{"GET", "/api/products/:id", get_product},
	{"POST", "/api/products", create_product},
	{"PUT", "/api/products/:id", replace_product},
	{"DELETE", "/api/products/:id", remove_product},
	{"POST", "/api/products/:id/stock", change_stock},
	{"PUT", "/internal/reservations", put_reservations},
	{"PUT", "/internal/reservations/:id", put_reservation},
	{"PUT", "/internal/reservations/:id/release", put_release},
	{0},
};

void reply_no_product(struct http_req *req, struct str id)
{
	struct err err;

	err_slug(&err, ERR_NOT_FOUND, "product_not_found",
		 "there is no product \"" STR_FMT "\"", STR_ARG(id));
	http_reply_err(req, &err);
}

bool product_id_of(struct http_req *req, struct str *id)
{
	*id = http_param(req, "id");
	if (product_id_ok(*id))
		return true;
	if (id->len > PRODUCT_ID_MAX)
		id->len = 0;
	reply_no_product(req, *id);
	return false;
}

bool reservation_id_of(struct http_req *req, char dst[ID_HEX_LEN + 1])
{
	struct str id = http_param(req, "id");
	struct err err;

	if (id_valid(id))
		return str_copy(dst, ID_HEX_LEN + 1, id);
	err_field(&err, "id", "a reservation id has 32 hex digits");
	http_reply_err(req, &err);
	return false;
}

void reply_shortage(struct http_req *req, const struct shortage *shortage)
{
	char text[1024];
	struct jw w;

	jw_init_fixed(&w, text, sizeof(text));
	shortage_write(&w, shortage, http_request_id(req));
	http_reply(req, 409, "application/problem+json", jw_text(&w));
}
