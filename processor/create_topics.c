/*
 * create_topics.c - `processor --create-topics`:
 *
 *   wait for the brokers -> compare what is there -> create what is not -> wait for
 *   leaders
 *
 * Nothing is altered.  Another number of partitions would send users elsewhere, and a
 * shorter retention would delete events: whoever wants that does it by hand.  When
 * something differs, nothing is created either: it may be the wrong cluster.
 */
#include "create_topics.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "events_internal.h"
#include "log.h"
#include "settings.h"
#include "timeutil.h"
#include "topics.h"

#define WAIT_MS   60000 /* for brokers that are still starting */
#define ASK_MS    2000
#define PAUSE_MS  100
#define ADMIN_MS  30000
#define WRONG_USE 2

struct admin {
	const struct settings *cfg;
	struct topics topics;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	rd_kafka_resp_err_t trouble; /* the last that the client had */
	unsigned differences;
};

/* ---- the brokers ---- */

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
	struct admin *admin = opaque;

	(void)rk;
	(void)reason;
	admin->trouble = (rd_kafka_resp_err_t)error;
}

static bool connect_client(struct admin *admin, struct err *err)
{
	rd_kafka_conf_t *conf = events_conf(&admin->cfg->events, "create-topics", err);

	if (!conf)
		return false;
	rd_kafka_conf_set_opaque(conf, admin);
	rd_kafka_conf_set_error_cb(conf, on_error);
	admin->rk = events_client_new(RD_KAFKA_PRODUCER, conf, err);
	if (!admin->rk)
		return false;
	admin->queue = rd_kafka_queue_new(admin->rk);
	return true;
}

/* Waiting does not cure a wrong certificate or login. */
static bool is_hopeless(rd_kafka_resp_err_t trouble)
{
	return trouble == RD_KAFKA_RESP_ERR__SSL ||
	       trouble == RD_KAFKA_RESP_ERR__AUTHENTICATION;
}

/* All topics of the cluster; owned by the caller. NULL: `err`. */
static const struct rd_kafka_metadata *look(struct admin *admin, int64_t until_ms,
					    struct err *err)
{
	const struct rd_kafka_metadata *meta = NULL;
	rd_kafka_resp_err_t error;

	do {
		error = rd_kafka_metadata(admin->rk, 1, NULL, &meta, ASK_MS);
		if (!error)
			return meta;
		rd_kafka_poll(admin->rk, PAUSE_MS);
	} while (!is_hopeless(admin->trouble) && time_mono_ms() < until_ms);
	err_set(err, ERR_UPSTREAM, "%s",
		events_hint(admin->trouble ? admin->trouble : error));
	return NULL;
}

static const struct rd_kafka_metadata_topic *find(const struct rd_kafka_metadata *meta,
						  const char *name)
{
	for (int i = 0; i < meta->topic_cnt; i++) {
		if (strcmp(meta->topics[i].topic, name) == 0)
			return &meta->topics[i];
	}
	return NULL;
}

/* ---- comparing ---- */

static void note_difference(struct admin *admin, const struct err *err)
{
	admin->differences++;
	log_error("topic differs", LOG_STR("why", err->text));
}

static void compare_shape(struct admin *admin, const struct topic *topic,
			  const struct rd_kafka_metadata_topic *there)
{
	int copies = there->partition_cnt ? there->partitions[0].replica_cnt : 0;
	struct err err;

	if (!topic_same_shape(topic, there->partition_cnt, copies,
			      admin->cfg->topics_replication, &err))
		note_difference(admin, &err);
}

static bool compare_options(struct admin *admin, const rd_kafka_ConfigResource_t *there,
			    struct err *err)
{
	const char *name = rd_kafka_ConfigResource_name(there);
	const struct topic *topic = topics_find(&admin->topics, name);
	rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(there);
	const rd_kafka_ConfigEntry_t **entries;
	struct err differs;
	size_t n;

	if (error || !topic)
		return err_set(err, ERR_UPSTREAM, "cannot read the settings of %s: %s",
			       name, events_hint(error));
	entries = rd_kafka_ConfigResource_configs(there, &n);
	for (size_t i = 0; i < n; i++) {
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (value &&
		    !topic_same_option(topic, rd_kafka_ConfigEntry_name(entries[i]),
				       value, &differs))
			note_difference(admin, &differs);
	}
	return true;
}

