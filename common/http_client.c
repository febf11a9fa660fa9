/*
 * http_client.c - calls: build the request, wait for a connection, give the
 * answer back.  The connections are http_client_conn.c.
 *
 * A call goes   http_client_call -> waiting -> run_queue -> a connection ->
 * answered or failed -> cb.   run_queue always runs from a timer, so a callback
 * may start the next call and still get the connection that just became free.
 */
#include "http_client.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_client_internal.h"
#include "http_text.h"
#include "js.h"
#include "log.h"
#include "timeutil.h"

struct full_answer {
	struct http_answer pub; /* first, so that one converts to the other */
	const struct http_head *head;
};

static void run_queue(void *arg);

static void set_defaults(struct http_client_config *cfg)
{
	cfg->max_conns = cfg->max_conns ? cfg->max_conns : 32;
	cfg->max_waiting = cfg->max_waiting ? cfg->max_waiting : 256;
	cfg->max_body = cfg->max_body ? cfg->max_body : 1 << 20;
	cfg->connect_ms = cfg->connect_ms ? cfg->connect_ms : 300;
	cfg->idle_ms = cfg->idle_ms ? cfg->idle_ms : 10000;
}

struct http_client *http_client_new(struct loop *loop,
				    const struct http_client_config *cfg,
				    struct metrics *metrics, struct err *err)
{
	struct http_client *client = xcalloc(1, sizeof(*client));

	if (!origin_parse(str_from(cfg->base_url), &client->origin, err)) {
		free(client);
		return NULL;
	}
	client->loop = loop;
	client->cfg = *cfg;
	client->cfg.base_url = NULL; /* the caller's; parsed into origin */
	set_defaults(&client->cfg);
	client->metrics = metrics;
	TAILQ_INIT(&client->waiting);
	TAILQ_INIT(&client->idle);
	TAILQ_INIT(&client->busy);
	if (!client->origin.addr_len)
		client->dns = origin_resolver_new(loop);
	client->kick = loop_timer_new(loop, run_queue, client);
	return client;
}

void http_client_free(struct http_client *client)
{
	struct err err;

	if (!client)
		return;
	/* Detach first: a callback must not find a half-freed connection. */
	while (!TAILQ_EMPTY(&client->busy)) {
		struct client_conn *conn = TAILQ_FIRST(&client->busy);
		struct client_call *call = conn->call;

		err_set(&err, client_conn_sent(conn) ? ERR_UPSTREAM : ERR_BUSY,
			"the process is stopping");
		client_conn_free(conn);
		client_call_failed(call, &err);
	}
	err_set(&err, ERR_BUSY, "the process is stopping");
	while (!TAILQ_EMPTY(&client->waiting))
		client_call_failed(TAILQ_FIRST(&client->waiting), &err);
	while (!TAILQ_EMPTY(&client->idle))
		client_conn_free(TAILQ_FIRST(&client->idle));
	while (client->series) {
		struct call_series *next = client->series->next;

		free(client->series);
		client->series = next;
	}
	loop_timer_free(client->kick);
	origin_resolver_free(client->dns, client->loop);
	free(client);
}

/* ---- the request ---- */

static bool request_ok(const struct http_call *call)
{
	if (!http_is_token(str_from(call->method)) || call->path[0] != '/')
		return false;
	for (const unsigned char *c = (const unsigned char *)call->path; *c; c++) {
		if (*c <= ' ' || *c >= 0x7f)
			return false;
	}
	for (const struct http_header_pair *h = call->headers; h && h->name; h++) {
		if (!http_is_token(str_from(h->name)) ||
		    (h->value.at && !http_is_value(h->value)))
			return false;
	}
	return true;
}

/* RFC 9110 section 9.2.2 */
static bool is_idempotent(const char *method)
{
	static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(method, names[i]) == 0)
			return true;
	}
	return false;
}

static bool has_body(const struct http_call *spec)
{
	return spec->body.len > 0 || strcmp(spec->method, "POST") == 0 ||
	       strcmp(spec->method, "PUT") == 0;
}

