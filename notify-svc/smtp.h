/*
 * smtp.h - hand mails to an SMTP server, on threads that keep their connection.
 */
#ifndef NOTIFY_SVC_SMTP_H
#define NOTIFY_SVC_SMTP_H

#include <stddef.h>

#include "err.h"
#include "loop.h"

struct smtp_settings {
	char *url, *username, *password, *from;
	int tls; /* index into smtp_tls_choices */
};
extern const char *const smtp_tls_choices[];

#define SMTP_THREADS 4
#define SMTP_SEND_MS 10000 /* until the server has one mail, connecting included */
/* And from then on for its answer: who asks again earlier sends a second one to a
 * server that takes its time (RFC 5321, 4.5.3.2.6). */
#define SMTP_ANSWER_MS 600000

enum smtp_end {
	SMTP_SENT,
	SMTP_LATER,     /* try again */
	SMTP_NOT_TRIED, /* not begun: too late, too busy, or stopping */
	SMTP_NEVER      /* the server knows no such recipient */
};

struct smtp;

/* ERR_INPUT when SMTP_URL or MAIL_FROM is wrong. `cfg` must outlive it. */
struct smtp *smtp_new(struct loop *loop, const struct smtp_settings *cfg,
		      struct err *err);
/* Waits for mails that are being sent, at most SMTP_SEND_MS; for no answer to a mail
 * that the server has: it ends as SMTP_LATER, though it may have been taken. */
void smtp_free(struct smtp *smtp); /* accepts NULL */

struct smtp_mail {
	const char *to;
	const char *text; /* with headers, CRLF */
	size_t len;
	int64_t begin_by_ms; /* monotonic; not begun by then: SMTP_NOT_TRIED */
	enum smtp_end end;   /* filled */
	char why[256];       /* filled when not sent */
	/* private */
	size_t read;
	int64_t begun_ms;
	bool named;      /* the server was told of the recipient */
	bool quitting;   /* the last command was QUIT */
	char reply[128]; /* the server's last line, but to QUIT; may be cut */
	struct smtp *smtp;
	void (*done)(void *arg);
	void *arg;
};
/* `mail` must stay until `done` runs, on the loop. */
void smtp_send(struct smtp *smtp, struct smtp_mail *mail, void (*done)(void *arg),
	       void *arg);

#endif
