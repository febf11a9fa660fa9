/*
 * test_relay.c - the outbox relay against a real database and librdkafka's mock
 * cluster, whose partitions can be left without a leader.
 */
/* link: order-svc/relay.c order-svc/relay_publisher.c order-svc/relay_shards.c */
/* link: order-svc/relay_repo.c order-svc/relay_locks_repo.c order-svc/relay_waiting.c */
#include "db_fixture.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "order-svc/relay.h"
#include "order-svc/relay_waiting.h"

#define TOPIC      "orders-events"
#define PARTITIONS 4
#define LOST       2 /* the partition */
#define BATCH      20
#define STUCK      4 /* users of it */
#define EACH       15
#define OTHERS     30
#define PATIENCE_S 30

struct cluster {
	rd_kafka_t *rk; /* carries it */
	rd_kafka_mock_cluster_t *mock;
	struct events_settings cfg;
};

static struct cluster cluster_new(void)
{
	struct cluster cluster = {
		.rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), NULL, 0)};
	static char none[] = "";

	cluster.mock = rd_kafka_mock_cluster_new(cluster.rk, 1);
	rd_kafka_mock_topic_create(cluster.mock, TOPIC, PARTITIONS, 1);
	cluster.cfg = (struct events_settings){
		.bootstrap = (char *)rd_kafka_mock_cluster_bootstraps(cluster.mock),
		.ssl_cafile = none,
		.api_version = none,
		.sasl_mechanism = none,
		.sasl_username = none,
		.sasl_password = none};
	return cluster;
}

static void cluster_free(struct cluster *cluster)
{
	rd_kafka_mock_cluster_destroy(cluster->mock);
	rd_kafka_destroy(cluster->rk);
}

static bool is_lost(int64_t user)
{
	char key[24];
	int len = snprintf(key, sizeof(key), "%lld", (long long)user);

	return rd_kafka_msg_partitioner_murmur2(NULL, key, (size_t)len, PARTITIONS, NULL,
						NULL) == LOST;
}

static int64_t next_user(int64_t user, bool lost)
{
	do
		user++;
	while (is_lost(user) != lost);
	return user;
}

static void insert(struct db_conn *conn, int64_t user)
{
	struct err why = {0};

	must(db_exec(conn, &why,
		     "INSERT INTO outbox (user_id, event_id, payload, created_at)"
		     " VALUES (?, REPLACE(UUID(), '-', ''), '{}', UTC_TIMESTAMP(3))",
		     DB_I(user)));
}

static void make_outbox(struct db_conn *conn)
{
	struct err why = {0};

	must(db_migrate(conn, "order-svc/migrations", &why));
	for (int round = 0; round < EACH; round++)
		for (int64_t i = 0, user = 0; i < STUCK; i++)
			insert(conn, user = next_user(user, true));
	for (int64_t i = 0, user = 0; i < OTHERS; i++)
		insert(conn, user = next_user(user, false));
}

static void wait_left(struct db_conn *conn, int64_t left)
{
	int64_t n = -1;

	for (int i = 0; i < PATIENCE_S * 10 && n != left; i++) {
		n = number(conn, "SELECT COUNT(*) FROM outbox");
		usleep(100 * 1000);
	}
	assert_int_equal(n, left);
}

static void relay_others_first(struct db_conn *conn, int64_t threads)
{
	struct cluster cluster = cluster_new();
	const struct relay_config cfg = {.db = &fix.cfg,
					 .events = &cluster.cfg,
					 .topic = TOPIC,
					 .threads = threads,
					 .batch = BATCH,
					 .poll_ms = 25};
	struct err why = {0};
	struct relay *relay;

	rd_kafka_mock_partition_set_leader(cluster.mock, TOPIC, LOST, -1);
	relay = relay_new(&cfg, fix.metrics, &why);
	must(relay);
	wait_left(conn, (int64_t)STUCK * EACH);
	rd_kafka_mock_partition_set_leader(cluster.mock, TOPIC, LOST, 1);
	wait_left(conn, 0);
	relay_free(relay);
	cluster_free(&cluster);
}

/* More than a batch of its events are in front of all others. */
static void a_lost_partition_holds_up_its_own_users_only(void **state)
{
	struct err why = {0};
	struct db_conn *conn = db_conn_open(&fix.cfg, &why);

	(void)state;
	must(conn);
	make_outbox(conn);
	relay_others_first(conn, 1);
	make_outbox(conn);
	relay_others_first(conn, 2);
	db_conn_free(conn);
}

static void who_waits_is_let_go(void **state)
{
	static struct relay_waiting waiting;

	(void)state;
	assert_string_equal(relay_waiting_text(&waiting, 0), "");
	relay_waiting_add(&waiting, 7, 100);
	relay_waiting_add(&waiting, INT64_MAX, 200);
	relay_waiting_add(&waiting, 9, 100);
	relay_waiting_add(&waiting, 9, 300);
	assert_string_equal(relay_waiting_text(&waiting, 99), "7,9223372036854775807,9");
	assert_string_equal(relay_waiting_text(&waiting, 100), "9223372036854775807,9");
	assert_string_equal(relay_waiting_text(&waiting, 200), "9");
	for (int64_t user = 0; user < 2 * RELAY_WAITING_MAX; user++)
		relay_waiting_add(&waiting, INT64_MAX - user, 400);
	assert_int_equal(waiting.n, RELAY_WAITING_MAX);
	assert_string_equal(relay_waiting_text(&waiting, 400), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_is_let_go),
		DB_TEST(a_lost_partition_holds_up_its_own_users_only),
	};

	return run_db_tests("relay", tests, ARRAY_LEN(tests));
}
