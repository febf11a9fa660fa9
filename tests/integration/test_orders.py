"""Orders through the gateway, against the whole stack."""

import concurrent.futures
import json
import secrets
import threading

import pytest
import requests
from shop_stack import until

KILLED = {
    "order_reserved": False, "order_before_commit": False,
    "order_committed": True, "order_before_reply": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def product(stack):
    return stack.new_product(stock=100000, price=19.99)


@pytest.fixture
def user(stack):
    return stack.new_user()


def key():
    return secrets.token_hex(8)


def post(stack, body, **more):
    """Raw bytes or JSON, without the session of `stack` (for threads)."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **more}
    return requests.post(f"{stack.gateway}/api/orders", data=body, headers=headers, timeout=30)


def stock_of(stack, product):
    return stack.sql("product-svc", "SELECT stock FROM products WHERE id = %s", product)[0][0]


def orders_of(stack, user):
    return stack.sql("order-svc", "SELECT id, status FROM orders WHERE user_id = %s ORDER BY id", user)


def events_of(stack, user, n):
    """The order ids of a user's events in their order, repeats aside, once there are n."""
    consumer, seen = stack.kafka_consumer("orders-events"), []

    def enough():
        message = consumer.poll(0.5)
        if message and not message.error() and message.key() == str(user).encode():
            order = json.loads(message.value())["order_id"]
            if order not in seen:
                seen.append(order)
        return len(seen) == n

    try:
        until(enough, 30, f"{n} events")
    finally:
        consumer.close()
    return seen


def balanced(stack, product, start):
    """At rest: nothing sold twice, no stock lost, every open reservation resolved."""

    def pending():
        return stack.sql(
            "product-svc",
            "SELECT COUNT(*) FROM reservation_items i JOIN reservations r ON r.id ="
            " i.reservation_id WHERE r.state = 'pending' AND i.product_id = %s",
            product,
        )[0][0]

    until(lambda: pending() == 0, 30, "every reservation to be resolved")
    sold = stack.sql(
        "order-svc",
        "SELECT COALESCE(SUM(quantity), 0) FROM order_items i JOIN orders o ON o.id = i.order_id"
        " WHERE o.status = 'placed' AND i.product_id = %s",
        product,
    )[0][0]
    until(lambda: stock_of(stack, product) + sold == start, 20, "the stock to be in balance")


# ---- bad input ----

GOOD = b'{"user_id":1,"product_id":"LAPTOP001","quantity":1}'


def body(**change):
    return {"user_id": 1, "product_id": "LAPTOP001", "quantity": 1, **change}


BAD = {
    "not json": (b"{", "invalid_json", None),
    "empty": (b"", None, None),
    "a list": (b"[]", "invalid_json", None),
    "twice the same member": (b'{"user_id":1,"user_id":2}', "invalid_json", None),
    "deep": (b'{"items":' + b"[" * 500 + b"]" * 500 + b"}", "invalid_json", None),
    "invalid utf-8": (b'{"user_id":1,"product_id":"\xff","quantity":1}', "invalid_json", None),
    "a nul": (b'{"user_id":1,"product_id":"A\\u0000","quantity":1}', None, None),
    "no user": ({"product_id": "LAPTOP001", "quantity": 1}, None, "user_id"),
    "user as text": (body(user_id="1"), None, "user_id"),
    "user 0": (body(user_id=0), None, "user_id"),
    "user null": (body(user_id=None), None, "user_id"),
    "quantity 0": (body(quantity=0), None, "quantity"),
    "quantity -1": (body(quantity=-1), None, "quantity"),
    "quantity 10^9": (body(quantity=10**9), None, "quantity"),
    "quantity 1.5": (body(quantity=1.5), None, "quantity"),
    "quantity as text": (body(quantity="1"), None, "quantity"),
    "quantity true": (body(quantity=True), None, "quantity"),
    "no quantity": ({"user_id": 1, "product_id": "LAPTOP001"}, None, "quantity"),
    "unknown field": (body(price=0.01), None, "price"),
    "both forms": (body(items=[{"product_id": "X", "quantity": 1}]), None, "items"),
    "no lines": ({"user_id": 1, "items": []}, None, "items"),
    "items an object": ({"user_id": 1, "items": {}}, None, "items"),
    "unknown field of a line": (
        {"user_id": 1, "items": [{"product_id": "X", "quantity": 1, "unit_price": 1}]},
        None,
        "items[0].unit_price",
    ),
    "51 products": (
        {"user_id": 1, "items": [{"product_id": f"P{n}", "quantity": 1} for n in range(51)]},
        None,
        "items",
    ),
    "too many of one": (
        {"user_id": 1, "items": [{"product_id": "P", "quantity": 600}] * 2},
        None,
        "items[1].quantity",
    ),
    "product with quotes": (body(product_id="' OR 1=1 --"), None, "product_id"),
    "product too long": (body(product_id="X" * 65), None, "product_id"),
    "key empty": (body(idempotency_key=""), None, "idempotency_key"),
    "key too long": (body(idempotency_key="x" * 256), None, "idempotency_key"),
    "key not printable": (body(idempotency_key="a\nb"), None, "idempotency_key"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_body(stack, name):
    bytes_or_json, code, field = BAD[name]
    answer = post(stack, bytes_or_json)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == 400 and problem["request_id"] and problem["detail"]
    if code:
        assert problem["code"] == code
    if field:
        assert problem["errors"][0]["field"] == field


def test_other_bad_requests(stack):
    assert post(stack, GOOD, **{"Content-Type": "text/plain"}).status_code == 415
    assert post(stack, b'{"user_id":1,"items":[' + b" " * 70000 + b"]}").status_code == 413
    assert post(stack, GOOD, **{"Idempotency-Key": "x" * 256}).status_code == 400
    answer = post(stack, body(idempotency_key="a"), **{"Idempotency-Key": "b"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "idempotency_key"
    answer = stack.api("PATCH", "/api/orders", json={})
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]
    assert stack.api("GET", "/api/orders/1/unknown").status_code == 404
    for bad in ("abc", "0", "-1", "99999999999999999999"):
        assert stack.api("GET", f"/api/orders/{bad}").status_code in (400, 404)
    assert post(stack, GOOD, Authorization="Bearer forged").status_code == 401


def test_unknown_product_and_user(stack, product):
    items = [{"product_id": product, "quantity": 1}, {"product_id": "NO-SUCH", "quantity": 1}]
    answer = post(stack, {"user_id": 1, "items": items})
    assert answer.status_code == 404 and answer.json()["code"] == "product_not_found"
    assert answer.json()["errors"][0]["field"] == "items[1].product_id"
    assert "NO-SUCH" in answer.json()["detail"]
    answer = post(stack, {"user_id": 2**40, "product_id": product, "quantity": 1})
    assert answer.status_code == 404 and answer.json()["code"] == "user_not_found"


# ---- placing ----


def test_an_order(stack, user):
    first, second = stack.new_product(stock=5, price=10.01), stack.new_product(stock=5, price=0.99)
    items = [{"product_id": second, "quantity": 2}, {"product_id": first, "quantity": 1}] * 2
    answer = stack.api("POST", "/api/orders", json={"user_id": user[0], "items": items}, token=user[1])
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert answer.headers["Location"] == f"/api/orders/{order['order_id']}"
    assert order["total_price"] == 23.98 and order["currency"] == "USD"
    lines = {line["product_id"]: line for line in order["items"]}
    assert lines[first]["quantity"] == 2 and lines[second]["quantity"] == 4
    assert lines[first]["unit_price"] == 10.01 and lines[first]["name"] == "Test product"
    assert stock_of(stack, first) == 3 and stock_of(stack, second) == 1
    again = stack.api("GET", answer.headers["Location"], token=user[1])
    assert again.status_code == 200 and again.json() == order
    balanced(stack, first, 5)


def test_short_stock_takes_nothing(stack, user, product):
    rare = stack.new_product(stock=2)
    before = stock_of(stack, product)
    items = [{"product_id": product, "quantity": 1}, {"product_id": rare, "quantity": 3}]
    answer = post(stack, {"user_id": user[0], "items": items})
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "insufficient_stock" and problem["product_id"] == rare
    assert problem["available"] == 2 and problem["requested"] == 3 and problem["request_id"]
    assert stock_of(stack, product) == before and stock_of(stack, rare) == 2


def test_two_hundred_buyers_of_the_last_ten(stack, user):
    rare = stack.new_product(stock=10)
    barrier = threading.Barrier(40)

    def buy(n):
        if n < 40:
            barrier.wait(30)
        while True:
            answer = post(
                stack,
                {"user_id": user[0], "product_id": rare, "quantity": 1},
                **{"Idempotency-Key": f"buyer-{rare}-{n}"},
            )
            if answer.status_code not in (502, 503, 504):
                return answer

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(buy, range(200)))
    codes = [a.status_code for a in answers]
    assert codes.count(201) == 10 and codes.count(409) == 190
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"insufficient_stock"}
    assert stock_of(stack, rare) == 0 and len(orders_of(stack, user[0])) == 10
    balanced(stack, rare, 10)


# ---- keys ----


def test_same_key_again(stack, user, product):
    k = key()
    wanted = {"user_id": user[0], "product_id": product, "quantity": 2}
    first = post(stack, wanted, **{"Idempotency-Key": k})
    assert first.status_code == 201 and "Idempotency-Replayed" not in first.headers
    same = {"items": [{"quantity": 1, "product_id": product}] * 2, "user_id": user[0]}
    for again in (
        post(stack, wanted, **{"Idempotency-Key": k}),
        post(stack, {**wanted, "idempotency_key": k}),
        post(stack, {**same, "idempotency_key": k}, **{"Idempotency-Key": k}),
    ):
        assert again.status_code == 201 and again.headers["Idempotency-Replayed"] == "true"
        assert again.content == first.content
        assert again.headers["Location"] == first.headers["Location"]
    other = post(stack, {**wanted, "quantity": 3}, **{"Idempotency-Key": k})
    assert other.status_code == 422 and other.json()["code"] == "idempotency_key_reused"
    assert len(orders_of(stack, user[0])) == 1


def test_a_key_belongs_to_its_user(stack, user, product):
    k, other = key(), stack.new_user()[0]
    for who in (user[0], other):
        wanted = {"user_id": who, "product_id": product, "quantity": 1}
        assert "Idempotency-Replayed" not in post(stack, wanted, **{"Idempotency-Key": k}).headers
        assert len(orders_of(stack, who)) == 1


def test_concurrent_twins(stack, user, product):
    k = key()
    wanted = {"user_id": user[0], "product_id": product, "quantity": 1}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(stack, wanted, **{"Idempotency-Key": k}), range(16)))
    assert {a.status_code for a in answers} == {201}, [a.text for a in answers]
    assert len({a.content for a in answers}) == 1
    assert len(orders_of(stack, user[0])) == 1


