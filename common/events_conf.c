/*
 * events_conf.c - the settings of our Kafka clients and what they mean for
 * librdkafka; and its errors in words that name our settings.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "events.h"
#include "events_internal.h"
#include "log.h"

#define SET struct events_settings

enum protocol { PLAINTEXT, SSL, SASL_SSL };

static const char *const protocols[] = {"PLAINTEXT", "SSL", "SASL_SSL", NULL};
static const char *const mechanisms[] = {"SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", NULL};

const struct config_entry events_config[] = {
	CFG_STR(SET, bootstrap, "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092",
		"brokers to ask first: host:port, several with commas"),
	CFG_ENUM(SET, security_protocol, "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT",
		 protocols, "how to talk to the brokers"),
	CFG_CERTIFICATE(SET, ssl_cafile, "KAFKA_SSL_CAFILE",
			"PEM file with the CA of the brokers; empty: that of the system"),
	CFG_STR(SET, api_version, "KAFKA_API_VERSION", "",
		"version of the brokers (3.5.1), for those that cannot be asked; empty: "
		"ask"),
	CFG_STR(SET, sasl_mechanism, "KAFKA_SASL_MECHANISM", "SCRAM-SHA-512",
		"with SASL_SSL: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN"),
	CFG_STR(SET, sasl_username, "KAFKA_SASL_USERNAME", "",
		"with SASL_SSL: the login"),
	CFG_SECRET(SET, sasl_password, "KAFKA_SASL_PASSWORD", "",
		   "with SASL_SSL: its password"),
	CFG_END,
};

/*
 * Nagle: with TLS it costs 70 ms a commit.  Back-off: the default of 10 s keeps
 * a client away long after its broker is back.
 */
static const char *const shared[][2] = {
	{"socket.nagle.disable", "true"},
	{"socket.keepalive.enable", "true"},
	{"reconnect.backoff.ms", "50"},
	{"reconnect.backoff.max.ms", "1000"},
	{"topic.metadata.refresh.interval.ms", "30000"},
	{"log.connection.close", "false"},
	{NULL, NULL},
};

bool events_set(rd_kafka_conf_t *conf, const char *name, const char *value,
		struct err *err)
{
	char why[256];

	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return true;
	return err_set(err, ERR_INTERNAL, "kafka client: %s: %s", name, why);
}

bool events_set_all(rd_kafka_conf_t *conf, const char *const (*pairs)[2], struct err *err)
{
	for (; (*pairs)[0]; pairs++)
		if (!events_set(conf, (*pairs)[0], (*pairs)[1], err))
			return false;
	return true;
}

/* "3.5.1": up to four numbers with dots, which librdkafka does not check itself. */
static bool version_ok(const char *text)
{
	unsigned numbers = 0;

	for (;;) {
		size_t digits = strspn(text, "0123456789");
		if (digits == 0 || digits > 4 || ++numbers > 4)
			return false;
		text += digits;
		if (*text == '\0')
			return numbers >= 2;
		if (*text++ != '.')
			return false;
	}
}

static bool set_version(rd_kafka_conf_t *conf, const char *version, struct err *err)
{
	if (version[0] == '\0')
		return true;
	if (!version_ok(version))
		return err_set(err, ERR_INPUT,
			       "KAFKA_API_VERSION: '%s' is no version such as 3.5.1",
			       version);
	return events_set(conf, "broker.version.fallback", version, err);
}

static bool set_tls(rd_kafka_conf_t *conf, const char *cafile, struct err *err)
{
	if (cafile[0] == '\0')
		return true;
	if (access(cafile, R_OK) != 0)
		return err_set(err, ERR_INPUT, "KAFKA_SSL_CAFILE: cannot read '%s': %s",
			       cafile, strerror(errno));
	return events_set(conf, "ssl.ca.location", cafile, err);
}

static bool set_sasl(rd_kafka_conf_t *conf, const struct events_settings *cfg,
		     struct err *err)
{
	const char *const *m = mechanisms;

