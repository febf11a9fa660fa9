/*
 * test_http_server.c - the server from outside: a real one on a free port, its
 * loop in a thread, and plain sockets as clients.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "http.h"
#include "log.h"

#define HOST "Host: t\r\n"
#define BIG  (4 * 1024 * 1024)

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct metrics *metrics;
	pthread_t thread;
	struct http_req *kept; /* answered by the test's word */
	struct http_stream *stream;
	_Atomic int closed, done, drained, handled;
	_Atomic bool refused; /* the stream's limit was hit */
	char *big;
};

/* ---- handlers ---- */

static void get_item(struct http_req *req, void *app)
{
	struct err err;
	int64_t id, limit = 7;
	struct str q;
	struct jw w;

	(void)app;
	if (!http_param_id(req, "id", &id, &err) ||
	    !http_query_int(req, "limit", 1, 100, &limit, &err) ||
	    !http_query_text(req, "q", &q, &err)) {
		http_reply_err(req, &err);
		return;
	}
	jw_init(&w, 4000);
	jw_object(&w);
	jw_kint(&w, "id", id);
	jw_kint(&w, "limit", limit);
	jw_kstr(&w, "q", q);
	jw_end(&w);
	http_set_header(req, "X-Good", "yes");
	http_set_header(req, "X-Bad", "a\r\nX-Split: 1");
	http_reply_jw(req, 200, &w);
}

static void put_item(struct http_req *req, void *app)
{
	struct fixture *f = app;
	struct err err;

	f->handled++;
	if (!http_body_json(req, &err))
		http_reply_err(req, &err);
	else
		http_reply_json(req, 200, http_body(req));
}

static void delete_item(struct http_req *req, void *app)
{
	(void)app;
	http_reply_empty(req, 204);
}

static void on_done(void *arg)
{
	struct fixture *f = arg;

	f->done++;
}

static void keep(struct http_req *req, void *app)
{
	struct fixture *f = app;

	http_on_done(req, on_done, f);
	f->kept = req;
	f->handled++;
}

static void get_big(struct http_req *req, void *app)
{
	struct fixture *f = app;

	http_reply(req, 200, "application/octet-stream", (struct str){f->big, BIG});
}

static void on_closed(void *arg)
{
	struct fixture *f = arg;

	f->stream = NULL;
	f->closed++;
}

static void get_stream(struct http_req *req, void *app)
{
	struct fixture *f = app;

	f->stream = http_stream_start(req, "text/event-stream", on_closed, f);
	http_stream_send(f->stream, STR("data: 1\n\n"), 10000);
}

static const struct http_route routes[] = {
	{"GET", "/items/:id", get_item},
	{"PUT", "/items/:id", put_item},
	{"DELETE", "/items/:id", delete_item},
	{"GET", "/keep", keep},
	{"GET", "/big", get_big},
	{"GET", "/stream", get_stream},
	{0},
};

/* ---- fixture ---- */

static void *run(void *arg)
{
	struct fixture *f = arg;

	loop_run(f->loop);
	return NULL;
}

static int set_up(void **state)
{
	static const struct http_limits limits = {
		.max_body = 1000, .max_conns = 8, .idle_s = 2, .head_s = 1, .body_s = 1};
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	log_init("test", LOG_ERROR);
	f->big = malloc(BIG);
	memset(f->big, 'b', BIG);
	f->loop = loop_new(&err);
	f->metrics = metrics_new();
	f->server = http_server_new(f->loop, "127.0.0.1:0", routes, f, &limits,
				    f->metrics, &err);
	assert_non_null(f->server);
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	*state = f;
	return 0;
}

static void stop(void *arg)
{
	struct fixture *f = arg;

	loop_stop(f->loop);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, stop, f);
	pthread_join(f->thread, NULL);
	http_server_free(f->server);
	/* One more turn: libevent keeps what has a deferred callback due. */
	loop_post(f->loop, stop, f);
	loop_run(f->loop);
	loop_free(f->loop);
	metrics_free(f->metrics);
	free(f->big);
	free(f);
	return 0;
}

