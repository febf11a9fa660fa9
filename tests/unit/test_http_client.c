/*
 * test_http_client.c - the client against a scripted server: each accepted
 * connection follows the next script, one step per received request.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_client.h"
#include "loop.h"
#include "silent_server.h"

#define MAX_CONNS 4
#define MAX_STEPS 4

/* What a connection answers to its requests, in order; NULL closes. "" waits
 * until the client goes away. A text that starts with '!' is sent and the
 * connection closed behind it. */
struct script {
	const char *steps[MAX_CONNS][MAX_STEPS];
};

struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	const struct script *script;
	unsigned n_conns;
	char seen[MAX_CONNS * MAX_STEPS][2048]; /* requests in order */
	unsigned n_seen;
};

static bool read_request(struct server *server, int fd)
{
	char *text = server->seen[server->n_seen];
	size_t len = 0;

	while (len < sizeof(server->seen[0]) - 1) {
		ssize_t n = read(fd, text + len, sizeof(server->seen[0]) - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, "\r\n\r\n"))
			break;
	}
	server->n_seen++;
	return true;
}

static void serve_conn(struct server *server, int fd, const char *const *steps)
{
	for (unsigned i = 0; i < MAX_STEPS && steps[i]; i++) {
		const char *text = steps[i];
		bool last = text[0] == '!';
		char drop[256];

		if (!read_request(server, fd))
			return;
		text += last ? 1 : 0;
		if (write(fd, text, strlen(text)) < 0 || last)
			return;
		while (!*text && read(fd, drop, sizeof(drop)) > 0)
			;
	}
}

static void *serve(void *arg)
{
	struct server *server = arg;

	for (unsigned i = 0; i < server->n_conns; i++) {
		int fd = accept(server->fd, NULL, NULL);

		if (fd < 0)
			break;
		serve_conn(server, fd, server->script->steps[i]);
		close(fd);
	}
	return NULL;
}

struct fixture {
	struct server server;
	struct loop *loop;
	struct http_client *client;
	/* of the last call */
	int status;
	enum err_code code;
	char body[256], type[64], slug[64];
	unsigned done;
};

/* Without connections to serve nobody listens. */
static void start(struct fixture *f, const struct script *script, unsigned n_conns,
		  struct http_client_config *cfg)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);
	char url[64];
	struct err err;

	memset(f, 0, sizeof(*f));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->server.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(f->server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (n_conns)
		assert_int_equal(listen(f->server.fd, 8), 0);
	getsockname(f->server.fd, (struct sockaddr *)&at, &len);
	f->server.script = script;
	f->server.n_conns = n_conns;
	pthread_create(&f->server.thread, NULL, serve, &f->server);

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(at.sin_port));
	cfg->base_url = url;
	f->loop = loop_new(&err);
	f->client = http_client_new(f->loop, cfg, NULL, &err);
	assert_non_null(f->client);
}

static void stop(struct fixture *f)
{
	http_client_free(f->client);
	/* libevent closes a freed connection on its next turn. */
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
	shutdown(f->server.fd, SHUT_RDWR);
	pthread_join(f->server.thread, NULL);
	close(f->server.fd);
	loop_free(f->loop);
}

static void on_answer(const struct http_answer *answer, const struct err *err, void *arg)
{
	struct fixture *f = arg;
	struct err problem;

	f->done++;
	f->code = err ? err->code : ERR_NONE;
	f->status = answer ? answer->status : 0;
	if (err)
		str_copy(f->slug, sizeof(f->slug), str_from(err->slug));
	if (answer) {
		str_copy(f->body, sizeof(f->body), answer->body);
		str_copy(f->type, sizeof(f->type),
			 http_answer_header(answer, "content-type"));
		http_answer_err(answer, &problem);
		str_copy(f->slug, sizeof(f->slug), str_from(problem.slug));
	}
	loop_stop(f->loop);
}

static void call(struct fixture *f, const char *method, const char *body, int timeout_ms)
{
	const struct http_header_pair headers[] = {
		{"X-Request-Id", STR("abc")}, {"X-None", STR_NONE}, {NULL, STR_NONE}};
	struct http_call spec = {.method = method,
				 .path = "/a?b=1",
				 .headers = headers,
				 .body = str_from(body),
				 .timeout_ms = timeout_ms,
				 .label = "test"};
	unsigned before = f->done;

	http_client_call(f->client, &spec, on_answer, f);
	assert_int_equal(f->done, before); /* never inside the call */
	loop_run(f->loop);
	assert_int_equal(f->done, before + 1);
}

#define OK_HI "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"