def test_a_refusal_stays(stack, user):
    rare, k = stack.new_product(stock=1), key()
    wanted = {"user_id": user[0], "product_id": rare, "quantity": 2}
    assert post(stack, wanted, **{"Idempotency-Key": k}).status_code == 409
    more = stack.api("POST", f"/api/products/{rare}/stock", json={"delta": 5}, token="admin", key=key())
    assert more.status_code in (200, 201), more.text
    again = post(stack, wanted, **{"Idempotency-Key": k})
    assert again.status_code == 409 and again.headers["Idempotency-Replayed"] == "true"
    assert post(stack, wanted, **{"Idempotency-Key": key()}).status_code == 201


# ---- cancelling ----


def test_cancel(stack, user):
    thing = stack.new_product(stock=3)
    order = stack.order(user[0], thing, 3).json()
    path = f"/api/orders/{order['order_id']}"
    assert stock_of(stack, thing) == 0
    first = stack.api("POST", f"{path}/cancel", token=user[1])
    assert first.status_code == 200 and first.json()["status"] == "cancelled"
    assert stack.api("POST", f"{path}/cancel", token=user[1]).json() == first.json()
    assert stack.api("GET", path, token=user[1]).json() == first.json()
    until(lambda: stock_of(stack, thing) == 3, 20, "the stock to come back")
    assert stack.api("POST", "/api/orders/999999999/cancel").status_code == 404
    balanced(stack, thing, 3)


