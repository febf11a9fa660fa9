"""Stock held for orders: all or nothing, once, and given back when no order came."""

import concurrent.futures
import secrets
import threading
import time

import pytest
import requests
from db_proxy import HoldProxy
from product_alone import ProductAlone, event, until

HASH = "ab" * 32


@pytest.fixture(scope="module")
def alone(stack, tmp_path_factory):
    alone = ProductAlone(stack, tmp_path_factory.mktemp("reservations"))
    yield alone
    alone.close()


@pytest.fixture(scope="module")
def svc(alone):
    # Many small transactions, so that they meet inside one process.
    return alone.start(RESERVE_LANES="8", RESERVE_BATCH="2")


@pytest.fixture
def product(svc):
    """A fresh product with ten units."""
    name = f"P{secrets.token_hex(4)}"
    svc.create(name, stock=10)
    return name


@pytest.fixture(autouse=True)
def balanced(alone):
    yield
    alone.balance()


def new_id():
    return secrets.token_hex(16)


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == code, body
    return body


def test_reserve_and_repeat(svc, product):
    one = new_id()
    first = svc.reserve([(product, 3)], one)
    assert first.status_code == 200, first.text
    body = first.json()
    assert body["reservation_id"] == one and body["state"] == "pending"
    assert body["lines"] == [{"product_id": product, "name": f"Name of {product}", "quantity": 3, "unit_price": 19.99}]
    assert body["total"] == 59.97 and body["expires_at"].endswith("Z")
    assert svc.stock_of(product) == 7
    assert svc.reserve([(product, 3)], one).json() == body
    problem(svc.reserve([(product, 4)], one), 422, "reservation_differs")
    assert svc.stock_of(product) == 7


def test_repeat_has_the_old_price(svc, product):
    one = new_id()
    before = svc.reserve([(product, 1)], one).json()
    etag = svc.get(f"/api/products/{product}").headers["ETag"]
    body = {"name": "Name of " + product, "category": "things", "price": 99.99}
    assert svc.call("PUT", f"/api/products/{product}", body, {"If-Match": etag}).status_code == 200
    assert svc.reserve([(product, 1)], one).json() == before
    assert svc.reserve([(product, 1)]).json()["total"] == 99.99


def test_all_lines_or_none(svc, product):
    other = product + "b"
    svc.create(other, stock=1)
    short = problem(svc.reserve([(product, 2), (other, 2)]), 409, "insufficient_stock")
    assert (short["product_id"], short["available"], short["requested"]) == (other, 1, 2)
    assert other in short["detail"]
    missing = problem(svc.reserve([(product, 2), (product + "c", 1)]), 404, "product_not_found")
    assert missing["errors"][0]["field"] == "items[1].product_id"
    assert product + "c" in missing["detail"]
    assert svc.stock_of(product) == 10 and svc.stock_of(other) == 1
    assert svc.reserve([(product, 10), (other, 1)]).status_code == 200
    assert svc.stock_of(product) == 0 and svc.stock_of(other) == 0


def test_many_in_one_request(svc, product):
    """Each gets the answer that it would have got alone, and does not touch the others."""
    kept, new, short, missing, bad, released, other = (new_id() for _ in range(7))
    before = svc.reserve([(product, 1)], kept).json()
    svc.reserve([(product, 1)], released)
    svc.release(released)
    svc.reserve([(product, 1)], other)
    said = svc.reserve_many(
        {new: [(product, 2)], kept: [(product, 1)], short: [(product, 9)], missing: [(product, 1), (product + "x", 1)],
         released: [(product, 1)], other: [(product, 5)]},
        **{bad: {"ttl_s": 120, "lines": [{"product_id": product, "quantity": 0}]}},
    )  # fmt: skip
    assert set(said) == {kept, new, short, missing, bad, released, other}
    assert said[kept] == (200, before)
    assert said[new][0] == 200 and said[new][1]["reservation_id"] == new and said[new][1]["total"] == 39.98
    codes = {one: (status, body.get("code")) for one, (status, body) in said.items()}
    assert codes[short] == (409, "insufficient_stock") and said[short][1]["available"] in (6, 8)
    assert codes[missing] == (404, "product_not_found")
    assert said[missing][1]["errors"][0]["field"] == "items[1].product_id"
    assert codes[bad] == (400, "bad_request") and said[bad][1]["errors"][0]["field"] == "lines[0].quantity"
    assert codes[released] == (409, "reservation_released") and codes[other] == (422, "reservation_differs")
    assert svc.stock_of(product) == 6
    assert svc.reserve_many({new: [(product, 2)]})[new] == said[new], "asked again"
    assert svc.stock_of(product) == 6


