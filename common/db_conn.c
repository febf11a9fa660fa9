/*
 * db_conn.c - one connection: connecting with time limits and TLS, the session's
 * settings, noticing that it is lost, and trying again with back-off.
 */
#include <errmsg.h>
#include <inttypes.h>
#include <mysqld_error.h>
#include <poll.h>
#include <stdlib.h>

#include "db_internal.h"
#include "id.h"
#include "log.h"
#include "timeutil.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 3000
#define CONNECT_MAX_S  3
/* A process that hangs, or whose machine is gone, must not keep its row locks and
 * named locks for the server's usual 8 hours. Above all pauses of a healthy one:
 * workers ping every few seconds, the outbox relay looks every 10 s at least. */
#define SESSION_IDLE_S "15"

/* Error numbers that the client library's headers do not name. */
#define ER_MARIADB_KILLED     1927
#define ER_MARIADB_CHANGED    1020 /* record has changed since last read */
#define ER_MYSQL_KILLED       3169
#define ER_MYSQL_IDLE_TIMEOUT 4031
#define ER_READ_ONLY          1836
#define ER_READ_ONLY_OPTION   1290

static unsigned timeout_s(const struct db_settings *cfg)
{
	return (unsigned)((cfg->timeout_ms + 999) / 1000);
}

struct db_conn *db_conn_new(const struct db_settings *cfg, struct db_health *health)
{
	struct db_conn *conn = xcalloc(1, sizeof(*conn));

	conn->cfg = cfg;
	conn->health = health;
	return conn;
}

void db_conn_close(struct db_conn *conn)
{
	if (!conn->my)
		return;
	/* In this order: statements of a closed connection are freed without a
	 * word to the server, which may be unreachable. */
	mysql_close(conn->my);
	conn->my = NULL;
	db_stmt_forget_all(conn);
	conn->id_step = 0;
	conn->clock = (struct db_clock){0};
	if (conn->in_tx)
		conn->tx_broken = true;
}

void db_conn_free(struct db_conn *conn)
{
	if (!conn)
		return;
	db_conn_close(conn);
	free(conn);
}

/* ---- what went wrong ---- */

static const char *plain_reason(unsigned errnum)
{
	switch (errnum) {
	case ER_ACCESS_DENIED_ERROR:
	case ER_DBACCESS_DENIED_ERROR: return "the database refuses the login";
	case ER_BAD_DB_ERROR: return "the schema does not exist";
	case ER_CON_COUNT_ERROR: return "the database has too many connections";
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_UNKNOWN_HOST: return "the database cannot be reached";
	case CR_SSL_CONNECTION_ERROR: return "TLS to the database fails";
	default: return "the connection to the database was lost";
	}
}

static void note_lost(struct db_conn *conn, unsigned errnum)
{
	if (!conn->health)
		return;
	atomic_store(&conn->health->why, plain_reason(errnum));
	/* The first loss counts, so that the time without any success is known. */
	if (atomic_load(&conn->health->lost_ms) <= atomic_load(&conn->health->ok_ms))
		atomic_store(&conn->health->lost_ms, time_mono_ms());
}

void db_conn_alive(struct db_conn *conn)
{
	conn->ping_ms = time_mono_ms();
	conn->tries = 0;
	if (conn->health)
		atomic_store(&conn->health->ok_ms, conn->ping_ms);
}

static enum db_fault classify(unsigned errnum)
{
	switch (errnum) {
	case ER_LOCK_DEADLOCK:
	case ER_LOCK_WAIT_TIMEOUT:
	case ER_MARIADB_CHANGED: return DB_FAULT_CONFLICT;
	case ER_DUP_ENTRY: return DB_FAULT_DUPLICATE;
	case ER_DISK_FULL:
	case ER_ERROR_ON_WRITE:
	case ER_RECORD_FILE_FULL: return DB_FAULT_FULL;
	case CR_CONNECTION_ERROR:
	case CR_CONN_HOST_ERROR:
	case CR_UNKNOWN_HOST:
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_SERVER_LOST_EXTENDED:
	case CR_SSL_CONNECTION_ERROR:
	case CR_MALFORMED_PACKET:
	case CR_COMMANDS_OUT_OF_SYNC:
	case CR_ERR_NET_READ:
	case CR_ERR_NET_WRITE:
	case ER_SERVER_SHUTDOWN:
	case ER_QUERY_INTERRUPTED: /* KILL QUERY, or a shutdown */
	case ER_CON_COUNT_ERROR:
	case ER_MARIADB_KILLED:
	case ER_MYSQL_KILLED:
	case ER_MYSQL_IDLE_TIMEOUT:
	case ER_READ_ONLY: /* the server became a replica */
	case ER_READ_ONLY_OPTION: return DB_FAULT_LOST;
	default: return DB_FAULT_OTHER;
	}
}