/* ---- a client ---- */

static int dial_with(struct fixture *f, int receive_buffer)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(http_server_port(f->server)),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {5, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
			   sizeof(receive_buffer));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static int dial(struct fixture *f)
{
	return dial_with(f, 0);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the end, `want` (if not NULL) or 5 s; zero-terminated, static. */
static const char *hear(int fd, const char *want)
{
	static char text[1 << 16];
	size_t len = 0;
	ssize_t n = 1;

	text[0] = '\0';
	while (n > 0 && len < sizeof(text) - 1 && !(want && strstr(text, want))) {
		n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
		text[len] = '\0';
	}
	if (want && !strstr(text, want))
		fail_msg("no '%s' in: %s", want, text);
	return text;
}

static const char *ask(struct fixture *f, const char *text)
{
	int fd = dial(f);
	const char *answer;

	say(fd, text);
	answer = hear(fd, NULL);
	close(fd);
	return answer;
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (text = strstr(text, word); text; text = strstr(text + 1, word))
		n++;
	return n;
}

static void has(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("no '%s' in: %s", word, text);
}

static void lacks(const char *text, const char *word)
{
	if (strstr(text, word))
		fail_msg("'%s' in: %s", word, text);
}

static void wait_for(_Atomic int *what, int value)
{
	for (int i = 0; i < 500 && *what < value; i++)
		usleep(10000);
	assert_int_equal(*what, value);
}

static void answer_kept(void *arg)
{
	struct fixture *f = arg;

	http_reply(f->kept, 200, "text/plain", STR("late"));
}

/* ---- tests ---- */

static void answers(void **state)
{
	const char *text =
		ask(*state, "GET /items/12?q=a%20b&limit=5 HTTP/1.1\r\n" HOST
			    "X-Request-Id: abc-1\r\nConnection: close\r\n\r\n");

	has(text, "HTTP/1.1 200 OK\r\n");
	has(text, "\r\nDate: ");
	has(text, "\r\nX-Request-Id: abc-1\r\n");
	has(text, "\r\nContent-Type: application/json\r\n");
	has(text, "\r\nConnection: close\r\n");
	has(text, "\r\nX-Good: yes\r\n");
	lacks(text, "X-Split");
	has(text, "{\"id\":12,\"limit\":5,\"q\":\"a b\"}");
}

static const char *ask_item(struct fixture *f, const char *query)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "GET /items/1?%s HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", query);
	return ask(f, text);
}

/* What cannot be read must not count as absent: that would answer another question. */
static void refuses_texts(void **state)
{
	static const char *const bad[] = {"q=%ff", "limit=1&q=%c3"};
	char query[3000] = "q=";

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *text = ask_item(*state, bad[i]);

		has(text, "HTTP/1.1 400 ");
		has(text, "\"errors\":[{\"field\":\"q\"");
	}
	memset(query + 2, 'a', 2047);
	has(ask_item(*state, query), "HTTP/1.1 200 ");
	query[2 + 2047] = 'a';
	has(ask_item(*state, query), "\"errors\":[{\"field\":\"q\"");
	has(ask_item(*state, "q="), "\"q\":\"\"}");
	has(ask_item(*state, "r=%ff"), "HTTP/1.1 200 ");
}

static void answers_errors(void **state)
{
	const char *text;

	text = ask(*state, "GET /items/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 400 ");
	has(text, "application/problem+json");
	has(text, "\"errors\":[{\"field\":\"id\"");
	text = ask(*state,
		   "GET /items/1?limit=0 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "\"field\":\"limit\"");
	text = ask(*state, "GET /itemsx HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 404 ");
	has(text, "\"code\":\"not_found\"");
	text = ask(*state,
		   "GET /items/1/2 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 404 ");
	text = ask(*state,
		   "PATCH /items/1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 405 ");
	has(text, "\r\nAllow: GET, HEAD, PUT, DELETE\r\n");
	text = ask(*state, "GET /a%2fb HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 400 ");
	text = ask(*state, "OPTIONS * HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 404 ");
}

