/*
 * db_stmt.c - prepared statements: kept per connection by the address of their
 * text, parameters always bound.
 */
#include <errmsg.h>
#include <mysqld_error.h>
#include <stdlib.h>

#include "db_internal.h"
#include "timeutil.h"

#define MAX_ARGS 4096 /* the protocol's own limit is 65535 */

/* ---- the kept statements ---- */

static unsigned slot_of(struct db_stmt_key key)
{
	uint64_t mixed = ((uintptr_t)key.sql + key.rows) * 0x9e3779b97f4a7c15ULL;

	return (unsigned)(mixed >> 40) & (DB_STMT_SLOTS - 1);
}

static struct db_stmt *find_slot(struct db_conn *conn, struct db_stmt_key key)
{
	unsigned i = slot_of(key);

	while (conn->stmts[i].key.sql &&
	       (conn->stmts[i].key.sql != key.sql || conn->stmts[i].key.rows != key.rows))
		i = (i + 1) & (DB_STMT_SLOTS - 1);
	return &conn->stmts[i];
}

void db_stmt_forget_all(struct db_conn *conn)
{
	for (unsigned i = 0; i < DB_STMT_SLOTS; i++) {
		if (conn->stmts[i].handle)
			mysql_stmt_close(conn->stmts[i].handle);
		conn->stmts[i] = (struct db_stmt){0};
	}
	conn->n_stmts = 0;
}

static void keep(struct db_conn *conn, struct db_stmt_key key, MYSQL_STMT *handle)
{
	struct db_stmt *slot;

	/* More statements than a program has: texts were not literals. */
	if (conn->n_stmts == DB_STMT_MAX)
		db_stmt_forget_all(conn);
	slot = find_slot(conn, key);
	slot->key = key;
	slot->handle = handle;
	conn->n_stmts++;
}

/* ---- one execution ---- */

static bool stmt_fault(struct db_conn *conn, MYSQL_STMT *handle, uint64_t started,
		       struct err *err)
{
	return db_conn_fault(conn, mysql_stmt_errno(handle), mysql_stmt_error(handle),
			     started, err);
}

/* NULL: `err` is filled. */
static MYSQL_STMT *prepare(struct db_conn *conn, const char *sql, struct err *err)
{
	uint64_t started = time_mono_us();
	MYSQL_STMT *handle = mysql_stmt_init(conn->my);
	my_bool yes = 1;

	if (!handle)
		abort(); /* out of memory */
	/* The width of every column is then known before its buffer is made. */
	mysql_stmt_attr_set(handle, STMT_ATTR_UPDATE_MAX_LENGTH, &yes);
	if (mysql_stmt_prepare(handle, sql, strlen(sql)) == 0)
		return handle;
	stmt_fault(conn, handle, started, err);
	mysql_stmt_close(handle);
	return NULL;
}

static void bind_arg(MYSQL_BIND *bind, const struct db_arg *arg)
{
	switch (arg->type) {
	case DB_ARG_NULL: bind->buffer_type = MYSQL_TYPE_NULL; break;
	case DB_ARG_INT:
		bind->buffer_type = MYSQL_TYPE_LONGLONG;
		bind->buffer = (void *)&arg->i;
		break;
	case DB_ARG_STR:
		bind->buffer_type = MYSQL_TYPE_STRING;
		bind->buffer = (void *)(arg->s.at ? arg->s.at : "");
		bind->buffer_length = arg->s.len;
		break;
	}
}

static bool bind_args(MYSQL_STMT *handle, const struct db_arg *args, size_t n)
{
	MYSQL_BIND *binds;
	bool ok;

	if (n == 0)
		return true;
	binds = xcalloc(n, sizeof(*binds));
	for (size_t i = 0; i < n; i++)
		bind_arg(&binds[i], &args[i]);
	ok = mysql_stmt_bind_param(handle, binds) == 0; /* copies them */
	free(binds);
	return ok;
}

static bool execute(struct db_conn *conn, MYSQL_STMT *handle, const struct db_arg *args,
		    size_t n, struct db_rows **rows, struct err *err)
{
	uint64_t started = time_mono_us();

	if (!bind_args(handle, args, n) || mysql_stmt_execute(handle) != 0)
		return stmt_fault(conn, handle, started, err);
	conn->affected = mysql_stmt_affected_rows(handle);
	conn->insert_id = mysql_stmt_insert_id(handle);
	if (rows) {
		struct err why = {0};

		*rows = db_rows_read(handle, &why);
		if (!*rows && why.code == ERR_NONE)
			return stmt_fault(conn, handle, started, err);
		if (!*rows && err)
			*err = why;
	}
	mysql_stmt_free_result(handle);
	db_conn_alive(conn);
	return !rows || *rows;
}

static bool count_ok(struct db_conn *conn, MYSQL_STMT *handle, size_t n, struct err *err)
{
	unsigned long wanted = mysql_stmt_param_count(handle);

	if (n == wanted && n <= MAX_ARGS)
		return true;
	conn->failed = true;
	conn->fault = DB_FAULT_OTHER;
	return err_set(err, ERR_INTERNAL, "statement takes %lu parameters, %zu given",
		       wanted, n);
}