	while (*m && strcmp(*m, cfg->sasl_mechanism) != 0)
		m++;
	if (!*m)
		return err_set(err, ERR_INPUT,
			       "KAFKA_SASL_MECHANISM: '%s' is none of "
			       "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN",
			       cfg->sasl_mechanism);
	if (cfg->sasl_username[0] == '\0' || cfg->sasl_password[0] == '\0')
		return err_set(err, ERR_INPUT,
			       "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are needed "
			       "with KAFKA_SECURITY_PROTOCOL=SASL_SSL");
	return events_set(conf, "sasl.mechanisms", *m, err) &&
	       events_set(conf, "sasl.username", cfg->sasl_username, err) &&
	       events_set(conf, "sasl.password", cfg->sasl_password, err);
}

static bool set_security(rd_kafka_conf_t *conf, const struct events_settings *cfg,
			 struct err *err)
{
	int protocol = cfg->security_protocol;

	if (!events_set(conf, "security.protocol", protocols[protocol], err))
		return false;
	if (protocol != PLAINTEXT && !set_tls(conf, cfg->ssl_cafile, err))
		return false;
	return protocol != SASL_SSL || set_sasl(conf, cfg, err);
}

/* librdkafka names its own property in TLS failures; say ours beside it. */
static const char *log_hint(const char *text)
{
	if (strstr(text, "certificate verify failed") || strstr(text, "ssl.ca.location"))
		return events_hint(RD_KAFKA_RESP_ERR__SSL);
	if (strstr(text, "SASL authentication error"))
		return events_hint(RD_KAFKA_RESP_ERR__AUTHENTICATION);
	return NULL;
}

/* Runs on threads of librdkafka. Its levels are those of syslog; its CONFWARN
 * calls settings experimental that we chose on purpose. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility,
		   const char *text)
{
	const char *hint = log_hint(text);
	const char *client = rk ? rd_kafka_name(rk) : "";

	if (level > 4 || strcmp(facility, "CONFWARN") == 0)
		log_debug("kafka client", LOG_STR("client", client),
			  LOG_STR("facility", facility), LOG_STR("why", text));
	else if (hint)
		log_warn("kafka client", LOG_STR("client", client),
			 LOG_STR("facility", facility), LOG_STR("why", text),
			 LOG_STR("hint", hint));
	else
		log_warn("kafka client", LOG_STR("client", client),
			 LOG_STR("facility", facility), LOG_STR("why", text));
}

void *events_conf(const struct events_settings *cfg, const char *client_id,
		  struct err *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_log_cb(conf, on_log);
	if (events_set(conf, "bootstrap.servers", cfg->bootstrap, err) &&
	    events_set(conf, "client.id", client_id, err) &&
	    events_set_all(conf, shared, err) && set_security(conf, cfg, err) &&
	    set_version(conf, cfg->api_version, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

rd_kafka_t *events_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf,
			      struct err *err)
{
	char why[256];
	rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof(why));

	if (rk)
		return rk;
	rd_kafka_conf_destroy(conf);
	err_set(err, ERR_INPUT, "%s: %s",
		strstr(why, "ssl.ca.location") ? "KAFKA_SSL_CAFILE cannot be used"
					       : "kafka client",
		why);
	return NULL;
}

const char *events_hint(int rdkafka_error)
{
	switch (rdkafka_error) {
	case RD_KAFKA_RESP_ERR__SSL:
		return "the certificate of the broker does not match KAFKA_SSL_CAFILE, "
		       "or "
		       "KAFKA_SECURITY_PROTOCOL is not that of its port";
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		return "the broker refused the login: check KAFKA_SASL_MECHANISM, "
		       "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD";
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__RESOLVE:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
		return "no broker answers at KAFKA_BOOTSTRAP_SERVERS";
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return "the topic does not exist: processor --create-topics makes it";
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
		return "the broker's access lists do not allow this";
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return "the message is larger than the broker takes";
	default: return rd_kafka_err2str((rd_kafka_resp_err_t)rdkafka_error);
	}
}
