/* settings.c - the table of user-svc's own settings. */
#include "settings.h"

const struct config_entry settings_config[] = {
	CFG_LISTEN(struct settings, listen, "LISTEN", "127.0.0.1:8081",
		   "address of the service's HTTP listener"),
	CFG_STR(struct settings, signing_key_file, "SIGNING_KEY_FILE", "",
		"file with the private keys of access tokens (JWK or JWK set), made when "
		"missing; shared by all instances"),
	CFG_INT(struct settings, token_ttl_s, "TOKEN_TTL_S", "900", 1, 86400,
		"seconds for which an access token is valid"),
	CFG_INT(struct settings, password.memory_kib, "PASSWORD_MEMORY_KIB", "19456", 8,
		1048576, "KiB of memory that one password hash takes"),
	CFG_INT(struct settings, password.passes, "PASSWORD_PASSES", "2", 1, 100,
		"passes of one password hash over its memory"),
	CFG_INT(struct settings, password.threads, "PASSWORD_THREADS", "2", 1, 64,
		"password hashes computed at the same time"),
	CFG_INT(struct settings, password.max_queue, "PASSWORD_MAX_QUEUE", "64", 1, 10000,
		"password hashes that may wait; more get 503"),
	CFG_INT(struct settings, password.queue_ms, "PASSWORD_QUEUE_MS", "3000", 1, 60000,
		"ms a password hash may wait; then 503"),
	CFG_STR(struct settings, db.migrations_dir, "MIGRATIONS_DIR",
		"user-svc/migrations", "folder with the numbered files of --migrate"),
	CFG_END,
};
