"""Searches read the whole catalogue, and anybody may ask for them: they take nothing from those who sell."""

import concurrent.futures
import contextlib

import pytest
import requests
from db_proxy import HoldProxy
from product_alone import ProductAlone, until

SLOW = "slowly"
EXACT = {"Cache-Control": "no-cache"}
NEW = {"product_id": "NEW", "name": "Lamp", "category": "home", "price": 5}


@pytest.fixture
def alone(stack, tmp_path):
    alone = ProductAlone(stack, tmp_path)
    yield alone
    alone.balance()
    alone.close()


@pytest.fixture
def proxy(alone):
    """Holds up the searches for SLOW."""
    proxy = HoldProxy(alone.mysql["port"], f"%{SLOW}%".encode())
    yield proxy
    proxy.close()


@contextlib.contextmanager
def searching(svc, n):
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        yield [pool.submit(svc.get, "/api/products", q=SLOW) for _ in range(n)]


def sell_and_read(svc):
    """All else that needs the database."""
    held = svc.reserve([("A", 2)])
    assert held.status_code == 200, held.text
    assert svc.release(held.json()["reservation_id"]).status_code == 200
    assert svc.add("A", 5, "more").status_code == 200
    assert svc.call("POST", "/api/products", NEW).status_code == 201
    read = svc.get("/api/products/A", EXACT)
    assert read.json()["stock"] == 15 and "Warning" not in read.headers
    assert svc.get("/api/products/none").status_code == 404
    assert [p["product_id"] for p in svc.get("/api/products", category="home").json()["products"]] == ["NEW"]
    pages = svc.get("/api/products", EXACT)
    assert len(pages.json()["products"]) == 2 and "Warning" not in pages.headers


def test_slow_searches_take_nothing_from_the_others(alone, proxy):
    svc = alone.start(
        DB_PORT=proxy.port, DB_MAX_CONNS=6, DB_QUEUE_MS=15000, DB_TIMEOUT_MS=60000, SEARCH_CONNS=3, SEARCH_QUEUE=4
    )
    svc.create("A", stock=10, description=f"It goes {SLOW}.")
    with searching(svc, 16) as calls:
        try:
            until(lambda: proxy.counts["held"] >= 3, 10)
            sell_and_read(svc)
            until(lambda: sum(call.done() for call in calls) == 16 - 3 - 4, 10)
            assert proxy.counts["held"] == 3 and svc.process.metric("shop_db_pool_queued", 'pool="search"') == 4
        finally:
            proxy.go_on.set()
        answers = [call.result() for call in calls]
    found = [answer.json() for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert (len(found), len(refused)) == (7, 9)
    assert all([p["product_id"] for p in page["products"]] == ["A"] for page in found)
    for answer in refused:
        assert answer.json()["code"] == "database_busy" and int(answer.headers["Retry-After"]) >= 1
    assert svc.process.metric("shop_db_errors_total", 'kind="pool_busy"') == 9
    assert svc.get("/api/products", q=SLOW).status_code == 200


def test_who_does_not_wait_for_his_search_gives_its_place_back(alone, proxy):
    svc = alone.start(DB_PORT=proxy.port, SEARCH_CONNS=1, SEARCH_QUEUE=1)
    svc.create("A", description=f"It goes {SLOW}.")
    gone = [requests.Session() for _ in range(2)]
    for n, session in enumerate(gone):
        with session, pytest.raises(requests.ReadTimeout):
            session.get(svc.url + "/api/products", params={"q": SLOW}, timeout=0.3)
        assert n or proxy.held.wait(10)
    proxy.go_on.set()
    until(lambda: svc.get("/api/products", q=SLOW).status_code == 200, 10)
    with searching(svc, 2) as calls:
        assert [call.result().status_code for call in calls] == [200, 200]


def test_a_search_is_answered_before_the_end(alone, proxy):
    svc = alone.start(DB_PORT=proxy.port, SEARCH_CONNS=1)
    svc.create("A", description=f"It goes {SLOW}.")
    with searching(svc, 2) as calls:
        try:
            assert proxy.held.wait(10)
            until(lambda: svc.process.metric("shop_db_pool_queued", 'pool="search"') == 1, 10)
            svc.process.child.terminate()
            until(lambda: "draining" in svc.process.text(), 10)
        finally:
            proxy.go_on.set()
        assert [call.result().status_code for call in calls] == [200, 200]
    assert svc.process.stop() == 0
