/*
 * dlq.c - dead letters: what could not be counted, with the reason.
 *
 * The record is part of the transaction, so it appears exactly once and the
 * partition never waits for it.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "engine_internal.h"
#include "jw.h"
#include "timeutil.h"

#define MAX_KEY    1024
#define MAX_VALUE  65536
#define MAX_BASE64 ((MAX_VALUE + 2) / 3 * 4)
/* Text may grow sixfold by escapes. */
#define MAX_RECORD (MAX_BASE64 + 6 * (MAX_KEY + REJECT_DETAIL_MAX) + 2048)

static struct str cut(const void *at, size_t len, size_t max)
{
	return (struct str){at, len < max ? len : max};
}

static void write_value(struct jw *w, struct str value)
{
	char *text = xcalloc(1, MAX_BASE64 + 1);

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)value.at,
			(int)value.len);
	jw_kstrz(w, "value_b64", text);
	free(text);
}

static void write_record(struct jw *w, const struct engine *engine,
			 const rd_kafka_message_t *msg, const struct reject *why,
			 bool with_value)
{
	jw_object(w);
	jw_kstrz(w, "topic", engine->cfg->orders_topic);
	jw_kint(w, "partition", msg->partition);
	jw_kint(w, "offset", msg->offset);
	jw_kstrz(w, "reason", reject_name(why->reason));
	jw_kstrz(w, "detail", why->detail);
	jw_key(w, "key");
	if (msg->key)
		jw_str(w, cut(msg->key, msg->key_len, MAX_KEY));
	else
		jw_null(w);
	if (with_value && msg->payload) {
		write_value(w, cut(msg->payload, msg->len, MAX_VALUE));
	} else {
		jw_key(w, "value_b64");
		jw_null(w);
	}
	jw_ktime(w, "at", time_now_ms(), true);
	jw_end(w);
}

void dlq_send(struct engine *engine, const rd_kafka_message_t *msg,
	      const struct reject *why, bool with_value)
{
	struct jw w;

	jw_init(&w, MAX_RECORD);
	write_record(&w, engine, msg, why, with_value);
	txn_produce(engine, engine->topic_dlq, msg->partition % engine->dlq_partitions,
		    cut(msg->key, msg->key_len, MAX_KEY), jw_text(&w));
	jw_fini(&w);
}
