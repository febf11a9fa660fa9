"""Orders that share transactions, over HTTP: every order gets its own end, whatever happens to
its neighbours, to the connection during COMMIT, and to a queue that is full."""

import concurrent.futures
import random
import threading
import time

import pytest
from db_proxy import DbProxy
from fake_shop import FakeShop
from order_alone import OrderAlone
from shop_stack import until

STOCK = 1000000
ORDER = {"user_id": 1, "product_id": "MANY", "quantity": 1}
SLOW = "order_before_commit:1:delay:30"  # so that others queue up behind a transaction


@pytest.fixture
def shop():
    shop = FakeShop({"MANY": STOCK, "RARE": 0})
    yield shop
    shop.close()


@pytest.fixture
def alone(stack, tmp_path, shop):
    if stack["mode"] == "release":
        pytest.skip("a release build has no failpoints")
    alone = OrderAlone(stack, tmp_path, shop)
    yield alone
    alone.close()


def all_at_once(calls, threads=20):
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return [one.result() for one in [pool.submit(*call) for call in calls]]


def shared(svc):
    """Orders a transaction."""
    stage = 'stage="record"'
    return svc.metric("shop_batch_members_total", stage) / svc.metric("shop_batch_seconds_count", stage)


def balanced(alone):
    """Nothing is held any more, and what is gone is sold."""
    committed = {row[0] for row in alone.sql("SELECT reservation_id FROM orders")}
    states = {key: one["state"] for key, one in alone.shop.reservations.items()}
    assert {key for key, state in states.items() if state == "pending"} == committed
    sold = alone.one("SELECT COALESCE(SUM(quantity), 0) FROM order_items WHERE product_id = 'MANY'")
    assert alone.shop.stock["MANY"] + int(sold) == STOCK