def test_many_of_which_nothing_is_held(svc, product):
    """The status of the whole says so (reserve_many looks at it)."""
    ids = [new_id() for _ in range(3)]
    said = svc.reserve_many({ids[0]: [(product, 11)], ids[1]: [(product, 900)], ids[2]: [(product + "x", 1)]})
    assert [said[one][0] for one in ids] == [409, 409, 404]
    assert svc.stock_of(product) == 10
    assert svc.reserve_many({ids[0]: [(product, 11)], new_id(): [(product, 10)]})[ids[0]][0] == 409
    assert svc.stock_of(product) == 0


def test_bad_requests_for_many(svc, product):
    def put(body):
        return svc.call("PUT", "/internal/reservations", body)

    line = {"ttl_s": 120, "lines": [{"product_id": product, "quantity": 1}]}
    many = {"ttl_s": 120, "lines": [{"product_id": f"{product}{n:02}", "quantity": 1} for n in range(50)]}
    bad = [{}, {"reservations": []}, {"reservations": {}}, {"reservations": {"x": line}}, {"reservations": {new_id(): 1}},
           {"reservations": {new_id(): line}, "more": 1}, {"reservations": {new_id(): line for _ in range(65)}},
           {"reservations": {new_id(): many for _ in range(6)}}]  # fmt: skip
    for body in bad:
        field = "more" if "more" in body else "reservations"
        assert problem(put(body), 400, "bad_request")["errors"][0]["field"] == field
    assert svc.call("PUT", "/internal/reservations", {"reservations": {new_id(): line}}, admin=False).status_code == 401
    assert svc.stock_of(product) == 10


def test_fifty_lines(svc):
    stem = f"F{secrets.token_hex(4)}"
    names = [f"{stem}{n:02}" for n in range(50)]
    for name in names:
        svc.create(name, stock=2)
    done = svc.reserve([(name, 2) for name in names])
    assert done.status_code == 200 and len(done.json()["lines"]) == 50
    assert svc.release(done.json()["reservation_id"]).json()["state"] == "released"
    assert {svc.stock_of(name) for name in names} == {2}


def test_deleted_products_are_not_sold(svc, product):
    etag = svc.get(f"/api/products/{product}").headers["ETag"]
    assert svc.call("DELETE", f"/api/products/{product}", headers={"If-Match": etag}).ok
    problem(svc.reserve([(product, 1)]), 404, "product_not_found")


def test_bad_requests(svc, product):
    problem(svc.reserve([(product, 1)], "xyz"), 400, "bad_request")
    problem(svc.reserve([(product, 0)]), 400, "bad_request")
    problem(svc.reserve([(product, 1), (product, 1)]), 400, "bad_request")
    problem(svc.reserve([]), 400, "bad_request")
    for odd in ("ä", "a b", "' OR 1=1 -- "):
        problem(svc.reserve([(odd, 1)]), 404, "product_not_found")
    problem(svc.call("PUT", f"/internal/reservations/{new_id()}", {"lines": []}), 400, "bad_request")


def test_only_order_svc_may(svc, alone, product):
    path = f"/internal/reservations/{new_id()}"
    for authorization in (None, "Service notify-svc:" + alone.secret, "Service order-svc:x"):
        headers = {"Authorization": authorization} if authorization else {}
        for end in ("", "/release"):
            answer = svc.call("PUT", path + end, {}, headers, admin=False)
            assert answer.status_code in (401, 403), answer.text