static void answers_without_body(void **state)
{
	const char *text;

	text = ask(*state,
		   "HEAD /items/12 HTTP/1.1\r\n" HOST "\r\n"
		   "DELETE /items/1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "\r\nContent-Length: 26\r\n");
	lacks(text, "\"id\"");
	has(text, "HTTP/1.1 204 No Content\r\n");
	assert_int_equal(count(text, "Content-Length"), 1);
}

static void takes_bodies(void **state)
{
	struct fixture *f = *state;
	const char *text;

	text = ask(f, "PUT /items/1 HTTP/1.1\r\n" HOST
		      "Content-Type: application/json; charset=utf-8\r\n"
		      "Content-Length: 7\r\n\r\n{\"a\":1}"
		      "PUT /items/1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
		      "Connection: close\r\n\r\n2;x=y\r\n{\"\r\n5\r\nb\":2}\r\n0\r\nX: "
		      "y\r\n\r\n");
	has(text, "\r\n\r\n{\"a\":1}");
	has(text, "\r\n\r\n{\"b\":2}");
	text = ask(f, "PUT /items/1 HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
		      "Connection: close\r\nContent-Length: 2\r\n\r\n{}");
	has(text, "HTTP/1.1 415 ");
	text = ask(f, "PUT /items/1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	has(text, "HTTP/1.1 400 ");
}

/* The socket is not watched for writing after the first answer. */
static void refuses_after_an_answer(void **state)
{
	int fd = dial(*state);

	say(fd, "GET /items/1 HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, "{\"id\"");
	usleep(50000);
	say(fd, "GET /items/1 HTTP/1.1\r\nno field\r\n\r\n");
	has(hear(fd, NULL), "HTTP/1.1 400 ");
	close(fd);
}

static void refuses_big_bodies(void **state)
{
	const char *text;

	text = ask(*state,
		   "PUT /items/1 HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n");
	has(text, "HTTP/1.1 413 ");
	has(text, "X-Request-Id: ");
	has(text, "\"code\":\"content_too_large\"");
	has(text, "Connection: close");
	text = ask(*state, "PUT /items/1 HTTP/1.1\r\n" HOST
			   "Transfer-Encoding: chunked\r\n\r\n3e9\r\n");
	has(text, "HTTP/1.1 413 ");
}

static void says_continue(void **state)
{
	int fd = dial(*state);

	say(fd, "PUT /items/1 HTTP/1.1\r\n" HOST
		"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	hear(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "{}");
	hear(fd, "HTTP/1.1 200 OK");
	close(fd);
}

static void answers_pipelined(void **state)
{
	static const char one[] = "GET /items/5 HTTP/1.1\r\n" HOST "\r\n";
	int fd = dial(*state);
	const char *text;

	for (int i = 0; i < 50; i++)
		say(fd, one);
	say(fd, "GET /items/6 HTTP/1.1\r\n" HOST "\r\n");
	shutdown(fd, SHUT_WR); /* still wants all its answers */
	text = hear(fd, NULL);
	assert_int_equal(count(text, "HTTP/1.1 200 OK"), 51);
	assert_int_equal(count(text, "{\"id\":6"), 1);
	close(fd);
}

static void reads_split_requests(void **state)
{
	static const char text[] = "PUT /items/77 HTTP/1.1\r\n" HOST
				   "Content-Length: 9\r\nConnection: close\r\n\r\n"
				   "{\"s\":123}";
	int fd = dial(*state);

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
		usleep(300);
	}
	has(hear(fd, NULL), "\r\n\r\n{\"s\":123}");
	close(fd);
}

static void times_out(void **state)
{
	int slow_head = dial(*state), slow_body = dial(*state), idle = dial(*state);

	say(slow_head, "GET / HTTP/1.1\r\n");
	say(slow_body, "PUT /items/1 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n{");
	has(hear(slow_head, NULL), "HTTP/1.1 408 ");
	has(hear(slow_body, NULL), "HTTP/1.1 408 ");
	assert_string_equal(hear(idle, NULL), "");
	close(slow_head);
	close(slow_body);
	close(idle);
}

static void limits_connections(void **state)
{
	int fds[8], extra;

	for (int i = 0; i < 8; i++) {
		fds[i] = dial(*state);
		say(fds[i], "GET /items/1 HTTP/1.1\r\n" HOST "\r\n");
		hear(fds[i], "{\"id\"");
	}
	extra = dial(*state);
	has(hear(extra, NULL), "HTTP/1.1 503 ");
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(extra);
}

static void survives_clients_that_leave(void **state)
{
	struct fixture *f = *state;
	struct linger reset = {1, 0};

	for (int i = 1; i <= 5; i++) {
		int fd = dial(f);

		say(fd, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
		wait_for(&f->handled, i);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
		usleep(20000);
		loop_post(f->loop, answer_kept, f);
		wait_for(&f->done, i);
	}
	has(ask(f, "GET /items/1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"),
	    "200 OK");
}

static void free_with_a_request_open(struct fixture *f, bool reset)
{
	struct linger how = {reset, 0};
	int fd = dial(f);

	say(fd, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&f->handled, 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof(how));
	close(fd);
	usleep(20000);
	loop_post(f->loop, stop, f);
	pthread_join(f->thread, NULL);
	http_server_free(f->server);
	f->server = NULL;
	assert_int_equal(f->done, 0);
	answer_kept(f); /* dropped, and frees the request */
	assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
	wait_for(&f->done, 1);
}

static void frees_with_a_request_open(void **state)
{
	free_with_a_request_open(*state, false);
}

static void frees_with_a_request_reset(void **state)
{
	free_with_a_request_open(*state, true);
}

static void sends_big_answers_to_slow_clients(void **state)
{
	int fd = dial_with(*state, 4096);
	char piece[16384];
	size_t total = 0;
	ssize_t n;

	say(fd, "GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	usleep(100000);
	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		total += (size_t)n;
	assert_true(total > BIG && total < BIG + 1000);
	close(fd);
}

/* ---- streams ---- */

static void send_event(void *arg)
{
	struct fixture *f = arg;

	if (f->stream)
		http_stream_send(f->stream, STR("data: 2\n\n"), 10000);
}

static void close_stream(void *arg)
{
	struct fixture *f = arg;

	http_stream_close(f->stream);
}

static void streams(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, "9\r\ndata: 1\n\n\r\n");
	loop_post(f->loop, send_event, f);
	hear(fd, "9\r\ndata: 2\n\n\r\n");
	assert_int_equal(f->closed, 0);
	loop_post(f->loop, close_stream, f);
	has(hear(fd, NULL), "0\r\n\r\n");
	wait_for(&f->closed, 1);
	close(fd);
}

static void streams_notice_the_client_leaving(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, "data: 1\n\n");
	close(fd);
	wait_for(&f->closed, 1);
	loop_post(f->loop, send_event, f);

	fd = dial(f);
	say(fd, "HEAD /stream HTTP/1.1\r\n" HOST "\r\n");
	lacks(hear(fd, NULL), "data:");
	wait_for(&f->closed, 2);
	close(fd);
}

static void fill_stream(void *arg)
{
	struct fixture *f = arg;
	struct str chunk = {f->big, 60000};

	for (int i = 0; i < 1000 && !f->refused; i++)
		f->refused = !http_stream_send(f->stream, chunk, 200000);
	http_stream_close(f->stream);
	f->handled++;
}

static void streams_are_bounded(void **state)
{
	struct fixture *f = *state;
	int fd = dial_with(f, 4096);

	say(fd, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	hear(fd, "data: 1\n\n");
	loop_post(f->loop, fill_stream, f);
	wait_for(&f->handled, 1);
	assert_true(f->refused);
	wait_for(&f->closed, 1);
	close(fd);
}

/* ---- drain ---- */

static void on_drained(void *arg)
{
	struct fixture *f = arg;

	f->drained++;
}

static void drain(void *arg)
{
	struct fixture *f = arg;

	http_server_drain(f->server, on_drained, f);
}

static void drains(void **state)
{
	struct fixture *f = *state;
	int idle = dial(f), late = dial(f), busy = dial(f), stream = dial(f);

	say(idle, "GET /items/1 HTTP/1.1\r\n" HOST "\r\n");
	hear(idle, "{\"id\"");
	say(late, "GET /items/1 HTTP/1.1\r\n" HOST "\r\n");
	hear(late, "{\"id\"");
	say(stream, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	hear(stream, "data: 1\n\n");
	say(busy, "GET /keep HTTP/1.1\r\n" HOST "\r\n");
	wait_for(&f->handled, 1);

	loop_post(f->loop, drain, f);
	usleep(100000);
	/* It was on its way when we stopped listening. */
	say(late, "GET /items/1 HTTP/1.1\r\n" HOST "\r\n");
	has(hear(late, NULL), "Connection: close");
	assert_string_equal(hear(idle, NULL), "");
	has(hear(stream, NULL), "0\r\n\r\n");
	assert_int_equal(f->drained, 0);
	loop_post(f->loop, answer_kept, f);
	has(hear(busy, NULL), "Connection: close");
	wait_for(&f->drained, 1);
	close(idle);
	close(late);
	close(busy);
	close(stream);
}

static void drains_when_idle(void **state)
{
	struct fixture *f = *state;

	loop_post(f->loop, drain, f);
	wait_for(&f->drained, 1);
}

static void counts_requests(void **state)
{
	struct fixture *f = *state;
	size_t len;
	char *page;

	ask(f, "GET /items/1 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	ask(f, "GET /nothing HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	ask(f, "BAD\r\n\r\n");
	page = metrics_text(f->metrics, &len);
	has(page, "shop_http_requests_total{route=\"/items/"
		  ":id\",method=\"GET\",code=\"200\"} 1");
	has(page,
	    "shop_http_requests_total{route=\"none\",method=\"any\",code=\"404\"} 1");
	has(page,
	    "shop_http_requests_total{route=\"none\",method=\"any\",code=\"400\"} 1");
	free(page);
}

static void refuses_bad_addresses(void **state)
{
	static const char *const bad[] = {"nonsense", "127.0.0.1:x", ":80",
					  "127.0.0.1:99999", "no.such.host.invalid:80"};
	struct fixture *f = *state;
	struct err err;
	char taken[32];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(
			http_server_new(f->loop, bad[i], routes, f, NULL, NULL, &err));
	snprintf(taken, sizeof(taken), "127.0.0.1:%u", http_server_port(f->server));
	assert_null(http_server_new(f->loop, taken, routes, f, NULL, NULL, &err));
}

#define SERVED(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(answers),
		SERVED(answers_errors),
		SERVED(refuses_texts),
		SERVED(answers_without_body),
		SERVED(takes_bodies),
		SERVED(refuses_after_an_answer),
		SERVED(refuses_big_bodies),
		SERVED(says_continue),
		SERVED(answers_pipelined),
		SERVED(reads_split_requests),
		SERVED(times_out),
		SERVED(limits_connections),
		SERVED(survives_clients_that_leave),
		SERVED(frees_with_a_request_open),
		SERVED(frees_with_a_request_reset),
		SERVED(sends_big_answers_to_slow_clients),
		SERVED(streams),
		SERVED(streams_notice_the_client_leaving),
		SERVED(streams_are_bounded),
		SERVED(drains),
		SERVED(drains_when_idle),
		SERVED(counts_requests),
		SERVED(refuses_bad_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