/* What a changed table does to its statements. The last one comes when a query
 * has other columns than before, so only from statements that may run twice. */
static bool wants_reprepare(const struct db_conn *conn)
{
	return conn->failed && conn->my &&
	       (conn->errnum == ER_NEED_REPREPARE ||
		conn->errnum == ER_UNKNOWN_STMT_HANDLER ||
		conn->errnum == CR_NEW_STMT_METADATA);
}

static MYSQL_STMT *prepare_kept(struct db_conn *conn, struct db_stmt_key key,
				struct err *err)
{
	MYSQL_STMT *handle;
	char *text;

	if (key.rows == 0)
		return prepare(conn, key.sql, err);
	text = db_many_text(key.sql, key.rows);
	handle = prepare(conn, text, err);
	free(text);
	return handle;
}

static bool run_kept(struct db_conn *conn, struct db_stmt_key key,
		     const struct db_arg *args, size_t n, struct db_rows **rows,
		     struct err *err)
{
	MYSQL_STMT *handle = find_slot(conn, key)->handle;

	if (!handle) {
		handle = prepare_kept(conn, key, err);
		if (!handle)
			return false;
		keep(conn, key, handle);
	}
	return count_ok(conn, handle, n, err) &&
	       execute(conn, handle, args, n, rows, err);
}

static bool begin_call(struct db_conn *conn, struct db_rows **rows, struct err *err)
{
	if (rows)
		*rows = NULL;
	conn->failed = false;
	conn->affected = 0;
	if (db_conn_ensure(conn, err))
		return true;
	conn->failed = true;
	conn->fault = DB_FAULT_LOST;
	return false;
}

static bool end_call(struct db_conn *conn, bool ok, struct db_rows **rows,
		     struct err *err)
{
	if (db_conn_end_implicit(conn, ok, err))
		return true;
	if (rows) {
		db_rows_free(*rows);
		*rows = NULL;
	}
	return false;
}

static bool run_maybe_twice(struct db_conn *conn, struct db_stmt_key key,
			    const struct db_arg *args, size_t n, struct db_rows **rows,
			    struct err *err)
{
	if (run_kept(conn, key, args, n, rows, err))
		return true;
	if (!wants_reprepare(conn))
		return false;
	db_stmt_forget_all(conn);
	conn->failed = false;
	return run_kept(conn, key, args, n, rows, err);
}

bool db_stmt_run(struct db_conn *conn, struct db_stmt_key key, const struct db_arg *args,
		 size_t n, struct db_rows **rows, struct err *err)
{
	return begin_call(conn, rows, err) &&
	       end_call(conn, run_maybe_twice(conn, key, args, n, rows, err), rows, err);
}

bool db_query_v(struct db_conn *conn, const char *sql, const struct db_arg *args,
		size_t n, struct db_rows **rows, struct err *err)
{
	return db_stmt_run(conn, (struct db_stmt_key){.sql = sql}, args, n, rows, err);
}

bool db_exec_v(struct db_conn *conn, const char *sql, const struct db_arg *args, size_t n,
	       struct err *err)
{
	return db_stmt_run(conn, (struct db_stmt_key){.sql = sql}, args, n, NULL, err);
}

bool db_query_text(struct db_conn *conn, const char *sql, const struct db_arg *args,
		   size_t n, struct db_rows **rows, struct err *err)
{
	MYSQL_STMT *handle;
	bool ok;

	if (!begin_call(conn, rows, err))
		return false;
	handle = prepare(conn, sql, err);
	if (!handle)
		return false;
	ok = count_ok(conn, handle, n, err) && execute(conn, handle, args, n, rows, err);
	mysql_stmt_close(handle);
	return end_call(conn, ok, rows, err);
}

bool db_exec_text(struct db_conn *conn, const char *sql, const struct db_arg *args,
		  size_t n, struct err *err)
{
	return db_query_text(conn, sql, args, n, NULL, err);
}

/* ---- about the last statement ---- */

uint64_t db_affected(const struct db_conn *conn)
{
	return conn->affected;
}

uint64_t db_insert_id(const struct db_conn *conn)
{
	return conn->insert_id;
}

/* The message ends with: for key 'email'   (MySQL 8: 'users.email') */
static struct str key_of_message(struct str text)
{
	for (size_t end = text.len ? text.len - 1 : 0, i = end; i > 0; i--) {
		char c = text.at[i - 1];

		if (c == '\'' || c == '.')
			return (struct str){text.at + i, end - i};
	}
	return STR_NONE;
}

bool db_is_duplicate(const struct db_conn *conn, const char *key)
{
	if (!conn->failed || conn->fault != DB_FAULT_DUPLICATE)
		return false;
	return !key || str_eqz(key_of_message(str_from(conn->errtext)), key);
}