def test_release_once(svc, product):
    one = svc.reserve([(product, 4)]).json()["reservation_id"]
    for _ in range(3):
        answer = svc.release(one)
        assert answer.status_code == 200
        assert answer.json() == {"reservation_id": one, "state": "released"}
        assert svc.stock_of(product) == 10
    problem(svc.reserve([(product, 4)], one), 409, "reservation_released")


def test_release_before_reserve(svc, product):
    one = new_id()
    assert svc.release(one).json()["state"] == "released"
    problem(svc.reserve([(product, 1)], one), 409, "reservation_released")
    assert svc.stock_of(product) == 10


def test_twin_waits_for_the_first_attempt(svc, product):
    first = svc.reserve([(product, 8)], key_hash=HASH).json()["reservation_id"]
    waiting = svc.reserve([(product, 8)], key_hash=HASH)
    problem(waiting, 409, "order_in_progress")
    assert int(waiting.headers["Retry-After"]) >= 1
    problem(svc.reserve([(product, 8)], key_hash="cd" * 32), 409, "insufficient_stock")
    problem(svc.reserve([(product, 8)]), 409, "insufficient_stock")
    problem(svc.reserve([(product, 11)], key_hash=HASH), 409, "insufficient_stock")
    svc.release(first)
    assert svc.reserve([(product, 8)], key_hash=HASH).status_code == 200


def test_many_buyers_of_the_last_units(svc, product):
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: svc.reserve([(product, 1)]), range(200)))
    codes = [a.status_code for a in answers]
    assert codes.count(200) == 10 and codes.count(409) == 190, set(codes)
    assert svc.stock_of(product) == 0


def test_the_same_id_at_the_same_time(svc, product):
    one = new_id()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: svc.reserve([(product, 2)], one), range(40)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.text for a in answers}) == 1
    assert svc.stock_of(product) == 8


def test_reserve_against_release(svc, product):
    """Whoever is first: in the end the id is released, the stock is back."""
    ids = [new_id() for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(svc.reserve, [(product, 1)], one) for one in ids]
        calls += [pool.submit(svc.release, one) for one in ids]
        answers = [call.result().status_code for call in calls]
    assert set(answers) <= {200, 409}
    for one in ids:
        assert svc.release(one).json()["state"] == "released"
    assert svc.stock_of(product) == 10


def test_orders_that_cross(svc, product):
    """Orders for many products at once, in every mix: no deadlock reaches the client."""
    names = [product] + [f"{product}{c}" for c in "abcd"]
    for name in names[1:]:
        svc.create(name, stock=10**6)
    svc.add(product, 10**6, new_id())

    def one(n):
        lines = [(name, 1) for i, name in enumerate(names) if (n >> i) & 1]
        answer = svc.reserve(lines)
        if answer.status_code == 200 and n % 2:
            return svc.release(answer.json()["reservation_id"]).status_code
        return answer.status_code

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        codes = list(pool.map(lambda n: one(1 + n % 31), range(600)))
    assert set(codes) == {200}


def test_events_confirm_and_return_once(svc, alone, product):
    one = svc.reserve([(product, 3)]).json()["reservation_id"]
    created, cancelled = event("order.created", 11, one), event("order.cancelled", 11, one)
    alone.publish(created, created)
    until(lambda: alone.state(one) == "confirmed", 20)
    assert alone.sql("SELECT order_id FROM reservations WHERE id = %s", one) == ((11,),)
    assert svc.stock_of(product) == 7
    assert svc.release(one).json()["state"] == "confirmed", "a sold one is not released"
    assert svc.reserve([(product, 3)], one).json()["state"] == "confirmed"
    alone.publish(cancelled, cancelled, created)
    until(lambda: alone.state(one) == "returned", 20)
    alone.publish(cancelled, created)
    probe = svc.reserve([(product, 1)]).json()["reservation_id"]
    alone.publish(event("order.created", 12, probe))
    until(lambda: alone.state(probe) == "confirmed", 20)
    assert alone.state(one) == "returned" and svc.stock_of(product) == 9


