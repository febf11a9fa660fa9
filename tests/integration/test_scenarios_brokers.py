"""Failure scenarios of the brokers, numbered as in tests/scenarios.md: one of one, one of three, and the
next major version."""

import time

import pytest
from kafka_raw import coordinator_port
from load import Buyers
from processor_alone import Alone, Load, Model
from shop_stack import until

VERSIONS = ["3.9.2", "4.3.1"]


def test_s11_broker_killed_inside_a_transaction(stack, alone):
    """The offsets are sent, the commit is not: the same process goes on when the broker is back."""
    model = Model("s11", users=2, start=time.time() - 7200)
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
        model = Model(f"s13-{version}", users=2, start=time.time() - 7200)
        processor = alone.start()
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
        assert processor.stop() == 0
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
        return sum((shop.totals(user) or {"total_orders": 0})["total_orders"] for user in users)

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