static void build_request(struct client_call *call, const struct http_call *spec)
{
	struct evbuffer *text = evbuffer_new();
	struct http_text w = {.out = text};

	http_text_add(&w, str_from(spec->method));
	http_text_add(&w, STR(" "));
	http_text_add(&w, str_from(spec->path));
	http_text_add(&w, STR(" HTTP/1.1\r\n"));
	http_text_field(&w, STR("Host"), str_from(call->client->origin.authority));
	for (const struct http_header_pair *h = spec->headers; h && h->name; h++) {
		if (h->value.at)
			http_text_field(&w, str_from(h->name), h->value);
	}
	if (spec->body.len)
		http_text_field(&w, STR("Content-Type"), STR("application/json"));
	if (has_body(spec))
		http_text_length(&w, spec->body.len);
	http_text_add(&w, STR("\r\n"));
	http_text_add(&w, spec->body);
	http_text_end(&w);

	call->request_len = evbuffer_get_length(text);
	call->request = xrealloc(NULL, call->request_len);
	evbuffer_remove(text, call->request, call->request_len);
	evbuffer_free(text);
}

static void on_deadline(void *arg)
{
	struct client_call *call = arg;
	struct client_conn *conn = call->conn;
	struct err err;

	if (conn && client_conn_sent(conn))
		err_set(&err, ERR_TIMEOUT, "%s did not answer in time",
			call->client->origin.authority);
	else
		err_set(&err, ERR_BUSY, "no connection to %s in time",
			call->client->origin.authority);
	if (conn)
		client_conn_free(conn);
	client_call_failed(call, &err);
}

/* The call could not be taken: says so on the next turn. */
static void on_refused(void *arg)
{
	struct client_call *call = arg;
	struct err err;

	if (call->malformed)
		err_set(&err, ERR_INTERNAL, "malformed call '%s'", call->label);
	else
		err_set(&err, ERR_BUSY, "too many calls to %s are waiting",
			call->client->origin.authority);
	client_call_failed(call, &err);
}

void http_client_call(struct http_client *client, const struct http_call *spec,
		      http_client_cb cb, void *arg)
{
	struct client_call *call = xcalloc(1, sizeof(*call));
	bool full = client->n_waiting >= client->cfg.max_waiting;
	bool good = request_ok(spec);

	call->client = client;
	call->idempotent = is_idempotent(spec->method);
	call->to_head = strcmp(spec->method, "HEAD") == 0;
	call->label = spec->label ? spec->label : "other";
	call->started_us = time_mono_us();
	call->cb = cb;
	call->arg = arg;
	call->malformed = !good;
	if (good && !full) /* without a request it is never sent */
		build_request(call, spec);
	TAILQ_INSERT_TAIL(&client->waiting, call, link);
	client->n_waiting++;
	if (full || !good) {
		call->deadline = loop_timer_new(client->loop, on_refused, call);
		loop_timer_start(call->deadline, 0);
		return;
	}
	call->deadline = loop_timer_new(client->loop, on_deadline, call);
	loop_timer_start(call->deadline, spec->timeout_ms);
	client_kick(client);
}

/* ---- the queue ---- */

void client_kick(struct http_client *client)
{
	if (!TAILQ_EMPTY(&client->waiting))
		loop_timer_start(client->kick, 0);
}

static void leave_queue(struct client_call *call)
{
	TAILQ_REMOVE(&call->client->waiting, call, link);
	call->link.tqe_prev = NULL;
	call->client->n_waiting--;
}

/* Finds or makes a connection for the call; false: all are in use. */
static bool start_call(struct http_client *client, struct client_call *call)
{
	struct client_conn *idle = TAILQ_FIRST(&client->idle);

	if (idle && !call->again) {
		leave_queue(call);
		client_conn_send(idle, call);
		return true;
	}
	if (idle && client->n_conns >= client->cfg.max_conns)
		client_conn_free(TAILQ_LAST(&client->idle, client_conns));
	if (client->n_conns >= client->cfg.max_conns)
		return false;
	leave_queue(call);
	client_conn_open(call);
	return true;
}

static void run_queue(void *arg)
{
	struct http_client *client = arg;
	struct client_call *call = TAILQ_FIRST(&client->waiting);

	while (call) {
		struct client_call *next = TAILQ_NEXT(call, link);

		/* A refused call only waits here to say so; it has its own timer. */
		if (call->request && !start_call(client, call))
			return;
		call = next;
	}
}

void client_call_again(struct client_call *call, bool sent)
{
	struct http_client *client = call->client;

	call->conn = NULL;
	call->again = call->again || sent;
	TAILQ_INSERT_HEAD(&client->waiting, call, link);
	client->n_waiting++;
	client_kick(client);
}