static bool unavailable(struct err *err, const char *why)
{
	err_slug(err, ERR_BUSY, "database_unavailable", "%s", why);
	if (err)
		err->retry_after_s = 1;
	return false;
}

static bool fill(struct db_conn *conn, struct err *err)
{
	switch (conn->fault) {
	case DB_FAULT_LOST: return unavailable(err, plain_reason(conn->errnum));
	case DB_FAULT_TIMEOUT:
		return err_slug(err, ERR_TIMEOUT, "database_timeout",
				"the database did not answer within %u s",
				timeout_s(conn->cfg));
	case DB_FAULT_CONFLICT:
		err_slug(err, ERR_BUSY, "database_busy",
			 "other changes to the same data were faster");
		if (err)
			err->retry_after_s = 1;
		return false;
	case DB_FAULT_FULL: return unavailable(err, "the database has no room left");
	case DB_FAULT_DUPLICATE:
	case DB_FAULT_OTHER: break;
	}
	return err_set(err, ERR_INTERNAL, "database: %s (%u)", conn->errtext,
		       conn->errnum);
}

bool db_conn_fault(struct db_conn *conn, unsigned errnum, const char *text,
		   uint64_t started_us, struct err *err)
{
	uint64_t took_ms = (time_mono_us() - started_us) / 1000;

	conn->failed = true;
	conn->errnum = errnum;
	str_copy(conn->errtext, sizeof(conn->errtext),
		 (struct str){text, strnlen(text, sizeof(conn->errtext) - 1)});
	conn->fault = classify(errnum);
	if (conn->fault == DB_FAULT_LOST && took_ms + 100 >= timeout_s(conn->cfg) * 1000)
		conn->fault = DB_FAULT_TIMEOUT;
	if (conn->errors[conn->fault])
		metric_add(conn->errors[conn->fault], 1);
	if (conn->fault == DB_FAULT_LOST || conn->fault == DB_FAULT_TIMEOUT) {
		if (conn->my)
			log_warn("database connection closed",
				 LOG_STR("why", conn->errtext), LOG_INT("errno", errnum),
				 LOG_INT("ms", took_ms));
		note_lost(conn, errnum);
		db_conn_close(conn);
	}
	if (conn->in_tx && conn->fault == DB_FAULT_CONFLICT)
		conn->tx_broken = true;
	return fill(conn, err);
}

/* ---- connecting ---- */

static bool wants_tls(const struct db_settings *cfg)
{
	return cfg->ssl_required || (cfg->ssl_ca && cfg->ssl_ca[0]);
}

static void set_options(MYSQL *my, const struct db_settings *cfg)
{
	unsigned answer_s = timeout_s(cfg);
	unsigned connect_s = answer_s < CONNECT_MAX_S ? answer_s : CONNECT_MAX_S;
	unsigned no = 0;
	my_bool yes = 1;

	mysql_options(my, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
	mysql_options(my, MYSQL_OPT_READ_TIMEOUT, &answer_s);
	mysql_options(my, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
	mysql_options(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* A server must not be able to ask for our files. */
	mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &no);
	if (cfg->ssl_ca && cfg->ssl_ca[0]) {
		mysql_options(my, MYSQL_OPT_SSL_CA, cfg->ssl_ca);
		mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	}
	if (wants_tls(cfg))
		mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &yes);
}

#define SET_ROW_WAIT(seconds) "SET SESSION innodb_lock_wait_timeout = " seconds

static bool setup_session(MYSQL *my, const struct db_conn *conn)
{
	const char *const commands[] = {
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', "
		"time_zone = '+00:00', "
		"lock_wait_timeout = " DB_TABLE_WAIT_S ", "
		"wait_timeout = " SESSION_IDLE_S,
		conn->lane ? SET_ROW_WAIT(DB_ROW_WAIT_LANE_S)
			   : SET_ROW_WAIT(DB_ROW_WAIT_S),
	};

	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		if (mysql_query(my, commands[i]) != 0)
			return false;
	}
	return !conn->implicit || mysql_autocommit(my, 0) == 0;
}

static void connect_failed(struct db_conn *conn)
{
	int64_t wait = BACKOFF_MIN_MS << (conn->tries < 5 ? conn->tries : 5);
	uint16_t dice;

	if (wait > BACKOFF_MAX_MS)
		wait = BACKOFF_MAX_MS;
	id_random(&dice, sizeof(dice));
	wait = wait / 2 + wait / 2 * dice / UINT16_MAX;
	conn->tries++;
	conn->failed_ms = time_mono_ms();
	conn->retry_ms = conn->failed_ms + wait;
}