static void keeps_the_connection(void **state)
{
	static const struct script script = {
		{{OK_HI,
		  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nT: "
		  "v\r\n\r\n",
		  "HTTP/1.1 204 No Content\r\n\r\n"}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 1, &(struct http_client_config){0});
	call(&f, "POST", "{\"a\":1}", 2000);
	assert_int_equal(f.status, 200);
	assert_string_equal(f.body, "hi");
	assert_string_equal(f.type, "text/plain");
	call(&f, "GET", "", 2000);
	assert_int_equal(f.status, 201);
	assert_string_equal(f.body, "abc");
	call(&f, "GET", "", 2000);
	assert_int_equal(f.status, 204);
	stop(&f);

	assert_int_equal(f.server.n_seen, 3);
	assert_non_null(
		strstr(f.server.seen[0], "POST /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
	assert_non_null(strstr(f.server.seen[0], "X-Request-Id: abc\r\n"));
	assert_non_null(strstr(f.server.seen[0], "Content-Type: application/json\r\n"));
	assert_non_null(strstr(f.server.seen[0], "Content-Length: 7\r\n\r\n"));
	assert_null(strstr(f.server.seen[0], "X-None"));
	assert_null(strstr(f.server.seen[1], "Content-Length"));
}

/* The kept connection dies with the second request: sent again when idempotent. */
static void repeats_only_what_is_safe(void **state)
{
	static const struct script script = {{{OK_HI, "!"}, {OK_HI, "!"}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 2, &(struct http_client_config){0});
	call(&f, "GET", "", 2000);
	call(&f, "PUT", "{}", 2000);
	assert_int_equal(f.status, 200);
	assert_int_equal(f.server.n_seen, 3);
	call(&f, "POST", "{}", 2000);
	assert_int_equal(f.code, ERR_UPSTREAM);
	stop(&f);
}

/* Sent once, and the second try finds nobody: that is not "was not sent". */
static void sent_once_is_not_busy(void **state)
{
	static const struct script script = {{{OK_HI, "!"}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 1, &(struct http_client_config){0});
	call(&f, "GET", "", 2000);
	shutdown(f.server.fd, SHUT_RDWR);
	call(&f, "PUT", "{}", 300);
	assert_int_equal(f.code, ERR_UPSTREAM);
	stop(&f);
	assert_int_equal(f.server.n_seen, 2);
}

/* Bytes behind a complete answer must not become the next answer. */
static void drops_what_is_left_over(void **state)
{
	static const struct script script = {{{"!" OK_HI OK_HI}, {"!" OK_HI}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 2, &(struct http_client_config){0});
	call(&f, "GET", "", 2000);
	call(&f, "GET", "", 2000);
	assert_int_equal(f.status, 200);
	assert_int_equal(f.server.n_seen, 2);
	stop(&f);
}

static void one_bad(const char *answer)
{
	struct script script = {{{answer}}};
	struct fixture f;

	start(&f, &script, 1, &(struct http_client_config){.max_body = 100});
	call(&f, "GET", "", 2000);
	if (f.code != ERR_UPSTREAM)
		fail_msg("accepted: %s", answer);
	stop(&f);
}

static void refuses_bad_answers(void **state)
{
	(void)state;
	one_bad("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi");
	one_bad("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" OK_HI OK_HI OK_HI);
	one_bad("!HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi");
	one_bad("!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
	one_bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n");
	one_bad("HTTP/1.1 101 Switching Protocols\r\n\r\n");
	one_bad("nonsense\r\n\r\n");
	one_bad("!");
	one_bad("!HTTP/1.1 200");
}

static void until_close_and_problem(void **state)
{
	static const struct script script = {{{"!HTTP/1.1 409 "
					       "Conflict\r\n\r\n{\"code\":\"insufficient_"
					       "stock\",\"detail\":\"no\"}"}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 1, &(struct http_client_config){0});
	call(&f, "GET", "", 2000);
	assert_int_equal(f.status, 409);
	assert_string_equal(f.slug, "insufficient_stock");
	stop(&f);
}

static void times_out(void **state)
{
	static const struct script script = {{{""}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 2, &(struct http_client_config){0});
	call(&f, "GET", "", 50);
	assert_int_equal(f.code, ERR_TIMEOUT);
	stop(&f);
}

static void nobody_listens(void **state)
{
	static const struct script script = {{{NULL}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 0, &(struct http_client_config){0});
	call(&f, "GET", "", 300);
	assert_int_equal(f.code, ERR_BUSY);
	assert_string_equal(f.slug, "");
	stop(&f);
}

/* ---- connections that cannot be made at first ---- */

static const struct script always_hi = {{{OK_HI}, {OK_HI}, {OK_HI}, {OK_HI}}};

static void *serve_later(void *arg)
{
	struct server *server = arg;

	usleep(150 * 1000);
	listen(server->fd, 8);
	return serve(server);
}

/* The server that start() left without connections begins to serve some. */
static void begin_later(struct fixture *f)
{
	pthread_join(f->server.thread, NULL);
	f->server.n_conns = MAX_CONNS;
	pthread_create(&f->server.thread, NULL, serve_later, &f->server);
}

/* The server takes connections only after a while; until then they get lost, or are
 * refused. */
static void calls_before_it_begins(bool lost)
{
	struct http_client_config cfg = {.connect_ms = lost ? 100 : 0};
	struct fixture f;

	start(&f, &always_hi, 0, &cfg);
	if (lost)
		assert_true(silent_server_fill(f.server.fd));
	begin_later(&f);
	call(&f, "POST", "{}", 10000);
	assert_int_equal(f.status, 200);
	stop(&f);
	assert_int_equal(f.server.n_seen, 1);
}

static void a_lost_syn_is_no_failure(void **state)
{
	(void)state;
	calls_before_it_begins(true);
}

static void a_refusal_is_no_failure(void **state)
{
	(void)state;
	calls_before_it_begins(false);
}

static void a_refusal_is_one_for_who_wants_to_know(void **state)
{
	static const struct script script = {{{NULL}}};
	struct fixture f;

	(void)state;
	start(&f, &script, 0, &(struct http_client_config){.fail_refused = true});
	call(&f, "GET", "", 10000);
	assert_int_equal(f.code, ERR_BUSY);
	assert_string_equal(f.slug, "refused");
	stop(&f);
}

/* Freed between two attempts: it was not sent. */
static void stopped_while_pausing(void **state)
{
	static const struct script script = {{{NULL}}};
	struct http_call spec = {.method = "GET", .path = "/", .timeout_ms = 5000};
	const struct timeval soon = {0, 100 * 1000};
	struct fixture f;

	(void)state;
	start(&f, &script, 0, &(struct http_client_config){0});
	http_client_call(f.client, &spec, on_answer, &f);
	event_base_loopexit(loop_base(f.loop), &soon);
	event_base_dispatch(loop_base(f.loop));
	assert_int_equal(f.done, 0);
	stop(&f);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.code, ERR_BUSY);
}

static void refuses_header_injection(void **state)
{
	static const struct script script = {{{NULL}}};
	const struct http_header_pair headers[] = {{"X-A", STR("a\r\nB: c")},
						   {NULL, STR_NONE}};
	struct http_call spec = {
		.method = "GET", .path = "/", .headers = headers, .timeout_ms = 100};
	struct fixture f;

	(void)state;
	start(&f, &script, 0, &(struct http_client_config){0});
	http_client_call(f.client, &spec, on_answer, &f);
	assert_int_equal(f.done, 0);
	loop_run(f.loop);
	assert_int_equal(f.code, ERR_INTERNAL);
	stop(&f);
}

/* One connection, one place in the queue: the third call is refused at once,
 * the second one waits for its deadline; freeing the client ends the first. */
static void queue_is_bounded(void **state)
{
	static const struct script script = {{{""}}};
	struct http_call spec = {.method = "GET", .path = "/", .timeout_ms = 5000};
	struct fixture f;

	(void)state;
	start(&f, &script, 1,
	      &(struct http_client_config){.max_conns = 1, .max_waiting = 1});
	http_client_call(f.client, &spec, on_answer, &f);
	event_base_loop(loop_base(f.loop), EVLOOP_ONCE); /* it gets the connection */
	spec.timeout_ms = 100;
	http_client_call(f.client, &spec, on_answer, &f);
	http_client_call(f.client, &spec, on_answer, &f);
	loop_run(f.loop);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.code, ERR_BUSY);
	loop_run(f.loop);
	assert_int_equal(f.done, 2);
	assert_int_equal(f.code, ERR_BUSY);
	stop(&f);
	assert_int_equal(f.done, 3);
}

/* There would be a connection for it, but it has been told that there is no room. */
static void refused_is_never_sent(void **state)
{
	static const struct script script = {{{OK_HI}, {OK_HI}, {OK_HI}}};
	struct http_call spec = {.method = "GET", .path = "/", .timeout_ms = 5000};
	struct fixture f;

	(void)state;
	start(&f, &script, 3,
	      &(struct http_client_config){.max_conns = 8, .max_waiting = 2});
	for (int i = 0; i < 3; i++)
		http_client_call(f.client, &spec, on_answer, &f);
	for (int i = 0; i < 3; i++)
		loop_run(f.loop);
	assert_int_equal(f.done, 3);
	stop(&f);
	assert_int_equal(f.server.n_seen, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_connection),
		cmocka_unit_test(repeats_only_what_is_safe),
		cmocka_unit_test(sent_once_is_not_busy),
		cmocka_unit_test(drops_what_is_left_over),
		cmocka_unit_test(refuses_bad_answers),
		cmocka_unit_test(until_close_and_problem),
		cmocka_unit_test(times_out),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(a_lost_syn_is_no_failure),
		cmocka_unit_test(a_refusal_is_no_failure),
		cmocka_unit_test(a_refusal_is_one_for_who_wants_to_know),
		cmocka_unit_test(stopped_while_pausing),
		cmocka_unit_test(refuses_header_injection),
		cmocka_unit_test(queue_is_bounded),
		cmocka_unit_test(refused_is_never_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
