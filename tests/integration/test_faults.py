"""The whole shop under load while its parts die, restart and go away: nothing lost, nothing twice."""

import time
from decimal import Decimal

import pytest
from load import Buyers
from shop_stack import Stack, until

PROGRAMS = ["user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc"]
PRICE = 12.34


@pytest.fixture(scope="module")
def pair():
    """Two instances of each service behind one gateway, and two processors."""
    stack = Stack()
    try:
        # A reservation whose answer was lost comes back after its time: keep the wait short.
        yield stack.up(instances=dict.fromkeys([*PROGRAMS, "processor"], 2), env=("order-svc:RESERVATION_TTL_S=8",))
    finally:
        stack.close()


@pytest.fixture
def users(pair):
    return [pair.new_user()[0] for _ in range(4)]


@pytest.fixture
def products(pair):
    return [pair.new_product(stock=100_000, price=PRICE) for _ in range(3)]


def in_list(values):
    return ",".join(["%s"] * len(values))


def settle(stack, users, count):
    """Waits until everything downstream has seen `count` orders of the users."""

    def all_seen():
        return sum(stack.totals(user)["total_orders"] for user in users) == count

    until(all_seen, 60, f"{count} orders in the analytics")


def check(stack, users, products, load):
    """Orders, stock, analytics and mails agree with what the buyers were told."""
    ids = [order["order_id"] for order in load.placed.values()]
    assert len(set(ids)) == len(ids)
    rows = stack.sql("order-svc", f"SELECT id, user_id, total_price FROM orders WHERE user_id IN ({in_list(users)})",
                     *users)  # fmt: skip
    assert {row[0] for row in rows} == set(ids)
    settle(stack, users, len(ids))
    spent = sum(Decimal(str(stack.totals(user)["total_spent"])) for user in users)
    assert spent == sum(row[2] for row in rows)

    def at_rest():
        pending = stack.sql("product-svc", "SELECT COUNT(*) FROM reservations WHERE state = 'pending'")[0][0]
        return pending == 0 and stack.sql("order-svc", "SELECT COUNT(*) FROM outbox")[0][0] == 0

    until(at_rest, 60, "no open reservation, empty outbox")
    left = stack.sql("product-svc", f"SELECT SUM(stock) FROM products WHERE id IN ({in_list(products)})", *products)
    assert left[0][0] == 100_000 * len(products) - len(ids)
    text = f"SELECT COUNT(*), COUNT(DISTINCT order_id) FROM notifications WHERE user_id IN ({in_list(users)})"
    until(lambda: stack.sql("notify-svc", text, *users)[0] == (len(ids), len(ids)), 60, "one notification an order")


def test_each_program_killed_under_load(pair, users, products):
    with Buyers(pair, users, products) as load:
        for program in [*PROGRAMS, "processor"]:
            time.sleep(0.7)
            pair.kill(f"{program}.1")
            time.sleep(0.7)
            pair.start(f"{program}.1")
    assert load.placed and not load.failures
    check(pair, users, products, load)


def test_gateway_killed_under_load(pair, users, products):
    with Buyers(pair, users, products) as load:
        time.sleep(1)
        pair.kill("gateway")
        pair.start("gateway")
        time.sleep(1)
    assert load.placed and not load.failures
    check(pair, users, products, load)


def test_one_of_two_restarted_under_load_fails_no_request(pair, users, products):
    with Buyers(pair, users, products, retry=False) as load:
        for program in ("user-svc", "product-svc", "order-svc"):
            for instance in (1, 2):
                time.sleep(0.7)
                pair.restart(f"{program}.{instance}")
    assert load.failures == [] and load.placed
    check(pair, users, products, load)


def test_database_away_in_flight(pair, users, products):
    with Buyers(pair, users, products) as load:
        time.sleep(1)
        pair.kill("mysql")
        time.sleep(1)
        pair.start("mysql")
        time.sleep(2)
    assert load.placed and not load.failures
    check(pair, users, products, load)


def unknown_commits(stack):
    """Transactions of which nobody can say whether they were carried out, so far."""
    words = "may or may not have been placed"
    return sum(stack.log(f"order-svc.{n}").count(words) for n in (1, 2))


def test_database_killed_during_commits(pair, users, products):
    """-9, with forty buyers' orders in shared transactions; again until it met COMMITs at least twice."""
    before = unknown_commits(pair)
    with Buyers(pair, users, products, threads=40) as load:
        for _ in range(8):
            placed = len(load.placed)
            until(lambda least=placed + 100: len(load.placed) > least, 60, "orders between two kills")
            pair.kill("mysql")
            pair.start("mysql")
            if unknown_commits(pair) >= before + 2:
                break
    assert not load.failures and unknown_commits(pair) > before
    members, batches = (
        pair.metric("order-svc", f"shop_batch_{what}", 'stage="record"') for what in ("members_total", "seconds_count")
    )
    assert members > 1.2 * batches, "orders did not share transactions"
    check(pair, users, products, load)


def test_kafka_away_while_ordering(pair, users, products):
    with Buyers(pair, users, products) as load:
        time.sleep(0.5)
        pair.kill("kafka")
        before = len(load.placed)
        until(lambda: len(load.placed) > before + 20, 30, "orders while Kafka is away")
        assert pair.sql("order-svc", "SELECT COUNT(*) FROM outbox")[0][0] > 0
        pair.start("kafka")
        time.sleep(1)
    assert not load.failures
    check(pair, users, products, load)


def test_database_away_at_start(new_stack):
    stack = new_stack(seed=False)
    stack.stop("order-svc")
    stack.stop("mysql")
    stack.tool("start", "order-svc", "--no-wait")
    assert stack.order(1, "LAPTOP001").status_code == 503
    stack.start("mysql")
    until(lambda: stack.order(1, "LAPTOP001").status_code in (201, 404), 20, "order-svc answers again")
