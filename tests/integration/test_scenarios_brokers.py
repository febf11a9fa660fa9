"""Failure scenarios of the brokers, numbered as in tests/scenarios.md: one of one, one of three, and the
next major version."""

import sys
import time

import kafka_proxy as kp
import pytest
from confluent_kafka.admin import ConfigResource
from kafka_proxy import KafkaProxy
from kafka_raw import coordinator_port
from load import Buyers
from processor_alone import RARELY, Alone, Load, Model, bare_model
from shop_stack import ROOT, until
from test_scenarios_processor import open_transaction

sys.path.insert(0, str(ROOT / "tools"))
from shopstack.kafka_home import Home  # noqa: E402

VERSIONS = ["3.9.2", "4.3.1"]


def test_s11_broker_killed_inside_a_transaction(stack, alone):
    """The offsets are sent, the commit is not: the same process goes on when the broker is back."""
    model = bare_model("s11")
    processor = alone.start(failpoints="processor_offsets_sent:1:delay:3000")
    alone.send_bare(*model.events(200))
    until(alone.undecided, 20, "an open transaction")
    stack.kill("kafka")
    try:
        time.sleep(1)
    finally:
        stack.start("kafka")
    alone.exact(model, 60)
    alone.send_bare(*model.events(200))
    alone.exact(model, 60)
    assert processor.stop() == 0


def broker_at(own, port):
    return next(one["name"] for one in own.instances("kafka") if one["port"] == port)


@pytest.mark.parametrize("version", VERSIONS)
def test_s13_the_coordinator_dies(new_stack, tmp_path, version):
    """Of three brokers the one that decides on our transactions: another takes over."""
    own = new_stack(programs=[], seed=False, options=["--kafka-nodes", "3", "--kafka-version", version])
    alone = Alone(own, tmp_path)
    try:
        model = bare_model(f"s13-{version}")
        processor = alone.start(**RARELY)
        with Load(alone, model):
            until(lambda: processor.metric("commits_total") >= 5)
            address = own["kafka"]["bootstrap"].partition(",")[0]
            coordinator = broker_at(own, coordinator_port(address, f"{alone.name}-0"))
            own.kill(coordinator)
            before = processor.metric("commits_total")
            until(lambda: processor.metric("commits_total") >= before + 5, 60, "commits without it")
            own.start(coordinator)
        alone.exact(model, 60)
        until(lambda: processor.metric("lag") == 0)
        assert processor.stop() == 0 and alone.forgives_nothing()
    finally:
        alone.close()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_s13_shop_on_three_brokers(new_stack, version):
    """Each of them is killed while orders come in; nobody waits for it to come back."""
    shop = new_stack(options=["--kafka-nodes", "3", "--kafka-version", version], instances={"processor": 2})
    users = [shop.new_user()[0] for _ in range(4)]
    products = [shop.new_product(stock=100_000, price=1.25) for _ in range(2)]

    def counted():
        return shop.orders_counted(users)

    with Buyers(shop, users, products, threads=2) as load:
        for number in (1, 2, 3):
            time.sleep(2)
            shop.kill(f"kafka.{number}")
            before = counted()
            until(lambda before=before: counted() > before + 20, 60, "orders counted without it")
            shop.start(f"kafka.{number}")
    assert load.placed and not load.failures
    count = len(load.placed)
    until(lambda: counted() == count, 60, f"{count} orders counted")
    assert sum(round(shop.totals(user)["total_spent"] * 100) for user in users) == 125 * count


class Tool:
    """kafka-transactions.sh, as docs/OPERATIONS.md says to use it."""

    def __init__(self, bootstrap):
        self.bootstrap, self.home = bootstrap, Home("4.3.1")

    def run(self, *args):
        text = self.home.tool("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", self.bootstrap, *args)
        rows = [line.split() for line in text.splitlines()]
        return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]]

    def hanging(self):
        return self.run("find-hanging", "--broker-id", "1", "--max-transaction-timeout", "1")

    def abort(self, one):
        self.run("abort", "--topic", one["Topic"], "--partition", one["Partition"], "--start-offset", one["StartOffset"])