/* ---- the answer ---- */

/* The series of a label, looked up once. Labels are literals, and few. */
static struct call_series *series_of(struct http_client *client, const char *label)
{
	struct call_series *series = client->series;
	char labels[96];

	while (series && series->label != label)
		series = series->next;
	if (series)
		return series;
	series = xcalloc(1, sizeof(*series));
	series->label = label;
	snprintf(labels, sizeof(labels), "call=\"%s\"", label);
	series->seconds =
		metrics_histogram(client->metrics, "shop_http_client_call_seconds",
				  "time until the answer or the failure", labels);
	series->next = client->series;
	client->series = series;
	return series;
}

static struct metric *result_series(struct http_client *client,
				    struct call_series *series, const char *result)
{
	char labels[160];
	size_t i = 0;

	while (i < CALL_RESULTS && series->results[i].name &&
	       strcmp(series->results[i].name, result) != 0)
		i++;
	if (i < CALL_RESULTS && series->results[i].name)
		return series->results[i].count;
	snprintf(labels, sizeof(labels), "call=\"%s\",result=\"%s\"", series->label,
		 result);
	if (i == CALL_RESULTS)
		i--;
	series->results[i].name = result;
	series->results[i].count =
		metrics_counter(client->metrics, "shop_http_client_calls_total",
				"calls to other services", labels);
	return series->results[i].count;
}

/* `result` is a literal. */
static void count(const struct client_call *call, const char *result)
{
	struct http_client *client = call->client;
	struct call_series *series;

	if (!client->metrics)
		return;
	series = series_of(client, call->label);
	metric_add(result_series(client, series, result), 1);
	metric_observe_us(series->seconds, time_mono_us() - call->started_us);
}

static void call_free(struct client_call *call)
{
	struct http_client *client = call->client;

	if (!call->conn && call->link.tqe_prev)
		leave_queue(call);
	loop_timer_free(call->deadline);
	free(call->request);
	free(call);
	client_kick(client);
}

void client_call_answered(struct client_call *call, const struct client_conn *conn)
{
	struct full_answer answer = {.pub = {.status = conn->head.status,
					     .body = {conn->body, conn->body_len}},
				     .head = &conn->head};
	static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};

	if (!answer.pub.body.at)
		answer.pub.body = STR("");
	count(call, classes[conn->head.status / 100]);
	call->cb(&answer.pub, NULL, call->arg);
	call_free(call);
}

void client_call_failed(struct client_call *call, const struct err *err)
{
	struct err why = *err;

	/* It was sent once, and nobody knows what became of that. */
	if (call->again && why.code == ERR_BUSY)
		why.code = ERR_UPSTREAM;
	count(call, err_default_slug(why.code));
	call->cb(NULL, &why, call->arg);
	call_free(call);
}

struct str http_answer_header(const struct http_answer *answer, const char *name)
{
	const struct full_answer *full = (const struct full_answer *)answer;

	return http_field_get(full->head, name);
}

static enum err_code code_of(int status)
{
	static const enum err_code codes[] = {ERR_UNAUTHORIZED,
					      ERR_FORBIDDEN,
					      ERR_NOT_FOUND,
					      ERR_CONFLICT,
					      ERR_PRECONDITION,
					      ERR_UNPROCESSABLE,
					      ERR_PRECONDITION_REQUIRED,
					      ERR_BUSY,
					      ERR_TIMEOUT};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		if (err_status(codes[i]) == status)
			return codes[i];
	}
	if (status == 429)
		return ERR_BUSY;
	return status >= 400 && status < 500 ? ERR_INPUT : ERR_UPSTREAM;
}

void http_answer_err(const struct http_answer *answer, struct err *err)
{
	json_t *problem = js_parse_object(answer->body, NULL);
	const char *slug = json_string_value(json_object_get(problem, "code"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	uint64_t after;

	err_set(err, code_of(answer->status), "%.200s",
		detail ? detail : "another service refused the call");
	if (slug)
		snprintf(err->slug, sizeof(err->slug), "%.47s", slug);
	if (str_u64(http_answer_header(answer, "Retry-After"), &after) && after <= 3600)
		err->retry_after_s = (unsigned)after;
	json_decref(problem);
}
