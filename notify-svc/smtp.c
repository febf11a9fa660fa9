/*
 * smtp.c - the only file that knows libcurl.
 *
 * Each thread of a small pool owns one easy handle, which keeps its connection
 * for the next mail.  "Sent" means that the server has confirmed the end of DATA.
 * Until it has the text it is given SMTP_SEND_MS, and then as long as the RFC says.
 */
#include "smtp.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "mail.h"
#include "str.h"
#include "timeutil.h"
#include "work.h"

#define CONNECT_MS 3000
#define KEEP_S     30L   /* servers drop idle clients */
#define PROBE_S    20L   /* of a connection on which an answer is awaited: is it alive? */
#define SILENT_MS  60000 /* of the peer's kernel: it is not */
#define MAX_QUEUE  64
#define STATUS_MAX 12 /* "5.123.123" */

const char *const smtp_tls_choices[] = {"never", "try", "required", NULL};
static const long use_ssl[] = {CURLUSESSL_NONE, CURLUSESSL_TRY, CURLUSESSL_ALL};

struct smtp {
	const struct smtp_settings *cfg;
	struct work_pool *pool;
	char *sender; /* "<shop@example.com>" */
	atomic_bool stopping;
};

/* ---- on a worker ---- */

static void *worker_new(void *owner, unsigned index)
{
	(void)owner;
	(void)index;
	return curl_easy_init();
}

static void worker_free(void *worker)
{
	curl_easy_cleanup(worker);
}

static size_t on_read(char *dst, size_t size, size_t n, void *arg)
{
	struct smtp_mail *mail = arg;
	size_t left = mail->len - mail->read;
	size_t take = size * n < left ? size * n : left;

	memcpy(dst, mail->text + mail->read, take);
	mail->read += take;
	return take;
}

static bool is_handed_over(const struct smtp_mail *mail)
{
	return mail->read == mail->len;
}

/* About once a second; other than 0 ends it. */
static int on_progress(void *arg, curl_off_t dltotal, curl_off_t dlnow,
		       curl_off_t ultotal, curl_off_t ulnow)
{
	const struct smtp_mail *mail = arg;

	(void)dltotal;
	(void)dlnow;
	(void)ultotal;
	(void)ulnow;
	if (is_handed_over(mail))
		return atomic_load(&mail->smtp->stopping);
	return time_mono_ms() - mail->begun_ms > SMTP_SEND_MS;
}

/* When a command is refused, libcurl says QUIT before it returns, and to a connection
 * that it has kept for too long, before it begins. */
static int on_command(CURL *curl, curl_infotype type, char *text, size_t len, void *arg)
{
	struct smtp_mail *mail = arg;
	struct str command = {text, len};

	(void)curl;
	if (type != CURLINFO_HEADER_OUT)
		return 0;
	mail->quitting = str_starts(command, STR("QUIT"));
	if (str_starts(command, STR("RCPT ")))
		mail->named = true;
	return 0;
}

static size_t on_reply(char *line, size_t size, size_t n, void *arg)
{
	struct smtp_mail *mail = arg;
	size_t len = size * n, most = sizeof(mail->reply) - 1;

	if (!mail->quitting)
		str_copy(mail->reply, sizeof(mail->reply),
			 (struct str){line, len < most ? len : most});
	return len;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned ms = SILENT_MS;

	(void)arg;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static void set_up(CURL *curl, struct smtp *smtp, struct smtp_mail *mail,
		   struct curl_slist *to)
{
	const struct smtp_settings *cfg = smtp->cfg;

	curl_easy_reset(curl); /* the connection stays */
	curl_easy_setopt(curl, CURLOPT_URL, cfg->url);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(curl, CURLOPT_USE_SSL, use_ssl[cfg->tls]);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)SMTP_SEND_MS + SMTP_ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, SMTP_ANSWER_MS / 1000L);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, mail);
	curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, PROBE_S);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, PROBE_S);
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* or on_command is not called */
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, on_command);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, mail);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_reply);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, mail);
	curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, KEEP_S);
	curl_easy_setopt(curl, CURLOPT_MAIL_FROM, smtp->sender);
	curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, to);
	curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(curl, CURLOPT_READDATA, mail);
	if (!*cfg->username)
		return;
	curl_easy_setopt(curl, CURLOPT_USERNAME, cfg->username);
	curl_easy_setopt(curl, CURLOPT_PASSWORD, cfg->password);
}

/* The enhanced status of a line "550 5.1.1 no such user" (RFC 3463), or "". */
static void read_status(const char *line, char status[STATUS_MAX])
{
	size_t len = 0;

	if (strlen(line) > 4)
		len = strspn(line + 4, "0123456789.");
	*status = '\0';
	if (len >= strlen("5.1.1") && len < STATUS_MAX)
		str_copy(status, STATUS_MAX, (struct str){line + 4, len});
}

