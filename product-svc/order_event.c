/* order_event.c - read a record of orders-events. */
#include "order_event.h"

#include "js.h"

static enum order_event_kind kind_of(json_t *doc)
{
	json_t *type = json_object_get(doc, "type");
	const char *name = json_string_value(type);

	if (!type)
		return ORDER_EVENT_CREATED;
	if (!name)
		return ORDER_EVENT_POISON;
	if (strcmp(name, "order.created") == 0)
		return ORDER_EVENT_CREATED;
	if (strcmp(name, "order.cancelled") == 0)
		return ORDER_EVENT_CANCELLED;
	return ORDER_EVENT_IGNORED;
}

static enum order_event_kind read_event(json_t *doc, struct order_event *event,
					struct err *err)
{
	enum order_event_kind kind = kind_of(doc);
	struct str id;

	if (kind == ORDER_EVENT_POISON)
		err_field(err, "type", "type must be a string");
	if (kind == ORDER_EVENT_POISON || kind == ORDER_EVENT_IGNORED)
		return kind;
	if (!js_int(doc, "order_id", 1, INT64_MAX, &event->order_id, err))
		return ORDER_EVENT_POISON;
	/* Events of older producers have five fields and held no stock. */
	if (!js_has(doc, "reservation_id"))
		return ORDER_EVENT_IGNORED;
	if (!js_str(doc, "reservation_id", ID_HEX_LEN, ID_HEX_LEN, &id, err))
		return ORDER_EVENT_POISON;
	if (!id_valid(id)) {
		err_field(err, "reservation_id", "reservation_id must be 32 hex digits");
		return ORDER_EVENT_POISON;
	}
	str_copy(event->reservation_id, sizeof(event->reservation_id), id);
	return kind;
}

enum order_event_kind order_event_read(struct str value, struct order_event *event,
				       struct err *err)
{
	enum order_event_kind kind;
	json_t *doc;

	memset(event, 0, sizeof(*event));
	if (!value.at) {
		err_set(err, ERR_INPUT, "the record has no value");
		return ORDER_EVENT_POISON;
	}
	doc = js_parse_object(value, err);
	kind = doc ? read_event(doc, event, err) : ORDER_EVENT_POISON;
	json_decref(doc);
	return kind;
}