/* The answer of an admin request; owned by the caller. NULL: `err`. */
static rd_kafka_event_t *await(struct admin *admin, const char *what, struct err *err)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->queue, ADMIN_MS);

	if (event && !rd_kafka_event_error(event))
		return event;
	err_set(err, ERR_UPSTREAM, "cannot %s: %s", what,
		event ? rd_kafka_event_error_string(event) : "no answer");
	if (event)
		rd_kafka_event_destroy(event);
	return NULL;
}

static bool compare_all_options(struct admin *admin, rd_kafka_ConfigResource_t **wanted,
				size_t n, struct err *err)
{
	const rd_kafka_ConfigResource_t **there;
	rd_kafka_event_t *event;
	bool ok = true;

	rd_kafka_DescribeConfigs(admin->rk, wanted, n, NULL, admin->queue);
	event = await(admin, "read the settings of topics", err);
	if (!event)
		return false;
	there = rd_kafka_DescribeConfigs_result_resources(
		rd_kafka_event_DescribeConfigs_result(event), &n);
	for (size_t i = 0; ok && i < n; i++)
		ok = compare_options(admin, there[i], err);
	rd_kafka_event_destroy(event);
	return ok;
}

static bool compare(struct admin *admin, const struct rd_kafka_metadata *meta,
		    struct err *err)
{
	rd_kafka_ConfigResource_t **wanted =
		xcalloc(admin->topics.n + 1, sizeof(rd_kafka_ConfigResource_t *));
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < admin->topics.n; i++) {
		const struct topic *topic = &admin->topics.list[i];
		const struct rd_kafka_metadata_topic *there = find(meta, topic->name);

		if (!there)
			continue;
		compare_shape(admin, topic, there);
		wanted[n++] =
			rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic->name);
	}
	ok = n == 0 || compare_all_options(admin, wanted, n, err);
	rd_kafka_ConfigResource_destroy_array(wanted, n);
	free(wanted);
	if (ok && admin->differences)
		return err_set(err, ERR_CONFLICT,
			       "topics differ from %s; nothing was changed",
			       admin->cfg->topics_file);
	return ok;
}

/* ---- creating ---- */

static rd_kafka_NewTopic_t *describe(const struct admin *admin, const struct topic *topic,
				     struct err *err)
{
	/* -1: what the brokers have as default. */
	int copies =
		admin->cfg->topics_replication ? (int)admin->cfg->topics_replication : -1;
	char why[256];
	rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(
		topic->name, (int)topic->partitions, copies, why, sizeof(why));

	if (!new) {
		err_set(err, ERR_INPUT, "%s: %s", topic->name, why);
		return NULL;
	}
	for (size_t i = 0; i < topic->n_options; i++)
		rd_kafka_NewTopic_set_config(new, topic->options[i].name,
					     topic->options[i].value);
	return new;
}

static bool created(const rd_kafka_topic_result_t *result, struct err *err)
{
	rd_kafka_resp_err_t error = rd_kafka_topic_result_error(result);
	const char *name = rd_kafka_topic_result_name(result);

	/* Another of us may have been faster. */
	if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		return err_set(err, ERR_UPSTREAM, "cannot create %s: %s", name,
			       rd_kafka_topic_result_error_string(result));
	log_info("topic created", LOG_STR("topic", name));
	return true;
}