def test_cancelled_before_created(svc, alone, product):
    one = svc.reserve([(product, 3)]).json()["reservation_id"]
    alone.publish(event("order.cancelled", 21, one))
    until(lambda: alone.state(one) == "returned", 20)
    assert svc.stock_of(product) == 10
    alone.publish(event("order.created", 21, one))
    probe = svc.reserve([(product, 1)]).json()["reservation_id"]
    alone.publish(event("order.created", 22, probe))
    until(lambda: alone.state(probe) == "confirmed", 20)
    assert alone.state(one) == "returned" and svc.stock_of(product) == 9


def test_poison_is_skipped(svc, alone, product):
    one = svc.reserve([(product, 1)]).json()["reservation_id"]
    alone.publish(
        b"", b"\xff\xfe", b"[]", b'{"order_id":"x"}', {"order_id": 5, "user_id": 1},
        {"type": "order.shipped"}, event("order.created", 5, "no id"),
        event("order.created", 31, new_id()), event("order.created", 32, one),
    )  # fmt: skip
    until(lambda: alone.state(one) == "confirmed", 20)


def test_janitor_gives_back_what_no_order_wanted(svc, alone, product):
    one = svc.reserve([(product, 5)], ttl_s=1).json()["reservation_id"]
    until(lambda: alone.state(one) == "released", 10)
    assert svc.stock_of(product) == 10 and alone.orders.outcomes[one] == "aborted"
    assert alone.orders.authorizations == {f"Service product-svc:{alone.secret}"}
    problem(svc.reserve([(product, 5)], one), 409, "reservation_released")


def test_janitor_confirms_what_was_ordered(svc, alone, product):
    one = new_id()
    alone.orders.outcomes[one] = "committed"
    assert svc.reserve([(product, 5)], one, ttl_s=1).status_code == 200
    until(lambda: alone.state(one) == "confirmed", 10)
    assert svc.stock_of(product) == 5
    alone.publish(event("order.created", 41, one))
    until(lambda: alone.sql("SELECT order_id FROM reservations WHERE id = %s", one) == ((41,),), 20)
    alone.publish(event("order.cancelled", 41, one))
    until(lambda: svc.stock_of(product) == 10, 20)


def test_nothing_comes_back_without_a_fence(svc, alone, product):
    alone.orders.broken = True
    try:
        one = svc.reserve([(product, 5)], ttl_s=1).json()["reservation_id"]
        until(lambda: alone.orders.refused.count(one) > 1, 10, "janitors that ask")
        assert alone.state(one) == "pending" and svc.stock_of(product) == 5
    finally:
        alone.orders.broken = False
    until(lambda: alone.state(one) == "released", 10)


def test_two_janitors(svc, alone, product):
    alone.start()
    ids = [svc.reserve([(product, 1)], ttl_s=1).json()["reservation_id"] for _ in range(10)]
    until(lambda: all(alone.state(one) == "released" for one in ids), 20)
    assert svc.stock_of(product) == 10


def test_lost_connections(svc, alone, product):
    """Whatever a cut connection left open, the same id asked again tells it."""
    svc.add(product, 990, new_id())
    done = threading.Event()

    def cutter():
        while not done.wait(0.03):
            alone.cut_connections()

    def persist(call, *args):
        for _ in range(200):
            answer = call(*args)
            if answer.status_code not in (500, 503, 504):
                return answer
            time.sleep(0.02)
        raise AssertionError(answer.text)

    def one(n):
        reservation_id = new_id()
        assert persist(svc.reserve, [(product, 2)], reservation_id).status_code == 200
        if n % 2:
            assert persist(svc.release, reservation_id).json()["state"] == "released"

    cutting = threading.Thread(target=cutter)
    cutting.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(one, range(300)))
    finally:
        done.set()
        cutting.join()
    until(lambda: svc.get(f"/api/products/{product}").status_code == 200, 10)
    assert svc.stock_of(product) == 1000 - 2 * 150


def test_reserved_while_it_is_released(alone, svc, product):
    """The release found no row to change, then the late reserve came, then it looks what there is."""
    proxy = HoldProxy(alone.mysql["port"], b"SELECT state FROM reservations")
    one = new_id()
    try:
        slow = alone.start(DB_PORT=proxy.port)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            release = pool.submit(slow.release, one)
            assert proxy.held.wait(10)
            assert svc.reserve([(product, 3)], one).status_code == 200
            proxy.go_on.set()
            assert release.result(20).json() == {"reservation_id": one, "state": "released"}
        assert svc.stock_of(product) == 10
        assert slow.process.stop() == 0
    finally:
        proxy.close()