def test_orders_of_others(stack, user, product):
    order = stack.order(user[0], product).json()
    stranger = stack.new_user()[1]
    path = f"/api/orders/{order['order_id']}"
    assert stack.api("GET", path, token=stranger).status_code == 404
    assert stack.api("POST", f"{path}/cancel", token=stranger).status_code == 404
    assert stack.api("GET", f"/api/orders?user_id={user[0]}", token=stranger).status_code == 403
    assert stack.order(user[0], product, token=stranger).status_code == 403
    assert stack.api("GET", path, token="admin").status_code == 200
    assert stack.api("GET", "/api/orders", token=user[1]).json()["orders"] == [order]


# ---- listing ----


def test_pages(stack, user, product):
    made = [stack.order(user[0], product).json()["order_id"] for _ in range(7)]
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = stack.api("GET", f"/api/orders?user_id={user[0]}&limit=3{more}", token=user[1])
        assert page.status_code == 200
        seen += [order["order_id"] for order in page.json()["orders"]]
        assert all(order["items"][0]["product_id"] == product for order in page.json()["orders"])
        cursor, pages = page.json()["next_cursor"], pages + 1
    assert seen == made[::-1] and pages == 3
    everything = stack.api("GET", f"/api/orders?user_id={user[0]}", token=user[1]).json()
    assert len(everything["orders"]) == 7 and everything["next_cursor"] is None


