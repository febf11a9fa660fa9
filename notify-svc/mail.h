/* mail.h - a notification as an Internet message (RFC 5322).  Pure. */
#ifndef NOTIFY_SVC_MAIL_H
#define NOTIFY_SVC_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "notification.h"
#include "str.h"

#define MAIL_ADDRESS_MAX 254

/* One mailbox such as "demo@example.com": nothing that could end a header or
 * name a second recipient. */
bool mail_address_ok(struct str address);

/* May a mail greet somebody by this name? Addresses are not verified: who signs up with
 * somebody else's must not write to him through us, so nothing that a reader's program
 * could make a link of. */
bool mail_name_ok(struct str name);

/* The whole message with CRLF ends, zero-terminated; owned by the caller. The
 * Message-ID is the same for the same event, so that a mail sent twice can be
 * recognised. `name` is who to greet ("" for nobody). */
char *mail_text(const struct notice *notice, const char *from, const char *to,
		const char *name, int64_t now_ms, size_t *len);

#endif
