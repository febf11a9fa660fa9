/* reply.h - the gateway's own answers: problem+json (RFC 9457) and 204. */
#ifndef GATEWAY_REPLY_H
#define GATEWAY_REPLY_H

#include "exchange.h"

struct reply {
	int status;
	const char *slug;   /* NULL: the usual one of the status */
	const char *detail; /* NULL: the same */
	unsigned retry_after_s;
	const char *allow; /* 204 and 405: the methods */
};

/* Writes the answer to the client's output and decides x->close. */
void reply_send(struct exchange *x, const struct reply *reply);
/* For a head that could not be read: there is no exchange. Logs it, too. */
void reply_bad_head(struct client *client, int status);

#endif
