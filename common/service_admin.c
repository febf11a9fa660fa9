/* service_admin.c - /healthz, /readyz, /metrics and /version on ADMIN_LISTEN. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "service_internal.h"
#include "timeutil.h"

/* A loop that has not turned for so long is stuck. */
#define STUCK_MS 5000
/* /readyz?wait=SECONDS: the most, and how often it is looked. */
#define WAIT_MAX_S 10
#define LOOK_MS    20
/* --health: seconds for connecting, sending, and each piece of the answer. */
#define PROBE_S 2

static void get_healthz(struct http_req *req, void *arg)
{
	struct service *service = arg;
	int64_t since = time_mono_ms() - loop_last_turn_ms(service->loop);

	if (since > STUCK_MS)
		http_reply(req, 503, "text/plain", STR("the event loop is stuck\n"));
	else
		http_reply(req, 200, "text/plain", STR("ok\n"));
}

/* Writes the failed checks; true when there is none. */
static bool run_checks(struct service *service, struct jw *w)
{
	bool ready = service->state == SERVICE_SERVING;

	if (!ready)
		jw_kstrz(w, "process",
			 service->state == SERVICE_STARTING ? "starting" : "stopping");
	for (const struct check *c = service->checks; c; c = c->next) {
		const char *why = "not ready";

		if (c->fn(c->arg, &why)) {
			jw_kstrz(w, c->name, "ok");
			continue;
		}
		jw_kstrz(w, c->name, why);
		ready = false;
	}
	return ready;
}

/* A question that waits for a better answer. */
struct question {
	struct service *service;
	struct http_req *req;
	struct loop_timer *look;
	int64_t deadline_ms;
};

static void question_done(void *arg)
{
	struct question *q = arg;

	loop_timer_free(q->look);
}

static void answer_readyz(void *arg)
{
	struct question *q = arg;
	struct jw checks, w;
	bool ready;

	jw_init(&checks, 16384);
	jw_object(&checks);
	ready = run_checks(q->service, &checks);
	jw_end(&checks);
	if (!ready && !service_draining(q->service) && time_mono_ms() < q->deadline_ms) {
		jw_fini(&checks);
		loop_timer_start(q->look, LOOK_MS);
		return;
	}

	jw_init(&w, 20000);
	jw_object(&w);
	jw_kbool(&w, "ready", ready);
	jw_key(&w, "checks");
	jw_raw(&w, jw_text(&checks));
	jw_end(&w);
	jw_fini(&checks);
	http_reply_jw(q->req, ready ? 200 : 503, &w);
}

/* ?wait=SECONDS: 200 as soon as that is so, what is not ready only after them. Who asks
 * once a second learns of a start at once. */
static void get_readyz(struct http_req *req, void *arg)
{
	struct question *q = http_alloc(req, sizeof(*q));
	int64_t wait_s = 0;
	struct err err;

	if (!http_query_int(req, "wait", 0, WAIT_MAX_S, &wait_s, &err)) {
		http_reply_err(req, &err);
		return;
	}
	q->service = arg;
	q->req = req;
	q->deadline_ms = time_mono_ms() + wait_s * 1000;
	q->look = loop_timer_new(q->service->loop, answer_readyz, q);
	http_on_done(req, question_done, q);
	answer_readyz(q);
}

static void get_metrics(struct http_req *req, void *arg)
{
	struct service *service = arg;
	size_t len;
	char *text = metrics_text(service->metrics, &len);

	http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8",
		   (struct str){text, len});
	free(text);
}

static void get_version(struct http_req *req, void *arg)
{
	struct service *service = arg;
	struct jw w;

	jw_init(&w, 4096);
	jw_object(&w);
	jw_kstrz(&w, "service", service->spec->name);
	jw_kstrz(&w, "version", service_version(service));
	jw_end(&w);
	http_reply_jw(req, 200, &w);
}

static const struct http_route routes[] = {
	{"GET", "/healthz", get_healthz},
	{"GET", "/readyz", get_readyz},
	{"GET", "/metrics", get_metrics},
	{"GET", "/version", get_version},
	{0},
};

bool service_admin_start(struct service *service, struct err *err)
{
	static const struct http_limits limits = {.max_body = 1024, .max_conns = 64};

	service->admin = http_server_new(service->loop, service->settings.admin_listen,
					 routes, service, &limits, NULL, err);
	return service->admin != NULL || err_wrap(err, "ADMIN_LISTEN");
}

/* ---- --health ---- */

/* A wildcard address is reached by loopback. */
static bool host_of(const char *listen, const char *colon, char *host, size_t size)
{
	struct str s = {listen, (size_t)(colon - listen)};

	if (s.len > 2 && s.at[0] == '[' && s.at[s.len - 1] == ']')
		s = (struct str){s.at + 1, s.len - 2};
	if (str_eqz(s, "0.0.0.0"))
		s = STR("127.0.0.1");
	else if (str_eqz(s, "::"))
		s = STR("::1");
	return str_copy(host, size, s);
}

static int connect_to(const char *listen)
{
	const char *colon = strrchr(listen, ':');
	struct timeval limit = {PROBE_S, 0};
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	char host[256];
	int fd;

	if (!colon || !host_of(listen, colon, host, sizeof(host)) ||
	    getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return -1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

int service_probe(const char *admin_listen)
{
	static const char ask[] =
		"GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
	char answer[4096];
	size_t got = 0;
	ssize_t n;
	int fd = connect_to(admin_listen);

	if (fd < 0) {
		fprintf(stderr, "cannot connect to %s\n", admin_listen);
		return EXIT_FAILURE;
	}
	n = write(fd, ask, sizeof(ask) - 1);
	while (n > 0 && got < sizeof(answer) - 1) {
		n = read(fd, answer + got, sizeof(answer) - 1 - got);
		got += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	answer[got] = '\0';
	if (str_starts((struct str){answer, got}, STR("HTTP/1.1 200 ")))
		return EXIT_SUCCESS;
	fprintf(stderr, "%s\n", answer);
	return EXIT_FAILURE;
}