def test_many_of_which_nothing_is_known(stack, tmp_path):
    """Stock may be held, so it is no refusal (reserve_many looks at that)."""
    if stack["mode"] == "release":
        pytest.skip("failpoints are compiled out")
    own = ProductAlone(stack, tmp_path)
    try:
        svc = own.start(FAILPOINTS="product_reserved:1:error")
        svc.create("A", stock=5)
        held, none = new_id(), new_id()
        said = svc.reserve_many({held: [("A", 2)]}, **{none: {}})
        assert (said[held][0], said[none][0]) == (500, 400) and svc.stock_of("A") == 3
    finally:
        own.close()


def test_killed_before_the_answer(stack, tmp_path):
    if stack["mode"] == "release":
        pytest.skip("failpoints are compiled out")
    own = ProductAlone(stack, tmp_path)
    try:
        first = own.start(FAILPOINTS="product_reserved:1:kill")
        first.create("A", stock=5)
        one = new_id()
        with pytest.raises(requests.ConnectionError):
            first.reserve([("A", 2)], one)
        again = own.start().reserve([("A", 2)], one)
        assert again.status_code == 200 and again.json()["state"] == "pending"
        own.balance()
    finally:
        own.close()


def test_janitor_that_is_held_up(stack, tmp_path):
    """Nothing comes back by itself; the next janitor sees to it."""
    if stack["mode"] == "release":
        pytest.skip("failpoints are compiled out")
    own = ProductAlone(stack, tmp_path)
    try:
        first = own.start(FAILPOINTS="product_janitor:1:error")
        first.create("A", stock=5)
        one = first.reserve([("A", 5)], ttl_s=1).json()["reservation_id"]
        overdue = "SELECT 1 FROM reservations WHERE id = %s AND expires_at < NOW(3)"
        until(lambda: own.sql(overdue, one), 10, "its expiry")
        held_up = first.process.text().count("product_janitor")
        until(lambda: first.process.text().count("product_janitor") > held_up + 1, 10, "a janitor that is held up")
        assert own.state(one) == "pending" and first.stock_of("A") == 0
        own.start()
        until(lambda: own.state(one) == "released", 10)
        own.balance()
    finally:
        own.close()


def test_killed_after_confirming(stack, tmp_path):
    """The reservation is confirmed, the offset is not committed: the event comes again and changes nothing."""
    if stack["mode"] == "release":
        pytest.skip("failpoints are compiled out")
    own = ProductAlone(stack, tmp_path)
    try:
        first = own.start(FAILPOINTS="product_confirm:1:kill")
        first.create("A", stock=5)
        one = first.reserve([("A", 2)]).json()["reservation_id"]
        own.publish(event("order.created", 51, one))
        first.process.killed()
        assert own.state(one) == "confirmed"
        own.publish(event("order.cancelled", 51, one))
        second = own.start()
        until(lambda: own.state(one) == "returned", 30)
        assert second.stock_of("A") == 5
        own.balance()
    finally:
        own.close()


def test_killed_between_fence_and_give_back(stack, tmp_path):
    if stack["mode"] == "release":
        pytest.skip("failpoints are compiled out")
    own = ProductAlone(stack, tmp_path)
    try:
        first = own.start(FAILPOINTS="product_janitor_fenced:1:kill")
        first.create("A", stock=5)
        one = first.reserve([("A", 5)], ttl_s=1).json()["reservation_id"]
        first.process.killed(10)
        assert own.orders.outcomes[one] == "aborted" and own.state(one) == "pending"
        second = own.start()
        until(lambda: own.state(one) == "released", 10)
        problem(second.reserve([("A", 5)], one), 409, "reservation_released")
        assert second.release(one).json()["state"] == "released"
        assert second.stock_of("A") == 5
        own.balance()
    finally:
        own.close()