/* Only answers about the mailbox itself are final, so none before it was named: others
 * are about us (5.7: refused; 5.1.7 and 5.1.8: the sender's address), or about a server
 * that somebody will mend. */
static bool is_final(long code, const char *status)
{
	if (code != 550 && code != 551 && code != 553)
		return false;
	if (!*status)
		return true;
	if (strcmp(status, "5.1.7") == 0 || strcmp(status, "5.1.8") == 0)
		return false;
	return strncmp(status, "5.1.", 4) == 0 || strcmp(status, "5.2.1") == 0;
}

static const char *why_ended(const struct smtp_mail *mail, CURLcode code,
			     const char *detail)
{
	if (code != CURLE_ABORTED_BY_CALLBACK)
		return detail[0] ? detail : curl_easy_strerror(code);
	return is_handed_over(mail) ? "stopped while the server was considering it"
				    : "the server did not take it in time";
}

static void tell_failure(struct smtp_mail *mail, CURLcode code, long answer,
			 const char *detail)
{
	char status[STATUS_MAX];

	read_status(mail->reply, status);
	mail->end = mail->named && is_final(answer, status) ? SMTP_NEVER : SMTP_LATER;
	snprintf(mail->why, sizeof(mail->why),
		 "%.180s (last answer of the server: %ld%s%s)",
		 why_ended(mail, code, detail), answer, *status ? " " : "", status);
}

static void send_mail(void *worker, void *arg)
{
	struct smtp_mail *mail = arg;
	CURL *curl = worker;
	char to[MAIL_ADDRESS_MAX + 3], detail[CURL_ERROR_SIZE] = "";
	struct curl_slist *list;
	CURLcode code;
	long answer = 0;

	if (time_mono_ms() > mail->begin_by_ms) {
		mail->end = SMTP_NOT_TRIED;
		snprintf(mail->why, sizeof(mail->why), "it waited too long for its turn");
		return;
	}
	mail->read = 0;
	mail->begun_ms = time_mono_ms();
	mail->named = mail->quitting = false;
	*mail->reply = '\0';
	snprintf(to, sizeof(to), "<%s>", mail->to);
	list = curl_slist_append(NULL, to);
	set_up(curl, mail->smtp, mail, list);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	code = curl_easy_perform(curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
	curl_slist_free_all(list);
	mail->end = SMTP_SENT;
	if (code != CURLE_OK)
		tell_failure(mail, code, answer, detail);
}

/* ---- on the loop ---- */

static void on_sent(enum work_end end, void *arg)
{
	struct smtp_mail *mail = arg;

	if (end != WORK_DONE) {
		mail->end = SMTP_NOT_TRIED;
		snprintf(mail->why, sizeof(mail->why), "not sent: too busy, or stopping");
	}
	mail->done(mail->arg);
}

void smtp_send(struct smtp *smtp, struct smtp_mail *mail, void (*done)(void *arg),
	       void *arg)
{
	mail->smtp = smtp;
	mail->done = done;
	mail->arg = arg;
	work_submit(smtp->pool, SMTP_SEND_MS, send_mail, on_sent, mail);
}

static bool check(const struct smtp_settings *cfg, struct err *err)
{
	struct str url = str_from(cfg->url);

	if (!str_starts(url, STR("smtp://")) && !str_starts(url, STR("smtps://")))
		return err_set(err, ERR_INPUT,
			       "SMTP_URL: '%s' does not begin with smtp:// or smtps://",
			       cfg->url);
	if (!mail_address_ok(str_from(cfg->from)))
		return err_set(err, ERR_INPUT, "MAIL_FROM: '%s' is no address",
			       cfg->from);
	return true;
}

struct smtp *smtp_new(struct loop *loop, const struct smtp_settings *cfg, struct err *err)
{
	const struct work_config pool = {.name = "smtp",
					 .threads = SMTP_THREADS,
					 .max_queue = MAX_QUEUE,
					 .worker_new = worker_new,
					 .worker_free = worker_free};
	struct smtp *smtp;

	if (!check(cfg, err))
		return NULL;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	smtp = xcalloc(1, sizeof(*smtp));
	smtp->cfg = cfg;
	if (asprintf(&smtp->sender, "<%s>", cfg->from) < 0)
		abort();
	smtp->pool = work_pool_new(loop, &pool, err);
	if (smtp->pool)
		return smtp;
	smtp_free(smtp);
	return NULL;
}

void smtp_free(struct smtp *smtp)
{
	if (!smtp)
		return;
	atomic_store(&smtp->stopping, true);
	work_pool_free(smtp->pool);
	free(smtp->sender);
	free(smtp);
	curl_global_cleanup();
}