def ends_in(alone, model, processors):
    """"exact", or "alarm" when a restore gave up because a transaction is not decided."""
    deadline = time.monotonic() + 90
    while alone.undecided() or model.problems(alone.state()):
        if any(one.metric("restore_timeouts_total") for one in processors):
            return "alarm"
        assert time.monotonic() < deadline, "neither the totals nor an alarm"
        time.sleep(0.2)
    return "exact"


def end_what_hangs(alone, tool):
    found = until(tool.hanging, 120, "what hangs")
    assert {one["Topic"] for one in found} <= {alone.results, alone.dlq, "__consumer_offsets"}
    for one in found:
        tool.abort(one)


def begin_what_hangs(own, alone):
    """A transaction on the partition of user 1 that its coordinator has never heard of, so that no time-out ends it.
    A broker that verifies partitions would not take its records; one that was killed may be left with such a one."""
    broker = ConfigResource("broker", "1", set_config={"transaction.partition.verification.enable": "false"})
    alone.kafka.alter_configs([broker])[broker].result(20)
    proxy = KafkaProxy(own.instances("kafka")[0]["port"])
    try:
        proxy.pretend()
        open_transaction(alone, "u:1", f"127.0.0.1:{proxy.port}")
        assert proxy.done("pretend", kp.ADD_PARTITIONS_TO_TXN) == 1
    finally:
        proxy.close()


@pytest.mark.slow
def test_s24_a_transaction_that_hangs_is_ended_by_hand(new_stack, tmp_path):
    """As the test below wants it, every time: the alarm, and exact after Kafka's own tool has ended it."""
    own = new_stack(programs=[], seed=False, options=["--kafka-version", "4.3.1"])
    alone, tool = Alone(own, tmp_path), Tool(own["kafka"]["bootstrap"])
    try:
        model = bare_model("hangs")
        processor = alone.start()
        alone.send_bare(*model.events(200))
        alone.exact(model)
        assert processor.stop() == 0
        begin_what_hangs(own, alone)
        processor = alone.start(RESTORE_TIMEOUT_MS=15000)
        alone.send_bare(*model.events(200))
        assert ends_in(alone, model, [processor]) == "alarm"
        end_what_hangs(alone, tool)
        alone.exact(model, 90)
        assert alone.undecided() == [] and processor.stop() == 0
    finally:
        alone.close()


@pytest.mark.slow
def test_s24_single_node_of_4x_forgets_a_transaction(new_stack, tmp_path):
    """KAFKA-20734: killed with open transactions, the node says that they are complete, but partitions lack
    the marker. Totals are never wrong for that: an alarm, and exact after the tool has ended it. It takes chance,
    and many users for transactions on all partitions; the alarm itself has the test above."""
    own = new_stack(programs=[], seed=False, options=["--kafka-version", "4.3.1"])
    alone, tool = Alone(own, tmp_path), Tool(own["kafka"]["bootstrap"])
    try:
        model = Model("4.x", users=200, start=time.time() - 7200)
        for turn in range(8):
            settings = {"RESTORE_TIMEOUT_MS": 15000}
            killed = [alone.start(slot, **settings) for slot in range(3)]
            with Load(alone, model, 0.0005):
                until(lambda one=killed[0]: one.metric("commits_total") > 50, 60)
                own.kill("kafka")
                for one in killed:
                    one.kill()
                own.start("kafka")
            processors = [alone.start(slot, wait=False, **settings) for slot in range(3)]
            end = ends_in(alone, model, processors)
            print(f"round {turn}: {end}")
            if end == "alarm":
                end_what_hangs(alone, tool)
            alone.exact(model, 90)
            if end == "alarm":
                return
            for one in processors:
                one.kill()
    finally:
        alone.close()
