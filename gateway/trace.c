/* trace.c - the ids that follow a request through all services. */
#include "trace.h"

#include <ctype.h>
#include <string.h>

#include "id.h"

bool trace_request_id_ok(struct str id)
{
	if (id.len == 0 || id.len > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++) {
		unsigned char c = (unsigned char)id.at[i];

		if (c >= 0x80 || (!isalnum(c) && c != '-' && c != '_' && c != '.'))
			return false;
	}
	return true;
}

/* Lower-case hex, not all zeros. */
static bool hex_ok(struct str s)
{
	bool nonzero = false;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		nonzero |= c != '0';
	}
	return nonzero;
}

/* Version 00: "00-<32 hex>-<16 hex>-<2 hex>" */
bool trace_parent_ok(struct str value)
{
	struct str flags;

	if (value.len != TRACEPARENT_LEN || !str_starts(value, STR("00-")) ||
	    value.at[35] != '-' || value.at[52] != '-')
		return false;
	flags = (struct str){value.at + 53, 2};
	return hex_ok((struct str){value.at + 3, 32}) &&
	       hex_ok((struct str){value.at + 36, 16}) &&
	       (str_eqz(flags, "00") || hex_ok(flags));
}

struct str trace_id(const char *traceparent)
{
	return *traceparent ? (struct str){traceparent + 3, 32} : STR("");
}

void trace_adopt(struct exchange *x)
{
	struct str id = http_field_get(&x->head, "X-Request-Id");
	struct str parent = http_field_get(&x->head, "traceparent");
	unsigned char random[24];
	static const char form[TRACEPARENT_LEN + 1] =
		"00-................................-................-01";
	char *at = x->traceparent;

	if (trace_request_id_ok(id))
		str_copy(x->request_id, sizeof(x->request_id), id);
	else
		id_new(x->request_id);
	x->trace_kept = trace_parent_ok(parent);
	if (x->trace_kept) {
		str_copy(x->traceparent, sizeof(x->traceparent), parent);
		return;
	}
	id_random(random, sizeof(random));
	/* str_hex() ends each part with a zero. */
	memcpy(at, form, sizeof(form));
	str_hex(at + 3, random, 16);
	at[35] = '-';
	str_hex(at + 36, random + 16, 8);
	at[52] = '-';
}
