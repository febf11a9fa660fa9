/* reservation_answer.c - read product-svc's answers strictly.  Pure. */
#include <inttypes.h>
#include <stdio.h>

#include "js.h"
#include "log.h"
#include "money.h"
#include "reservations.h"

static bool read_line(struct order_line *line, json_t *item, const char *prefix,
		      struct err *err)
{
	struct str product_id, name;
	int64_t quantity;

	if (!js_str_at(item, prefix, "product_id", 1, ORDER_PRODUCT_MAX, &product_id,
		       err) ||
	    !js_str_at(item, prefix, "name", 0, 4096, &name, err) ||
	    !js_int_at(item, prefix, "quantity", 1, ORDER_MAX_QUANTITY, &quantity, err) ||
	    !js_money_at(item, prefix, "unit_price", 0, MONEY_MAX_CENTS,
			 &line->unit_price, err))
		return false;
	if (!str_eqz(product_id, line->product_id) || quantity != line->quantity)
		return err_field(err, prefix, "the answer's lines are not the order's");
	order_set_name(line, name);
	return true;
}

static bool read_reserved(struct order *order, json_t *doc, struct err *err)
{
	json_t *lines = json_object_get(doc, "lines");
	struct str id, state;

	if (!js_str(doc, "reservation_id", ID_HEX_LEN, ID_HEX_LEN, &id, err) ||
	    !js_str(doc, "state", 1, 32, &state, err))
		return false;
	if (!str_eqz(id, order->reservation_id) || !str_eqz(state, "pending"))
		return err_field(err, "state",
				 "the answer is not about a pending reservation");
	if (!json_is_array(lines) || json_array_size(lines) != order->n_lines)
		return err_field(err, "lines", "the answer's lines are not the order's");
	for (unsigned i = 0; i < order->n_lines; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "lines[%u].", i);
		if (!read_line(&order->lines[i], json_array_get(lines, i), prefix, err))
			return false;
	}
	return true;
}

/* "items[3].product_id" counts our sorted lines; the client wants its own field. */
static void name_field(const struct order *order, json_t *problem, struct err *err)
{
	json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
	const char *field = json_string_value(json_object_get(first, "field"));
	const char *close = field ? strchr(field, ']') : NULL;
	uint64_t i;

	if (!close || strncmp(field, "items[", 6) != 0 ||
	    !str_u64((struct str){field + 6, (size_t)(close - field) - 6}, &i) ||
	    i >= order->n_lines)
		return;
	if (order->lines[i].source < 0)
		snprintf(err->field, sizeof(err->field), "product_id");
	else
		snprintf(err->field, sizeof(err->field), "items[%d].product_id",
			 order->lines[i].source);
}

static bool read_shortage(struct order_shortage *shortage, json_t *problem,
			  struct err *err)
{
	struct str product_id, detail;

	memset(shortage, 0, sizeof(*shortage));
	if (!js_str(problem, "product_id", 1, ORDER_PRODUCT_MAX, &product_id, err) ||
	    !js_str(problem, "detail", 0, 4096, &detail, err) ||
	    !js_int(problem, "available", 0, INT64_MAX, &shortage->available, err) ||
	    !js_int(problem, "requested", 0, INT64_MAX, &shortage->requested, err))
		return false;
	str_copy(shortage->product_id, sizeof(shortage->product_id), product_id);
	if (!str_copy(shortage->detail, sizeof(shortage->detail), detail))
		snprintf(shortage->detail, sizeof(shortage->detail),
			 "not enough of product %s in stock", shortage->product_id);
	return true;
}

/* product-svc says so itself, and only when nothing is held: to settle and release
 * all that a full queue turned away would be another avalanche.  (A repetition by
 * the gateway could hide a first try that got through and lost its connection; the
 * janitor finds that one.)  A 503 with another code is the gateway's. */
static bool turned_away(const char *code)
{
	return strcmp(code, "database_busy") == 0 ||
	       strcmp(code, "database_unavailable") == 0;
}

static enum reserve_end read_problem(struct reservation *reservation, int status,
				     json_t *problem, struct err *err)
{
	const char *code = json_string_value(json_object_get(problem, "code"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));

	if (!code)
		code = "";
	if (!detail)
		detail = "";
	if (status == 409 && strcmp(code, "insufficient_stock") == 0)
		return read_shortage(&reservation->shortage, problem, err)
			       ? RESERVE_SHORT
			       : RESERVE_UNKNOWN;
	if (status == 409 && strcmp(code, "order_in_progress") == 0) {
		err_slug(err, ERR_CONFLICT, code,
			 "an earlier attempt of this order is still "
			 "under way; ask again with the same key");
		err->retry_after_s = 1;
		return RESERVE_IN_PROGRESS;
	}
	if (status == 404 && strcmp(code, "product_not_found") == 0) {
		err_slug(err, ERR_NOT_FOUND, code, "%s", detail);
		name_field(reservation->order, problem, err);
		return RESERVE_REFUSED;
	}
	if (status == 503) {
		err_set(err, ERR_BUSY, "stock cannot be reserved just now; try again");
		err->retry_after_s = 1;
		return turned_away(code) ? RESERVE_NOT_SENT : RESERVE_UNKNOWN;
	}
	log_error("product-svc answers strangely", LOG_INT("status", status),
		  LOG_STR("code", code));
	err_set(err, ERR_UPSTREAM, "stock cannot be reserved just now; try again");
	return RESERVE_UNKNOWN;
}

enum reserve_end reservation_read(struct reservation *reservation, int status,
				  json_t *doc, struct err *err)
{
	enum reserve_end end = RESERVE_UNKNOWN;

	if (!json_is_object(doc))
		err_set(err, ERR_INPUT, "the answer is not an object");
	else if (status != 200)
		end = read_problem(reservation, status, doc, err);
	else if (read_reserved(reservation->order, doc, err))
		end = RESERVE_OK;
	if (end == RESERVE_UNKNOWN && err->code == ERR_INPUT) {
		log_error("cannot understand product-svc's answer",
			  LOG_INT("status", status), LOG_STR("why", err->text));
		err_set(err, ERR_UPSTREAM,
			"stock cannot be reserved just now; try again");
	}
	return end;
}

enum reserve_end reservation_read_of_many(struct reservation *reservation, json_t *doc,
					  struct err *err)
{
	json_t *result = json_object_get(json_object_get(doc, "results"),
					 reservation->order->reservation_id);

	return reservation_read(
		reservation, (int)json_integer_value(json_object_get(result, "status")),
		json_object_get(result, "body"), err);
}
