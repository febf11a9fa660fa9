/* results_scan.c - a user's record in exactly the form of results_user(). */
#include "results_scan.h"

#include "scan.h"
#include "timeutil.h"

static bool scan_last_order(struct scan *s, int64_t *wall_ms)
{
	struct str text;

	*wall_ms = -1;
	if (s->ok && s->at < s->end && *s->at == 'n') {
		SCAN(s, "null");
		return true;
	}
	text = scan_str(s);
	return s->ok && time_parse(text, wall_ms);
}

bool results_seen(struct str hex, uint64_t *seen)
{
	unsigned char bytes[8];

	if (!str_unhex(bytes, sizeof(bytes), hex))
		return false;
	*seen = 0;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		*seen = *seen << 8 | bytes[i];
	return true;
}

bool results_scan_user(struct str value, struct user *user)
{
	struct scan s = scan_begin(value);
	bool fields;

	*user = (struct user){0};
	SCAN(&s, "{\"v\":");
	user->version = scan_int(&s);
	SCAN(&s, ",\"user_id\":");
	user->user_id = scan_int(&s);
	SCAN(&s, ",\"orders\":");
	user->orders = scan_signed(&s);
	SCAN(&s, ",\"spent\":");
	user->cents = scan_money(&s);
	SCAN(&s, ",\"last_order_at\":");
	fields = scan_last_order(&s, &user->last_order_ms);
	SCAN(&s, ",\"seq\":");
	user->seq.seq = (uint64_t)scan_int(&s);
	SCAN(&s, ",\"seen\":");
	fields = results_seen(scan_str(&s), &user->seq.seen) && fields;
	SCAN(&s, ",\"window\":");
	user->window_s = scan_int(&s);
	SCAN(&s, "}");
	return scan_end(&s) && fields && user->version > 0 && user->user_id > 0;
}
