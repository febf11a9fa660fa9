/*
 * db_migrate.c - numbered SQL files, applied once each, in order.
 *
 *   lock -> list the files -> check what is recorded -> apply the rest
 *
 * Who waits to change a table keeps everybody else off it, so a statement waits
 * only briefly, and again after a pause.
 *
 * DDL commits by itself on MySQL, so a file that fails halfway stays half
 * applied: keep one change per file.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "db_internal.h"
#include "id.h"
#include "log.h"
#include "timeutil.h"

#define FILE_MAX_BYTES (1024 * 1024)
#define LOCK_WAIT_S    "60"
#define VERSION_DIGITS 4
#define TABLE_PAUSE_MS 900
#define TABLE_MAX_MS   300000 /* then the migration fails, and may be run again */
/* Where everything starts at once, the server may come later than its migrations. */
#define SERVER_WAIT_MS  60000
#define SERVER_PAUSE_MS 250

struct step {
	struct db_conn *conn;
	const char *file; /* "0001_users.sql" */
	struct str name;  /* "users" */
	int64_t version;
	char checksum[65];
	char *text; /* of the whole file; owned */
};

static int is_migration(const struct dirent *entry)
{
	struct str name = str_from(entry->d_name);
	uint64_t version;

	return name.len > VERSION_DIGITS + 5 &&
	       str_u64((struct str){name.at, VERSION_DIGITS}, &version) &&
	       name.at[VERSION_DIGITS] == '_' &&
	       str_eqz((struct str){name.at + name.len - 4, 4}, ".sql");
}

/* Owned by the caller; NULL: `err`. */
static char *read_file(const char *dir, const char *file, struct err *err)
{
	char path[512];
	char *text;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	if (!f) {
		err_set(err, ERR_INPUT, "cannot read %s: %s", path, strerror(errno));
		return NULL;
	}
	text = xcalloc(1, FILE_MAX_BYTES + 1);
	len = fread(text, 1, FILE_MAX_BYTES, f);
	fclose(f);
	if (len == FILE_MAX_BYTES) {
		err_set(err, ERR_INPUT, "%s is too large", path);
		free(text);
		return NULL;
	}
	return text;
}

/* Where the statement that starts at `at` ends: behind a ";" that ends a line. */
static char *statement_end(char *at)
{
	char *end = at;

	while ((end = strchr(end, ';')) != NULL) {
		end++;
		if (end[strspn(end, " \t\r")] == '\n' ||
		    end[strspn(end, " \t\r")] == '\0')
			return end;
	}
	return at + strlen(at);
}

/* Is there anything but blanks and comment lines? */
static bool has_words(const char *sql)
{
	while (*sql) {
		sql += strspn(sql, " \t\r\n;");
		if (*sql == '\0')
			return false;
		if (strncmp(sql, "--", 2) != 0)
			return true;
		sql += strcspn(sql, "\n");
	}
	return false;
}

/* A lock time-out or deadlock: the server has undone the statement. */
static bool command(struct db_conn *conn, const char *sql, struct err *err)
{
	int64_t until_ms = time_mono_ms() + TABLE_MAX_MS;

	while (!db_conn_command(conn, sql, err)) {
		if (conn->fault != DB_FAULT_CONFLICT || time_mono_ms() >= until_ms)
			return false;
		log_warn("the migration waits for a table",
			 LOG_STR("why", conn->errtext));
		usleep(TABLE_PAUSE_MS * 1000);
	}
	return true;
}

static bool apply(struct step *step, struct err *err)
{
	char *at = step->text;

	while (*at) {
		char *end = statement_end(at);
		char after = *end;

		*end = '\0';
		if (has_words(at) && !command(step->conn, at, err))
			return err_wrap(err, "%s", step->file);
		*end = after;
		at = end;
	}
	if (!db_exec(
		    step->conn, err,
		    "INSERT INTO schema_migrations (version, name, checksum, applied_at) "
		    "VALUES (?, ?, ?, UTC_TIMESTAMP(3))",
		    DB_I(step->version), DB_S(step->name), DB_Z(step->checksum)))
		return err_wrap(err, "recording %s", step->file);
	log_info("migration applied", LOG_STR("file", step->file));
	return true;
}

/* Applies the file, or checks that it is the one which was applied. */
static bool step_run(struct step *step, struct err *err)
{
	struct db_rows *rows;
	bool known, same;

	if (!db_query(step->conn, &rows, err,
		      "SELECT checksum FROM schema_migrations WHERE version = ?",
		      DB_I(step->version)))
		return false;
	known = db_rows_count(rows) > 0;
	same = known && str_eqz(db_str(rows, 0, 0), step->checksum);
	db_rows_free(rows);
	if (!known)
		return apply(step, err);
	return same || err_set(err, ERR_CONFLICT,
			       "%s was changed after it had been applied; "
			       "add a new file instead",
			       step->file);
}

static bool run_file(struct db_conn *conn, const char *dir, const char *file,
		     struct err *err)
{
	struct step step = {.conn = conn, .file = file};
	uint64_t version = 0;
	bool ok;

