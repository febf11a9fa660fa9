/* notification.c - texts, states and pauses of notifications. */
#include "notification.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "id.h"
#include "js.h"
#include "money.h"
#include "timeutil.h"

#define PAUSE_FIRST_MS 500
#define PAUSE_MAX_MS   600000
#define MAX_LINES      50
#define KEY_MAX        255

void notice_fini(struct notice *notice)
{
	free(notice->subject);
	free(notice->body);
	notice->subject = notice->body = NULL;
}

/* ---- from an event ---- */

struct event {
	int64_t order_id, user_id, price, quantity, at_ms;
	struct str currency;
	bool cancelled;
	json_t *items;
};

static bool read_time(json_t *doc, int64_t *at_ms, struct err *err)
{
	struct str text;

	if (!js_str(doc, "timestamp", 1, TIME_TEXT_MAX, &text, err))
		return false;
	return time_parse(text, at_ms) ||
	       err_field(err, "timestamp", "timestamp is no time");
}

static bool read_event(json_t *doc, struct event *event, struct err *err)
{
	event->currency = STR("USD");
	event->items = json_object_get(doc, "items");
	if (event->items && !json_is_array(event->items))
		return err_field(err, "items", "items must be a list");
	if (js_has(doc, "currency") &&
	    !js_str(doc, "currency", 3, 3, &event->currency, err))
		return false;
	return js_int(doc, "order_id", 1, INT64_MAX, &event->order_id, err) &&
	       js_int(doc, "user_id", 1, INT64_MAX, &event->user_id, err) &&
	       js_money(doc, "price", 0, MONEY_MAX_CENTS, &event->price, err) &&
	       js_int(doc, "quantity", 0, INT64_MAX, &event->quantity, err) &&
	       read_time(doc, &event->at_ms, err);
}

/* An old event has no id of its own; it can only be about a new order. */
static bool read_ids(json_t *doc, const struct event *event, const char *type,
		     struct notice *out, struct err *err)
{
	struct str id;

	snprintf(out->type, sizeof(out->type), "%s", type);
	snprintf(out->event_id, sizeof(out->event_id), "order:%" PRId64 ":%s",
		 event->order_id, event->cancelled ? "cancelled" : "created");
	if (!js_has(doc, "event_id"))
		return true;
	if (!js_str(doc, "event_id", 1, NOTICE_EVENT_MAX, &id, err))
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (id.at[i] <= ' ' || id.at[i] > '~')
			return err_field(err, "event_id", "event_id must be plain ASCII");
	return str_copy(out->event_id, sizeof(out->event_id), id);
}

static bool write_line(FILE *text, json_t *item, struct err *err)
{
	char price[MONEY_TEXT_MAX];
	struct str product;
	int64_t quantity, cents;

	if (!js_str_at(item, "items[].", "product_id", 1, 64, &product, err) ||
	    !js_int_at(item, "items[].", "quantity", 1, INT64_MAX, &quantity, err) ||
	    !js_money_at(item, "items[].", "unit_price", 0, MONEY_MAX_CENTS, &cents, err))
		return false;
	money_format(price, cents);
	fprintf(text, "  %" PRId64 " x " STR_FMT "  at %s\n", quantity, STR_ARG(product),
		price);
	return true;
}

static bool write_lines(FILE *text, const struct event *event, struct err *err)
{
	size_t n = json_array_size(event->items);

	for (size_t i = 0; i < n && i < MAX_LINES; i++)
		if (!write_line(text, json_array_get(event->items, i), err))
			return false;
	if (n > MAX_LINES)
		fprintf(text, "  and %zu more\n", n - MAX_LINES);
	if (n == 0)
		fprintf(text, "  %" PRId64 " pieces\n", event->quantity);
	return true;
}

static bool write_text(const struct event *event, struct notice *out, struct err *err)
{
	char when[TIME_TEXT_MAX], total[MONEY_TEXT_MAX];
	size_t size;
	FILE *text = open_memstream(&out->body, &size);
	bool ok;

	if (!text || asprintf(&out->subject, "Order %" PRId64 " %s", event->order_id,
			      event->cancelled ? "is cancelled" : "is placed") < 0)
		abort();
	time_format(when, event->at_ms, false);
	money_format(total, event->price);
	fprintf(text, event->cancelled ? "Your order has been cancelled.\n\n"
				       : "Thank you for your order.\n\n");
	fprintf(text, "Order number: %" PRId64 "\n%s: %s\n\n", event->order_id,
		event->cancelled ? "Cancelled" : "Placed", when);
	ok = write_lines(text, event, err);
	fprintf(text, "\n%s: %s " STR_FMT "\n", event->cancelled ? "Refund" : "Total",
		total, STR_ARG(event->currency));
	fclose(text);
	return ok;
}

static enum notice_kind from_object(json_t *doc, struct notice *out, struct err *err)
{
	json_t *type = json_object_get(doc, "type");
	const char *name = type ? json_string_value(type) : "order.created";
	struct event event = {0};

	if (!name) {
		err_field(err, "type", "type must be a string");
		return NOTICE_POISON;
	}
	event.cancelled = strcmp(name, "order.cancelled") == 0;
	if (!event.cancelled && strcmp(name, "order.created") != 0)
		return NOTICE_IGNORED;
	if (!read_event(doc, &event, err) || !read_ids(doc, &event, name, out, err) ||
	    !write_text(&event, out, err))
		return NOTICE_POISON;
	out->user_id = event.user_id;
	out->order_id = event.order_id;
	return NOTICE_MADE;
}