static bool create(struct admin *admin, rd_kafka_NewTopic_t **list, size_t n,
		   struct err *err)
{
	rd_kafka_AdminOptions_t *options =
		rd_kafka_AdminOptions_new(admin->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	char why[256];
	bool ok = true;

	/* Until all brokers know of them. */
	rd_kafka_AdminOptions_set_operation_timeout(options, ADMIN_MS / 2, why,
						    sizeof(why));
	rd_kafka_CreateTopics(admin->rk, list, n, options, admin->queue);
	rd_kafka_AdminOptions_destroy(options);
	event = await(admin, "create topics", err);
	if (!event)
		return false;
	results = rd_kafka_CreateTopics_result_topics(
		rd_kafka_event_CreateTopics_result(event), &n);
	for (size_t i = 0; ok && i < n; i++)
		ok = created(results[i], err);
	rd_kafka_event_destroy(event);
	return ok;
}

static bool create_missing(struct admin *admin, const struct rd_kafka_metadata *meta,
			   struct err *err)
{
	rd_kafka_NewTopic_t **list =
		xcalloc(admin->topics.n + 1, sizeof(rd_kafka_NewTopic_t *));
	size_t n = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < admin->topics.n; i++) {
		const struct topic *topic = &admin->topics.list[i];

		if (find(meta, topic->name))
			continue;
		list[n] = describe(admin, topic, err);
		ok = list[n] != NULL;
		n += ok;
	}
	ok = ok && (n == 0 || create(admin, list, n, err));
	rd_kafka_NewTopic_destroy_array(list, n);
	free(list);
	return ok;
}

/* A new partition without a leader would fail the first client that asks for it. */
static bool all_led(const struct admin *admin, const struct rd_kafka_metadata *meta)
{
	for (size_t i = 0; i < admin->topics.n; i++) {
		const struct rd_kafka_metadata_topic *there =
			find(meta, admin->topics.list[i].name);

		if (!there || there->err || there->partition_cnt == 0)
			return false;
		for (int p = 0; p < there->partition_cnt; p++) {
			if (there->partitions[p].leader < 0)
				return false;
		}
	}
	return true;
}

static bool wait_leaders(struct admin *admin, struct err *err)
{
	int64_t until_ms = time_mono_ms() + ADMIN_MS;
	const struct rd_kafka_metadata *meta;
	bool led = false;

	while (!led) {
		meta = look(admin, until_ms, err);
		if (!meta)
			return false;
		led = all_led(admin, meta);
		rd_kafka_metadata_destroy(meta);
		if (!led && time_mono_ms() > until_ms)
			return err_set(err, ERR_UPSTREAM,
				       "Kafka did not choose leaders for all partitions");
		if (!led)
			rd_kafka_poll(admin->rk, PAUSE_MS);
	}
	return true;
}

/* ---- the command ---- */

/* What the processor will ask for must be among them. */
static bool check_names(const struct admin *admin, struct err *err)
{
	const struct settings *cfg = admin->cfg;
	const char *const wanted[][2] = {{"ORDERS_TOPIC", cfg->orders_topic},
					 {"RESULTS_TOPIC", cfg->results_topic},
					 {"DLQ_TOPIC", cfg->dlq_topic}};

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		if (!topics_find(&admin->topics, wanted[i][1]))
			return err_set(err, ERR_INPUT,
				       "%s is %s, which TOPICS_FILE (%s) does not have",
				       wanted[i][0], wanted[i][1], cfg->topics_file);
	}
	return true;
}

static bool prepare(struct admin *admin, int argc, struct err *err)
{
	if (argc != 0)
		return err_set(err, ERR_INPUT, "--create-topics takes no argument");
	return topics_load(admin->cfg->topics_file, &admin->topics, err) &&
	       check_names(admin, err) && connect_client(admin, err);
}

static bool run(struct admin *admin, struct err *err)
{
	const struct rd_kafka_metadata *meta;
	bool ok;

	meta = look(admin, time_mono_ms() + WAIT_MS, err);
	if (!meta)
		return false;
	ok = compare(admin, meta, err) && create_missing(admin, meta, err);
	rd_kafka_metadata_destroy(meta);
	return ok && wait_leaders(admin, err);
}

static void admin_fini(struct admin *admin)
{
	if (admin->queue)
		rd_kafka_queue_destroy(admin->queue);
	if (admin->rk)
		rd_kafka_destroy(admin->rk);
	topics_fini(&admin->topics);
}

int create_topics_command(void *arg, int argc, char **argv)
{
	struct admin admin = {.cfg = arg};
	struct err err = {0};
	int status = EXIT_SUCCESS;

	(void)argv;
	if (!prepare(&admin, argc, &err))
		status = WRONG_USE;
	else if (!run(&admin, &err))
		status = EXIT_FAILURE;
	if (status)
		log_error("no topics", LOG_STR("why", err.text));
	else
		log_info("all topics are there", LOG_INT("topics", admin.topics.n));
	admin_fini(&admin);
	return status;
}
