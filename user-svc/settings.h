/* settings.h - what user-svc can be told by its environment. */
#ifndef USER_SVC_SETTINGS_H
#define USER_SVC_SETTINGS_H

#include "auth.h"
#include "config.h"
#include "db.h"
#include "password.h"

struct settings {
	struct db_settings db;
	struct auth_settings auth;
	struct password_settings password;
	char *listen;
	char *signing_key_file;
	int64_t token_ttl_s;
};

/* The program's own; db_config and auth_config come on top. */
extern const struct config_entry settings_config[];

#endif
