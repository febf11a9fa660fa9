/*
 * http_request.c - a request from libevhtp's callback to its end, and what
 * handlers may ask of it.
 *
 * Every request is paused, even one that is answered at once: libevhtp never
 * frees a paused one, so a handler may keep `req` although the client hangs up.
 * When the server is freed under it, the request waits for its answer, alone.
 */
#include <stdlib.h>

#include "http_internal.h"
#include "id.h"
#include "js.h"
#include "log.h"
#include "timeutil.h"

#define MAX_QUERY_VALUE 2048

static struct str visible_id(const struct http_head *head)
{
	struct str id = http_field_get(head, "x-request-id");

	if (id.len == 0 || id.len > 64)
		return STR_NONE;
	for (size_t i = 0; i < id.len; i++) {
		if (id.at[i] <= ' ' || id.at[i] > '~' || id.at[i] == '"' ||
		    id.at[i] == '\\')
			return STR_NONE;
	}
	return id;
}

static struct http_req *req_new(struct http_conn *conn, evhtp_request_t *ev)
{
	struct http_req *req = xcalloc(1, sizeof(*req));
	struct str id = visible_id(&conn->msg->head);
	size_t len = evbuffer_get_length(ev->buffer_in);

	req->conn = conn;
	req->ev = ev;
	req->loop = conn->server->loop;
	req->start_us = time_mono_us();
	req->msg = conn->msg;
	conn->msg = NULL;
	conn->req = req;
	if (len > 0)
		req->body = (struct str){(char *)evbuffer_pullup(ev->buffer_in, -1), len};
	if (id.at)
		str_copy(req->id, sizeof(req->id), id);
	else
		id_new(req->id);
	return req;
}

static bool normalise(struct http_req *req)
{
	struct str raw = req->msg->head.path;
	char *path = http_alloc(req, raw.len + 1);

	req->path.at = path;
	return http_path_normalise(raw, path, raw.len + 1, &req->path.len);
}

static void answer_405(struct http_req *req)
{
	char allow[128];
	struct err err;

	http_route_allow(req->conn->server->routes, req->path, allow, sizeof(allow));
	http_set_header(req, "Allow", allow);
	err_slug(&err, ERR_INPUT, "method_not_allowed", "the resource allows %s", allow);
	http_reply_err(req, &err);
}

static void route(struct http_req *req)
{
	struct http_server *server = req->conn->server;
	struct http_match match = {0};
	struct err err;
	bool ok = normalise(req);

	if (ok)
		http_route_find(server->routes, http_method(req), req->path, &match);
	req->route = match.route;
	req->stats = http_stats_of(server, match.route);
	if (match.route) {
		match.route->handler(req, server->app);
	} else if (match.path_known) {
		answer_405(req);
	} else {
		if (ok || str_eqz(req->msg->head.path, "*"))
			err_set(&err, ERR_NOT_FOUND, "no such resource");
		else
			err_set(&err, ERR_INPUT, "the path is malformed");
		http_reply_err(req, &err);
	}
}

/* As evhtp_request_pause(), but the socket goes on being read: what comes waits
 * before the guard, and switching it off and on costs two system calls. */
static void pause_request(evhtp_request_t *ev)
{
	ev->status = EVHTP_RES_PAUSE;
	ev->conn->flags |= EVHTP_CONN_FLAG_PAUSED;
}

void http_request_start(struct http_conn *conn, evhtp_request_t *ev)
{
	struct http_req *req = req_new(conn, ev);

	pause_request(ev);
	route(req);
}

void http_request_free(struct http_req *req)
{
	struct http_done *done = req->done;

	while (done) { /* in its own memory: run all before freeing any */
		struct http_done *next = done->next;

		done->fn(done->arg);
		done = next;
	}
	while (req->blocks) {
		struct http_alloc_block *block = req->blocks;

		req->blocks = block->next;
		free(block);
	}
	json_decref(req->json);
	free(req->headers);
	if (req->out)
		evbuffer_free(req->out);
	free(req->msg);
	free(req);
}

void http_request_gone(struct http_req *req)
{
	struct http_stream *stream = req->stream;

	req->conn = NULL;
	req->ev = NULL;
	req->stream = NULL;
	if (stream)
		http_stream_gone(stream);
	if (req->replied && !req->sending) {
		http_request_free(req);
		return;
	}
	/* The handler still has it. libevhtp's buffer goes, so keep a copy. */
	if (req->body.len > 0) {
		char *copy = http_alloc(req, req->body.len);

		memcpy(copy, req->body.at, req->body.len);
		req->body.at = copy;
	}
}

