/*
 * smtp.c - the only file that knows libcurl.
 *
 * Each thread of a small pool owns one easy handle, which keeps its connection
 * for the next mail.  "Sent" means that the server has confirmed the end of DATA.
 */
#include "smtp.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "mail.h"
#include "str.h"
#include "timeutil.h"
#include "work.h"

#define CONNECT_MS 3000
#define KEEP_S     30L /* servers drop idle clients */
#define MAX_QUEUE  64

const char *const smtp_tls_choices[] = {"never", "try", "required", NULL};
static const long use_ssl[] = {CURLUSESSL_NONE, CURLUSESSL_TRY, CURLUSESSL_ALL};

struct smtp {
	const struct smtp_settings *cfg;
	struct work_pool *pool;
	char *sender; /* "<shop@example.com>" */
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
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)SMTP_SEND_MS);
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

/* Only answers about the mailbox itself are final: others are about us, or about
 * a server that somebody will mend. */
static bool is_final(long code)
{
	return code == 550 || code == 551 || code == 553;
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
		mail->end = SMTP_LATER;
		snprintf(mail->why, sizeof(mail->why), "it waited too long for its turn");
		return;
	}
	mail->read = 0;
	snprintf(to, sizeof(to), "<%s>", mail->to);
	list = curl_slist_append(NULL, to);
	set_up(curl, mail->smtp, mail, list);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	code = curl_easy_perform(curl);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
	curl_slist_free_all(list);
	mail->end = SMTP_SENT;
	if (code == CURLE_OK)
		return;
	mail->end = is_final(answer) ? SMTP_NEVER : SMTP_LATER;
	snprintf(mail->why, sizeof(mail->why), "%.180s (last answer of the server: %ld)",
		 detail[0] ? detail : curl_easy_strerror(code), answer);
}

/* ---- on the loop ---- */

static void on_sent(enum work_end end, void *arg)
{
	struct smtp_mail *mail = arg;

	if (end != WORK_DONE) {
		mail->end = SMTP_LATER;
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
	work_pool_free(smtp->pool);
	free(smtp->sender);
	free(smtp);
	curl_global_cleanup();
}