enum notice_kind notice_from_event(struct str value, struct notice *out, struct err *err)
{
	enum notice_kind kind = NOTICE_POISON;
	json_t *doc = NULL;

	*out = (struct notice){0};
	if (value.at)
		doc = js_parse_object(value, err);
	else
		err_set(err, ERR_INPUT, "the record has no value");
	if (doc)
		kind = from_object(doc, out, err);
	json_decref(doc);
	if (kind != NOTICE_MADE)
		notice_fini(out);
	return kind;
}

/* ---- from a request ---- */

static bool one_line(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 127)
			return false;
	return true;
}

static bool make_event_id(struct str key, struct notice *out, struct err *err)
{
	char seed[KEY_MAX + 32], hash[65];
	int n;

	id_new(out->event_id);
	if (!key.at)
		return true;
	if (key.len == 0 || key.len > KEY_MAX || !one_line(key))
		return err_field(err, "Idempotency-Key",
				 "Idempotency-Key must have 1 to %d plain characters",
				 KEY_MAX);
	n = snprintf(seed, sizeof(seed), "%" PRId64 "/" STR_FMT, out->user_id,
		     STR_ARG(key));
	id_sha256_hex(hash, seed, (size_t)n);
	snprintf(out->event_id, sizeof(out->event_id), "key:%.32s", hash);
	return true;
}

static bool read_request(json_t *doc, struct notice *out, struct err *err)
{
	static const char *const allowed[] = {"user_id", "subject", "body", NULL};
	struct str subject, body;

	if (!js_only(doc, "", allowed, err) ||
	    !js_int(doc, "user_id", 1, INT64_MAX, &out->user_id, err) ||
	    !js_text(doc, "subject", 1, NOTICE_SUBJECT_MAX, &subject, err) ||
	    !js_text(doc, "body", 1, NOTICE_BODY_MAX, &body, err))
		return false;
	if (!one_line(subject))
		return err_field(err, "subject", "subject must be one line of text");
	out->subject = xstrndup(subject.at, subject.len);
	out->body = xstrndup(body.at, body.len);
	return true;
}

bool notice_from_request(struct str body, struct str key, struct notice *out,
			 struct err *err)
{
	json_t *doc = js_parse_object(body, err);
	bool ok;

	*out = (struct notice){.type = "message"};
	ok = doc && read_request(doc, out, err) && make_event_id(key, out, err);
	json_decref(doc);
	if (!ok)
		notice_fini(out);
	return ok;
}

bool notice_same(const struct notice *a, const struct notice *b)
{
	return a->user_id == b->user_id && strcmp(a->subject, b->subject) == 0 &&
	       strcmp(a->body, b->body) == 0;
}

/* ---- as JSON ---- */

static const char *const state_names[] = {"pending", "sending", "sent", "failed"};

const char *notice_state_name(enum notice_state state)
{
	return state_names[state];
}

bool notice_state_parse(struct str name, enum notice_state *out)
{
	for (size_t i = 0; i < ARRAY_LEN(state_names); i++) {
		if (!str_eqz(name, state_names[i]))
			continue;
		*out = (enum notice_state)i;
		return true;
	}
	return false;
}

void notice_write(struct jw *w, const struct notice *notice, bool with_error)
{
	jw_object(w);
	jw_kint(w, "notification_id", notice->id);
	jw_kint(w, "user_id", notice->user_id);
	jw_kstrz(w, "channel", "email");
	jw_kstrz(w, "type", notice->type);
	if (notice->order_id)
		jw_kint(w, "order_id", notice->order_id);
	jw_kstrz(w, "event_id", notice->event_id);
	jw_kstrz(w, "subject", notice->subject);
	jw_kstrz(w, "body", notice->body);
	jw_kstrz(w, "state", notice_state_name(notice->state));
	jw_kint(w, "tries", notice->tries);
	if (with_error && notice->last_error[0])
		jw_kstrz(w, "last_error", notice->last_error);
	jw_ktime(w, "created_at", notice->created_at, true);
	if (notice->sent_at)
		jw_ktime(w, "sent_at", notice->sent_at, true);
	jw_end(w);
}

/* ---- when ---- */

int64_t notice_pause_ms(int64_t tries, uint32_t random)
{
	int64_t pause = PAUSE_FIRST_MS;

	for (int64_t i = 1; i < tries && pause < PAUSE_MAX_MS; i++)
		pause *= 2;
	if (pause > PAUSE_MAX_MS)
		pause = PAUSE_MAX_MS;
	return pause - (int64_t)(random % (uint32_t)(pause / 2 + 1));
}

void pace_init(struct pace *pace, int64_t rate, int64_t now_ms)
{
	*pace = (struct pace){.rate = rate, .tokens_ms = rate * 1000, .at_ms = now_ms};
}

size_t pace_take(struct pace *pace, size_t want, int64_t now_ms)
{
	int64_t full = pace->rate * 1000;
	int64_t passed = now_ms - pace->at_ms;
	size_t have;

	/* A second fills it, so longer pauses need not be multiplied out. */
	pace->tokens_ms += (passed > 1000 ? 1000 : passed) * pace->rate;
	if (pace->tokens_ms > full)
		pace->tokens_ms = full;
	pace->at_ms = now_ms;
	have = (size_t)(pace->tokens_ms / 1000);
	if (want > have)
		want = have;
	pace->tokens_ms -= (int64_t)want * 1000;
	return want;
}

void pace_return(struct pace *pace, size_t n)
{
	pace->tokens_ms += (int64_t)n * 1000;
}