def test_empty_list(stack, user):
    answer = stack.api("GET", f"/api/orders?user_id={user[0]}", token=user[1])
    assert answer.json() == {"orders": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query, field",
    [
        ("user_id=1&cursor=x", "cursor"),
        ("user_id=1&cursor=", "cursor"),
        ("user_id=1&cursor=%FF", "cursor"),
        (f"user_id=1&cursor={'x' * 2100}", "cursor"),
        ("user_id=1&cursor=offffffffffffffff", "cursor"),
        ("user_id=1&limit=0", "limit"),
        ("user_id=1&limit=101", "limit"),
        ("user_id=1&limit=1e1", "limit"),
        ("user_id=0", "user_id"),
        ("user_id=x", "user_id"),
        ("", "user_id"),
    ],
)
def test_bad_queries(stack, query, field):
    answer = stack.api("GET", f"/api/orders?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == field


# ---- faults ----


@pytest.mark.parametrize("point", KILLED)
def test_killed_at(stack, user, product, point):
    """order-svc dies at a step; the client repeats with its key until it gets an answer."""
    if stack["mode"] == "release":
        pytest.skip("a release build has no failpoints")
    thing, k = stack.new_product(stock=10), key()
    wanted = {"user_id": user[0], "product_id": thing, "quantity": 1}
    stack.restart("order-svc", "--env", f"FAILPOINTS={point}:1:kill")
    try:
        answer = post(stack, wanted, **{"Idempotency-Key": k})
        assert answer.status_code >= 500, answer.text
    finally:
        stack.start("order-svc", "--env", "FAILPOINTS=")

    def again():
        one = post(stack, wanted, **{"Idempotency-Key": k})
        return one if one.status_code not in (409, 502, 503, 504) else None

    answer = until(again, 20, "an answer")
    assert answer.status_code == 201
    assert ("Idempotency-Replayed" in answer.headers) == KILLED[point]
    assert len(orders_of(stack, user[0])) == 1
    until(lambda: stack.sql("order-svc", "SELECT COUNT(*) FROM outbox")[0][0] == 0, 20)
    if KILLED[point]:
        balanced(stack, thing, 10)


def test_kafka_away(stack, user, product):
    """Orders are taken, readiness does not change, the events follow, in order."""
    stack.kill("kafka")
    try:
        made = [stack.order(user[0], product) for _ in range(5)]
        assert {answer.status_code for answer in made} == {201}
        ready = requests.get(f"{stack.instances('order-svc')[0]['admin']}/readyz", timeout=5)
        assert ready.status_code == 200
        until(lambda: (stack.metric("order-svc", "shop_outbox_depth") or 0) >= 5, 30)
    finally:
        stack.start("kafka")
    until(lambda: stack.sql("order-svc", "SELECT COUNT(*) FROM outbox")[0][0] == 0, 60)
    assert events_of(stack, user[0], 5) == [answer.json()["order_id"] for answer in made]