def test_every_end_side_by_side(alone):
    svc = alone.start(FAILPOINTS=SLOW, RECORD_LANES=1)
    assert svc.post(body=ORDER, key="known").status_code == 201
    known = svc.post(body=ORDER, key="known")

    def post(kind, n):
        body, key = {**ORDER, "user_id": 1 + n % 7}, f"{kind}-{n}"
        if kind == "none":
            key = None
        elif kind == "short":
            body["product_id"] = "RARE"
        elif kind in ("replay", "other"):
            body, key = {**ORDER, "quantity": 2 if kind == "other" else 1}, "known"
        elif kind == "twin":
            body, key = ORDER, f"twin-{n // 4}"
        return kind, n, svc.post(body=body, key=key)

    kinds = ["new", "none", "short", "replay", "other", "twin"] * 20
    answers = all_at_once([(post, kind, n) for n, kind in enumerate(kinds)])
    expected = {"new": 201, "none": 201, "short": 409, "replay": 201, "other": 422, "twin": 201}
    for kind, _, answer in answers:
        assert answer.status_code == expected[kind], (kind, answer.text)
    assert all(answer.content == known.content for kind, _, answer in answers if kind == "replay")
    twins = {}
    for kind, n, answer in answers:
        if kind == "twin":
            twins.setdefault(n // 4, set()).add(answer.content)
    assert all(len(contents) == 1 for contents in twins.values())
    assert alone.one("SELECT COUNT(*) FROM orders") == 1 + 20 + 20 + len(twins)
    assert alone.one("SELECT COUNT(*) FROM order_keys WHERE status = 409") == 20
    again = [svc.post(body={**ORDER, "user_id": 1 + n % 7, "product_id": "RARE"}, key=f"short-{n}") for n in (2, 8)]
    assert all(one.status_code == 409 and "Idempotency-Replayed" in one.headers for one in again)
    assert shared(svc) > 1.5
    balanced(alone)
    alone.at_rest()


@pytest.mark.parametrize("where", ["before", "after"])
def test_connection_lost_during_commit(alone, where):
    """Under load: nobody knows whether a transaction was carried out. Every client repeats with
    its key and ends up with exactly one order; nothing is held for orders that are not."""
    dice, lock = random.Random(7), threading.Lock()

    def cut():
        with lock:
            return where if dice.random() < 0.15 else None

    proxy = DbProxy(alone.mysql["port"], cut)
    svc = alone.start(FAILPOINTS=SLOW, DB_PORT=proxy.port)
    placed = []

    def buy(buyer):
        for n in range(10):
            body = {**ORDER, "user_id": 1 + buyer % 5}
            for _ in range(50):
                answer = svc.post(body=body, key=f"{buyer}-{n}")
                if answer.status_code == 201:
                    placed.append(answer.json()["order_id"])
                    break
                assert answer.status_code in (409, 503, 504), answer.text
                time.sleep(0.05)
            assert answer.status_code == 201

    try:
        all_at_once([(buy, buyer) for buyer in range(20)])
        assert proxy.counts[where] > 3
        assert shared(svc) > 1.2
        assert svc.text().count("may or may not have been placed") > 3
        assert len(placed) == len(set(placed)) == alone.one("SELECT COUNT(*) FROM orders") == 200
        until(lambda: svc.metric("shop_db_pool_running") == 0)
        # A try to fence may have been cut as well: the janitor finds those.
        for key, one in list(alone.shop.reservations.items()):
            if one["state"] == "pending" and not alone.sql("SELECT 1 FROM orders WHERE reservation_id = %s", key):
                alone.shop._release(key)
        balanced(alone)
        proxy.cut = lambda: None
        alone.at_rest()
    finally:
        proxy.close()


def test_more_orders_than_may_be_under_way(alone):
    """Those above the limit are told at once, and nothing was done for them."""
    svc = alone.start(MAX_PLACING=4, RESERVE_CALLS=4)
    alone.shop.faults += [("delay", 1)] * 4
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = [pool.submit(svc.post, body={**ORDER, "user_id": n + 1}) for n in range(4)]
        until(lambda: len(alone.shop.reservations) == 4)
        started = time.monotonic()
        answer = svc.post(body=ORDER, key="k1")
        assert time.monotonic() - started < 0.5
        assert answer.status_code == 503 and answer.json()["code"] == "too_many_orders"
        assert answer.headers["Retry-After"] == "1"
        assert len(alone.shop.reservations) == 4
        assert {one.result().status_code for one in first} == {201}
    assert svc.post(body=ORDER, key="k1").status_code == 201
    balanced(alone)
    alone.at_rest()


def asked(alone, path="/internal/reservations"):
    return sum(one[1] == path for one in alone.shop.requests)


def behind_one(alone, svc, bodies, fault=("delay", 0.5)):
    """One order is slow at product-svc; the others wait for it and share what comes next.  Their answers."""
    alone.shop.faults.append(("delay", 0.5))
    with concurrent.futures.ThreadPoolExecutor(len(bodies) + 1) as pool:
        first = pool.submit(svc.post, body=ORDER)
        until(lambda: len(alone.shop.reservations) == 1)
        alone.shop.faults.append(fault)
        others = [pool.submit(svc.post, body=body, key=f"k{n}") for n, body in enumerate(bodies)]
        assert first.result().status_code == 201
        return [one.result() for one in others]


def test_orders_share_a_call_for_stock(alone):
    svc = alone.start(RESERVE_CALLS=1)
    kinds = ["MANY", "RARE", "NONE"] * 5
    answers = behind_one(alone, svc, [{**ORDER, "user_id": n + 2, "product_id": p} for n, p in enumerate(kinds)])
    expected = {"MANY": (201, None), "RARE": (409, "insufficient_stock"), "NONE": (404, "product_not_found")}
    for kind, answer in zip(kinds, answers, strict=True):
        assert (answer.status_code, answer.json().get("code")) == expected[kind], answer.text
    assert all(answer.json()["errors"][0]["field"] == "product_id" for answer in answers[2::3])
    assert asked(alone) == 1
    assert svc.metric("shop_reserve_calls_total") == 2 and svc.metric("shop_reserve_members_total") == 16
    balanced(alone)
    alone.at_rest()


def test_all_of_a_shared_call_are_refused(alone):
    svc = alone.start(RESERVE_CALLS=1)
    kinds = ["RARE", "NONE"] * 5
    answers = behind_one(alone, svc, [{**ORDER, "user_id": n + 2, "product_id": p} for n, p in enumerate(kinds)])
    expected = {"RARE": (409, "insufficient_stock"), "NONE": (404, "product_not_found")}
    for kind, answer in zip(kinds, answers, strict=True):
        assert (answer.status_code, answer.json().get("code")) == expected[kind], answer.text
    assert asked(alone) == 1
    balanced(alone)
    alone.at_rest()


@pytest.mark.parametrize(
    "fault",
    [
        ("delay", 4),
        ("answer", (500, b"what?")),
        ("answer", (200, {"results": {}})),
        ("answer", (409, {"results": {}})),
        ("answer", (409, {"code": "what?"})),
    ],
)
def test_shared_call_of_which_nothing_is_known(alone, fault):
    """Whatever was held for any of them is given back, and the same key buys once."""
    svc = alone.start(RESERVE_CALLS=1)
    bodies = [{**ORDER, "user_id": n + 2} for n in range(6)]
    answers = behind_one(alone, svc, bodies, fault)
    assert asked(alone) >= 1
    for answer in answers:
        assert answer.status_code in (502, 503, 504), answer.text
    assert alone.one("SELECT COUNT(*) FROM orders") == 1
    until(lambda: alone.shop.states().count("pending") == 1, what="that only the first order's stock is held")
    again = [svc.post(body=body, key=f"k{n}") for n, body in enumerate(bodies)]
    assert {answer.status_code for answer in again} == {201}
    balanced(alone)
    alone.at_rest()


def test_lost_answer_of_a_shared_call(alone):
    """Asking again for the same ids gets the same answers."""
    svc = alone.start(RESERVE_CALLS=1)
    answers = behind_one(alone, svc, [{**ORDER, "user_id": n + 2} for n in range(6)], ("hang up", None))
    assert {answer.status_code for answer in answers} == {201}
    assert asked(alone) == 2
    balanced(alone)
    alone.at_rest()


def test_orders_of_many_lines_share_calls_of_bounded_size(alone):
    svc = alone.start(RESERVE_CALLS=1)
    alone.shop.stock.update({f"L{n:02}": STOCK for n in range(50)})
    items = [{"product_id": f"L{n:02}", "quantity": 1} for n in range(50)]
    answers = behind_one(alone, svc, [{"user_id": n + 2, "items": items} for n in range(12)], ("delay", 0))
    assert {answer.status_code for answer in answers} == {201}
    assert asked(alone) == 3, "at most 256 lines in each"
    alone.at_rest()


def test_full_queue_gives_the_stock_back(alone):
    svc = alone.start(FAILPOINTS="order_before_commit:1:delay:300", RECORD_LANES=1, RECORD_QUEUE=1)
    answers = all_at_once([(svc.post, "/api/orders", {**ORDER, "user_id": 1 + n}) for n in range(16)])
    refused = [answer for answer in answers if answer.status_code != 201]
    assert refused and len(refused) < 16
    for answer in refused:
        assert answer.status_code == 503 and answer.json()["code"] == "database_busy"
        assert answer.headers["Retry-After"] == "1"
    assert alone.one("SELECT COUNT(*) FROM orders") == 16 - len(refused)
    balanced(alone)
    alone.at_rest()