	(void)str_u64((struct str){file, VERSION_DIGITS}, &version);
	step.version = (int64_t)version;
	step.name = str_from(file + VERSION_DIGITS + 1);
	step.name.len -= 4;
	step.text = read_file(dir, file, err);
	if (!step.text)
		return false;
	id_sha256_hex(step.checksum, step.text, strlen(step.text));
	ok = step_run(&step, err);
	free(step.text);
	return ok;
}

static bool number_is_new(const char *before, const char *file, struct err *err)
{
	return !before || strncmp(before, file, VERSION_DIGITS) != 0 ||
	       err_set(err, ERR_INPUT, "%s has the number of %s", file, before);
}

static bool run_dir(struct db_conn *conn, const char *dir, struct err *err)
{
	struct dirent **files;
	int n = scandir(dir, &files, is_migration, alphasort);
	const char *before = NULL;
	bool ok = true;

	if (n < 0)
		return err_set(err, ERR_INPUT, "cannot read the folder %s: %s", dir,
			       strerror(errno));
	if (n == 0)
		ok = err_set(err, ERR_INPUT, "no NNNN_name.sql in %s", dir);
	for (int i = 0; ok && i < n; i++) {
		ok = number_is_new(before, files[i]->d_name, err) &&
		     run_file(conn, dir, files[i]->d_name, err);
		before = files[i]->d_name;
	}
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return ok;
}

/* Named after the schema: another service's migration on the same server goes on. */
static bool lock(struct db_conn *conn, struct err *err)
{
	struct db_rows *rows;
	bool got;

	if (!db_query0(conn, &rows, err,
		       "SELECT GET_LOCK(LEFT(CONCAT(DATABASE(), '.migrate'), "
		       "64), " LOCK_WAIT_S ")"))
		return false;
	got = db_int(rows, 0, 0) == 1;
	db_rows_free(rows);
	return got || err_set(err, ERR_BUSY, "another migration is still running");
}

static void unlock(struct db_conn *conn)
{
	struct err ignored;

	if (!db_exec0(conn, &ignored,
		      "DO RELEASE_LOCK(LEFT(CONCAT(DATABASE(), '.migrate'), 64))"))
		log_debug("migration lock ends with its connection");
}

bool db_migrate(struct db_conn *conn, const char *dir, struct err *err)
{
	bool ok;

	if (!lock(conn, err))
		return false;
	ok = db_conn_command(conn, "SET SESSION lock_wait_timeout = " DB_MIGRATION_WAIT_S,
			     err) &&
	     command(conn,
		     "CREATE TABLE IF NOT EXISTS schema_migrations ("
		     "version INT NOT NULL PRIMARY KEY, "
		     "name VARCHAR(100) NOT NULL, "
		     "checksum CHAR(64) NOT NULL, "
		     "applied_at DATETIME(3) NOT NULL) "
		     "ENGINE = InnoDB DEFAULT CHARSET = utf8mb4",
		     err) &&
	     run_dir(conn, dir, err);
	unlock(conn);
	return ok;
}

/* ---- is it done? ---- */

int64_t db_migrations_newest(const char *dir)
{
	struct dirent **files;
	int n = dir ? scandir(dir, &files, is_migration, alphasort) : -1;
	uint64_t newest = 0;

	if (n < 0)
		return 0;
	if (n > 0)
		(void)str_u64((struct str){files[n - 1]->d_name, VERSION_DIGITS},
			      &newest);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	return (int64_t)newest;
}

void db_schema_look(struct db_conn *conn)
{
	struct db_health *health = conn->health;
	struct db_rows *rows;
	struct err err;

	if (!conn->my || !atomic_load(&health->schema_old))
		return;
	/* A schema that is ahead of us is well: versions follow each other in steps
	 * that both can live with. No table, no rights to it: not migrated. */
	if (!db_query(conn, &rows, &err,
		      "SELECT COUNT(*) FROM schema_migrations WHERE version >= ?",
		      DB_I(health->schema_version)))
		return;
	if (db_int(rows, 0, 0) > 0)
		atomic_store(&health->schema_old, false);
	db_rows_free(rows);
}

/* ---- --migrate ---- */

static struct db_conn *connect_patiently(const struct db_settings *cfg, struct err *err)
{
	int64_t until_ms = time_mono_ms() + SERVER_WAIT_MS;
	struct db_conn *conn = db_conn_open(cfg, err);

	/* A wrong login does not get better by waiting. */
	while (!conn && err->code == ERR_BUSY && time_mono_ms() < until_ms) {
		usleep(SERVER_PAUSE_MS * 1000);
		conn = db_conn_open(cfg, err);
	}
	return conn;
}

int db_migrate_command(void *arg, int argc, char **argv)
{
	const struct db_settings *cfg = arg;
	struct db_settings own = *cfg;
	struct err err = {0};
	struct db_conn *conn;
	bool ok;

	(void)argc;
	(void)argv;
	if (*cfg->migrate_user) {
		own.user = cfg->migrate_user;
		own.password = cfg->migrate_password;
	}
	/* Changing a large table takes as long as it takes. */
	own.timeout_ms = 3600 * 1000;
	conn = connect_patiently(&own, &err);
	ok = conn && db_migrate(conn, cfg->migrations_dir, &err);
	if (!ok)
		log_error("migration failed", LOG_STR("why", err.text));
	else
		log_info("schema is up to date", LOG_STR("schema", own.name));
	db_conn_free(conn);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