static bool open_session(const struct db_conn *conn, MYSQL *my)
{
	const struct db_settings *cfg = conn->cfg;
	const char *socket = cfg->socket && cfg->socket[0] ? cfg->socket : NULL;

	set_options(my, cfg);
	return mysql_real_connect(my, socket ? NULL : cfg->host, cfg->user, cfg->password,
				  cfg->name, socket ? 0 : (unsigned)cfg->port, socket,
				  0) &&
	       setup_session(my, conn);
}

/* Without a CA the library connects to a server that knows no TLS all the same, whatever
 * MYSQL_OPT_SSL_ENFORCE says. */
static bool is_bare(MYSQL *my, const struct db_settings *cfg)
{
	return wants_tls(cfg) && !mysql_get_ssl_cipher(my);
}

static bool connect_now(struct db_conn *conn, struct err *err)
{
	uint64_t started = time_mono_us();
	MYSQL *my = mysql_init(NULL);
	bool open;

	if (!my)
		abort(); /* out of memory */
	open = open_session(conn, my);
	if (open && !is_bare(my, conn->cfg)) {
		conn->my = my;
		db_conn_alive(conn);
		return true;
	}
	/* Whatever the reason is, for a caller the database is away. */
	if (open)
		db_conn_fault(conn, CR_SSL_CONNECTION_ERROR,
			      "SSL is required, but the server does not support it",
			      started, err);
	else
		db_conn_fault(conn, mysql_errno(my), mysql_error(my), started, err);
	note_lost(conn, conn->errnum);
	unavailable(err, plain_reason(conn->errnum));
	if (conn->tries == 0)
		log_warn("cannot connect to the database", LOG_STR("why", conn->errtext),
			 LOG_INT("errno", conn->errnum));
	connect_failed(conn);
	mysql_close(my);
	return false;
}

/* After a failure: when the back-off is over, or another worker got through. */
static bool may_connect(const struct db_conn *conn)
{
	return conn->tries == 0 || time_mono_ms() >= conn->retry_ms ||
	       (conn->health && atomic_load(&conn->health->ok_ms) > conn->failed_ms);
}

bool db_conn_ensure(struct db_conn *conn, struct err *err)
{
	if (conn->my)
		return true;
	if (conn->in_tx || !conn->health || !may_connect(conn))
		return unavailable(err, plain_reason(conn->errnum));
	return connect_now(conn, err);
}

struct db_conn *db_conn_open(const struct db_settings *cfg, struct err *err)
{
	struct db_conn *conn = db_conn_new(cfg, NULL);

	if (!connect_now(conn, err)) {
		bool away =
			conn->fault == DB_FAULT_LOST || conn->fault == DB_FAULT_TIMEOUT;

		err_set(err, away ? ERR_BUSY : ERR_INTERNAL,
			"cannot connect to the database: %s", conn->errtext);
		db_conn_free(conn);
		return NULL;
	}
	return conn;
}

void db_conn_drop_stale(struct db_conn *conn)
{
	struct pollfd fd = {.events = POLLIN};

	if (!conn->my)
		return;
	fd.fd = (int)mysql_get_socket(conn->my);
	/* An idle server has nothing to say, except good-bye. */
	if (poll(&fd, 1, 0) == 0)
		return;
	log_info("database connection was closed by the server");
	note_lost(conn, CR_SERVER_GONE_ERROR);
	db_conn_close(conn);
}

bool db_conn_ping(struct db_conn *conn)
{
	uint64_t started = time_mono_us();

	if (!conn->my)
		return false;
	if (mysql_ping(conn->my) != 0) {
		db_conn_fault(conn, mysql_errno(conn->my), mysql_error(conn->my), started,
			      NULL);
		db_conn_close(conn);
		return false;
	}
	db_conn_alive(conn);
	return true;
}

bool db_conn_command(struct db_conn *conn, const char *sql, struct err *err)
{
	uint64_t started = time_mono_us();

	conn->failed = false;
	if (!db_conn_ensure(conn, err))
		return false;
	if (mysql_query(conn->my, sql) != 0)
		return db_conn_fault(conn, mysql_errno(conn->my), mysql_error(conn->my),
				     started, err);
	return true;
}

bool db_conn_end_implicit(struct db_conn *conn, bool ok, struct err *err)
{
	if (!conn->implicit || conn->in_tx || !conn->my)
		return ok;
	if (ok)
		return db_conn_command(conn, "COMMIT", err);
	/* What the failed statement left behind stays to be asked for. */
	if (mysql_query(conn->my, "ROLLBACK") != 0)
		db_conn_close(conn);
	return false;
}
