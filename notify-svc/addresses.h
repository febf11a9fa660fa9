/*
 * addresses.h - the e-mail address of a user, asked from user-svc and remembered
 * for a minute.
 */
#ifndef NOTIFY_SVC_ADDRESSES_H
#define NOTIFY_SVC_ADDRESSES_H

#include <stdint.h>

#include "http_client.h"
#include "mail.h"

#define ADDRESS_NAME_MAX 120

struct addresses;

/* `authorization` proves who we are. `client` and it must outlive the cache. */
struct addresses *addresses_new(struct loop *loop, struct http_client *client,
				const char *authorization);
void addresses_free(struct addresses *addresses); /* accepts NULL */

enum address_end {
	ADDRESS_FOUND,
	ADDRESS_NONE, /* no such user, or no usable address: `why` says it */
	ADDRESS_LATER /* could not be asked: `why` says it */
};

struct address_query {
	int64_t user_id;
	enum address_end end;             /* filled */
	char email[MAIL_ADDRESS_MAX + 1]; /* filled when found */
	char name[ADDRESS_NAME_MAX + 1];  /* filled; one line, may be "" */
	char why[ERR_TEXT_MAX];           /* filled when not found */
	/* private */
	struct addresses *addresses;
	struct address_query *next;
	loop_fn done;
	void *arg;
};
/* `query` must stay until `done` runs: on the loop, not inside this call. */
void addresses_find(struct addresses *addresses, struct address_query *query,
		    loop_fn done, void *arg);

#endif