/* ---- for handlers ---- */

void *http_alloc(struct http_req *req, size_t size)
{
	struct http_alloc_block *block = xcalloc(1, sizeof(*block) + size);

	block->next = req->blocks;
	req->blocks = block;
	return block->data;
}

void http_on_done(struct http_req *req, loop_fn fn, void *arg)
{
	struct http_done *done = http_alloc(req, sizeof(*done));

	done->fn = fn;
	done->arg = arg;
	done->next = req->done;
	req->done = done;
}

struct str http_method(struct http_req *req)
{
	return str_from(http_method_name(req->msg->head.method));
}

struct str http_path(struct http_req *req)
{
	return req->path;
}

struct str http_param(struct http_req *req, const char *name)
{
	return http_route_param(req->route, req->path, name);
}

bool http_param_id(struct http_req *req, const char *name, int64_t *id, struct err *err)
{
	struct str text = http_param(req, name);

	if (str_i64(text, id) && *id > 0)
		return true;
	return err_field(err, name, "%s must be a positive number", name);
}

bool http_query_text(struct http_req *req, const char *name, struct str *out,
		     struct err *err)
{
	struct str query = req->msg->head.query;
	size_t size = query.len < MAX_QUERY_VALUE ? query.len + 1 : MAX_QUERY_VALUE;
	char value[MAX_QUERY_VALUE];
	bool malformed;
	size_t len;
	char *copy;

	*out = STR_NONE;
	if (!http_query_get(query, name, value, size, &len, &malformed))
		return !malformed ||
		       err_field(err, name, "%s is too long or malformed", name);
	copy = http_alloc(req, len + 1);
	memcpy(copy, value, len);
	*out = (struct str){copy, len};
	return true;
}

bool http_query_int(struct http_req *req, const char *name, int64_t min, int64_t max,
		    int64_t *out, struct err *err)
{
	struct str query = req->msg->head.query;
	char text[32];
	bool malformed = false;
	size_t len = 0;
	int64_t n;

	if (!http_query_get(query, name, text, sizeof(text), &len, &malformed) &&
	    !malformed)
		return true;
	if (malformed || !str_i64((struct str){text, len}, &n) || n < min || n > max)
		return err_field(err, name, "%s must be a number from %lld to %lld", name,
				 (long long)min, (long long)max);
	*out = n;
	return true;
}

struct str http_header(struct http_req *req, const char *name)
{
	return http_field_get(&req->msg->head, name);
}

struct str http_body(struct http_req *req)
{
	return req->body;
}

/* "application/json" or "application/anything+json", parameters aside. */
static bool is_json(struct str type)
{
	const char *semicolon = type.len ? memchr(type.at, ';', type.len) : NULL;
	struct str app = STR("application/"), suffix = STR("+json"), tail;

	if (semicolon)
		type.len = (size_t)(semicolon - type.at);
	type = str_trim(type);
	if (str_ieq(type, STR("application/json")))
		return true;
	if (type.len <= app.len + suffix.len ||
	    !str_ieq((struct str){type.at, app.len}, app))
		return false;
	tail = (struct str){type.at + type.len - suffix.len, suffix.len};
	return str_ieq(tail, suffix);
}

json_t *http_body_json(struct http_req *req, struct err *err)
{
	struct str type = http_header(req, "content-type");

	if (req->json)
		return req->json;
	if (type.at && !is_json(type)) {
		err_slug(err, ERR_INPUT, "unsupported_media_type",
			 "the body must be application/json");
		return NULL;
	}
	if (req->body.len == 0) {
		err_set(err, ERR_INPUT, "the body is empty");
		return NULL;
	}
	req->json = js_parse_object(req->body, err);
	return req->json;
}

struct str http_request_id(struct http_req *req)
{
	return str_from(req->id);
}

struct str http_traceparent(struct http_req *req)
{
	return http_header(req, "traceparent");
}

void http_action(struct http_req *req, const char *action)
{
	req->action = action;
}

struct loop *http_loop(struct http_req *req)
{
	return req->loop;
}
