"""The processor when it is told to stop, when a twin runs, and when the broker goes away."""

import json
import time

import kafka_proxy as kp
import pytest
import requests
from confluent_kafka import Consumer, KafkaException, TopicPartition
from load import Buyers
from processor_alone import PARTITIONS, RARELY, Alone, Load, Model, bare_model, versions_go_back
from shop_stack import runs, until


def test_stop_under_load_ends_the_transaction(alone):
    """Else the next owner of its partitions would wait for the transaction's time-out."""
    model = bare_model("stop")
    for _ in range(3):
        processor = alone.start(**RARELY)
        with Load(alone, model):
            until(lambda one=processor: one.metric("commits_total") >= 2)
            assert processor.stop() == 0
            assert alone.undecided() == []
    alone.start()
    alone.exact(model)
    assert alone.forgives_nothing()


def test_stop_while_a_coordinator_is_slow(alone, proxy):
    """A transaction that cannot be ended in time is left to the heir, and not written a second time."""
    model = bare_model("slow")
    processor = alone.start(**RARELY, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{proxy.port}")
    with Load(alone, model):
        until(lambda: processor.metric("commits_total") >= 3)
        proxy.delay(kp.ADD_OFFSETS_TO_TXN, 11)  # longer than a call
        until(lambda: proxy.faults[kp.ADD_OFFSETS_TO_TXN].left == 0)
        processor.child.terminate()
        processor.child.wait(30)
        assert "left open" in processor.text()
    alone.start()
    alone.exact(model)
    assert alone.forgives_nothing()


@pytest.mark.slow
def test_stop_while_the_broker_is_away(new_stack, tmp_path):
    own = new_stack(programs=[], seed=False)
    alone = Alone(own, tmp_path)
    try:
        model = bare_model("away")
        processor = alone.start(**RARELY)
        with Load(alone, model):
            until(lambda: processor.metric("commits_total") >= 5)
            own.kill("kafka")
            time.sleep(1)
            began = time.monotonic()
            processor.child.terminate()
            processor.child.wait(20)
            # Within the grace time, whatever the broker does.
            assert time.monotonic() - began < 15
            own.start("kafka")
        alone.start()
        alone.exact(model, 60)
        assert alone.forgives_nothing()
    finally:
        alone.close()


@pytest.mark.slow
@pytest.mark.parametrize("away", [0.5, 12])
def test_broker_killed_again_and_again(new_stack, away):
    """A restart of the broker may lose the answer to a member's request to join: the member then
    fences itself.  Nobody has to be started again, and nothing is lost or counted twice."""
    own = new_stack(instances={"processor": 2})
    users = [own.new_user()[0] for _ in range(6)]
    products = [own.new_product(stock=1_000_000, price=3.21) for _ in range(3)]
    before = {name: [one["pid"] for one in group] for name, group in own["services"].items() if name != "kafka"}
    with Buyers(own, users, products, threads=4) as load:
        for _ in range(3):
            time.sleep(2)
            own.kill("kafka")
            time.sleep(away)
            own.start("kafka")
    assert load.placed and not load.failures
    count = len(load.placed)
    until(lambda: own.orders_counted(users) == count, 90, f"{count} orders counted")
    admins = [one["admin"] for group in own["services"].values() for one in group if "admin" in one]
    until(lambda: all(requests.get(f"{a}/readyz", timeout=5).ok for a in admins), 30, "all programs ready")
    for name, pids in before.items():
        assert all(runs(pid) for pid in pids), f"{name} ended"
    own.refresh()
    assert {n: [one["pid"] for one in g] for n, g in own["services"].items() if n != "kafka"} == before
    spent = sum(round(own.totals(user)["total_spent"] * 100) for user in users)
    assert spent == 321 * count
    everything = [(m.partition(), m.key(), json.loads(m.value())) for m in own.events("analytics-results") if m.value()]
    assert versions_go_back(everything) == []
    assert summary_agrees(own)


def summary_agrees(stack):
    summary = stack.api("GET", "/api/analytics/summary").json()
    windows = summary["by_window"]
    assert windows["orders"] - windows["cancelled"] == summary["total_orders"]
    return round(windows["revenue"] - windows["refunded"], 2) == summary["total_revenue"]


@pytest.mark.slow
def test_broker_away_for_longer_than_a_transaction_lives(new_stack, tmp_path):
    """Kafka then ends the transaction itself and fences its producer."""
    own = new_stack(programs=[], seed=False)
    alone = Alone(own, tmp_path)
    try:
        model = bare_model("long")
        processor = alone.start(COMMIT_QUIET_INTERVAL_MS=1000)
        with Load(alone, model, 0.01):
            until(lambda: processor.metric("commits_total") >= 3)
            own.kill("kafka")
            time.sleep(75)
            own.start("kafka")
        alone.exact(model, 60)
        assert processor.stop() == 0 and alone.forgives_nothing()
    finally:
        alone.close()


@pytest.mark.parametrize("step", [-20, 20])
def test_the_state_knows_its_offset(alone, step):
    """Offsets that were set by hand neither count an event again nor leave one out."""
    model = Model("offsets", users=3)
    processor = alone.start()
    alone.send_bare(*model.events(300))
    alone.exact(model)
    assert processor.stop() == 0
    alone.send_bare(*model.events(300))
    group = Consumer({"bootstrap.servers": alone.bootstrap, "group.id": alone.name})
    places = group.committed([TopicPartition(alone.orders, p) for p in range(PARTITIONS)], timeout=10)
    for place in places:
        place.offset = max(place.offset + step, 0)

    def moved():
        try:
            return group.commit(offsets=places, asynchronous=False)
        except KafkaException:
            return False  # the slot is kept for its owner for some seconds

    until(moved, 30, "a group without members")
    group.close()
    alone.start()
    alone.exact(model)


@pytest.mark.slow
def test_takes_over_what_a_dead_process_left_open(alone):
    """The slot does not come back: the transaction ends by its time-out, and the restore waits for it."""
    model = bare_model("heir")
    heir = alone.start(0, **RARELY)
    dead = alone.start(1, failpoints="processor_offsets_sent:0.2:kill", **RARELY)
    with Load(alone, model):
        dead.killed(60)
    assert heir.child.poll() is None
    alone.exact(model, 120)
    assert heir.stop() == 0 and alone.forgives_nothing()
