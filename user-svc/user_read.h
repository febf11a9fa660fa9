/* user_read.h - answers of the reading routes; what flights run on a worker. */
#ifndef USER_SVC_USER_READ_H
#define USER_SVC_USER_READ_H

#include "flight.h"

#define USER_READ_MAX_BYTES ((size_t)256 * 1024)

/* key->a: the id. For people, and with what our own services get. */
bool user_read_one(struct db_conn *conn, const struct flight_key *key, struct jw *w,
		   struct err *err);
bool user_read_internal(struct db_conn *conn, const struct flight_key *key, struct jw *w,
			struct err *err);
/* key->a: the last id of the page before, or 0; key->b: how many. */
bool user_read_page(struct db_conn *conn, const struct flight_key *key, struct jw *w,
		    struct err *err);

#endif
