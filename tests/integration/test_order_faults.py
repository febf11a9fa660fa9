"""order-svc alone against a scripted product-svc: what happens to an order, its key, its
stock and its event when the answer of a step is late, lost, wrong, or the process dies."""

import concurrent.futures
import contextlib
import signal
import threading
import time

import pymysql
import pytest
import requests
from fake_shop import FakeShop, problem
from order_alone import OrderAlone
from shop_stack import until

ORDER = {"user_id": 1, "product_id": "LAPTOP001", "quantity": 1}
PLACE = ["order_reserved", "order_before_commit", "order_committed", "order_before_reply"]
RELAY = ["relay_before_produce", "relay_produced", "relay_delivered", "relay_before_delete", "relay_deleted"]


@pytest.fixture
def shop():
    shop = FakeShop({"LAPTOP001": 100, "MOUSE001": 100, "RARE": 2})
    yield shop
    shop.close()


@pytest.fixture
def alone(stack, tmp_path, shop):
    alone = OrderAlone(stack, tmp_path, shop)
    yield alone
    alone.close()


def sold(alone, product):
    return int(
        alone.one(
            "SELECT COALESCE(SUM(quantity), 0) FROM order_items i JOIN orders o"
            " ON o.id = i.order_id WHERE status = 'placed' AND product_id = %s",
            product,
        )
    )


def settle_pending(alone, svc):
    """What product-svc's janitor does with expired reservations."""
    for key in [k for k, v in alone.shop.reservations.items() if v["state"] == "pending"]:
        answer = svc_put(svc, alone, f"/internal/outcomes/{key}")
        assert answer.status_code == 200
        if answer.json()["outcome"] == "aborted":
            alone.shop._release(key)
        else:
            alone.shop.reservations[key]["state"] = "confirmed"


def svc_put(svc, alone, path, who="product-svc"):
    headers = {"Authorization": f"Service {who}:{alone.secret}"}
    return requests.put(svc.url + path, headers=headers, timeout=10)


def balanced(alone, svc, product="LAPTOP001", start=100):
    settle_pending(alone, svc)
    assert alone.shop.stock[product] + sold(alone, product) == start


def test_whole_path(alone):
    svc = alone.start()
    parent = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    answer = svc.post(body=ORDER, key="k1", traceparent=parent, **{"X-Request-Id": "req-1"})
    assert answer.status_code == 201, answer.text
    order = answer.json()
    assert answer.headers["Location"] == f"/api/orders/{order['order_id']}"
    assert "Idempotency-Replayed" not in answer.headers
    assert order["total_price"] == 19.99 and order["status"] == "placed"
    assert order["items"] == [{"product_id": "LAPTOP001", "name": "Product LAPTOP001", "quantity": 1, "unit_price": 19.99}]
    again = svc.post(body=ORDER, key="k1")
    assert again.status_code == 201 and again.headers["Idempotency-Replayed"] == "true"
    assert again.content == answer.content and again.headers["Location"]
    assert svc.get(f"/api/orders/{order['order_id']}").json() == order
    method, path, headers = next(r for r in alone.shop.requests if "reservations" in r[1])
    assert headers["Authorization"] == f"Service order-svc:{alone.secret}"
    assert headers["X-Request-Id"] == "req-1" and headers["traceparent"] == parent
    alone.at_rest()
    ((key, event, event_headers),) = alone.events()
    assert list(event)[:5] == ["order_id", "user_id", "price", "quantity", "timestamp"]
    assert event["seq"] == 1 and event["price"] == 19.99 and event["quantity"] == 1
    assert event["reservation_id"] == path.rsplit("/", 1)[1]
    assert event_headers["traceparent"] == parent
    assert svc.stop() == 0


def test_other_order_under_the_key(alone):
    svc = alone.start()
    assert svc.post(body=ORDER, key="k1").status_code == 201
    answer = svc.post(body={**ORDER, "quantity": 2}, key="k1")
    assert answer.status_code == 422 and answer.json()["code"] == "idempotency_key_reused"
    assert svc.post(body={**ORDER, "user_id": 2}, key="k1").status_code == 201
    same = {"user_id": 1, "items": [{"product_id": "LAPTOP001", "quantity": 1}]}
    assert svc.post(body=same, key="k1").headers["Idempotency-Replayed"] == "true"
    assert alone.one("SELECT COUNT(*) FROM orders") == 2


def test_short_stock_is_final_for_the_key(alone):
    svc = alone.start()
    body = {"user_id": 1, "product_id": "RARE", "quantity": 3}
    answer = svc.post(body=body, key="k1")
    assert answer.status_code == 409 and answer.json()["code"] == "insufficient_stock"
    assert answer.json()["product_id"] == "RARE" and answer.json()["available"] == 2
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    alone.shop.stock["RARE"] = 100
    again = svc.post(body=body, key="k1")
    assert again.status_code == 409 and again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["detail"] == answer.json()["detail"]
    assert svc.post(body=body, key="k2").status_code == 201


def test_unknown_things_are_named_and_not_stored(alone):
    svc = alone.start()
    items = [{"product_id": "MOUSE001", "quantity": 1}, {"product_id": "AAA", "quantity": 1}]
    answer = svc.post(body={"user_id": 1, "items": items}, key="k1")
    assert answer.status_code == 404 and answer.json()["code"] == "product_not_found"
    assert answer.json()["errors"][0]["field"] == "items[1].product_id"
    answer = svc.post(body={**ORDER, "user_id": 4711}, key="k1")
    assert answer.status_code == 404 and answer.json()["code"] == "user_not_found"
    alone.shop.stock["AAA"] = 1
    assert svc.post(body={"user_id": 1, "items": items}, key="k1").status_code == 201


def test_lost_reserve_answer_gives_the_stock_back(alone):
    svc = alone.start()
    alone.shop.faults.append(("delay", 4))
    answer = svc.post(body=ORDER, key="k1")
    assert answer.status_code in (502, 503, 504)
    assert alone.shop.states() == ["released"] and alone.shop.stock["LAPTOP001"] == 100
    assert svc.post(body=ORDER, key="k1").status_code == 201
    balanced(alone, svc)
    alone.at_rest()


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"reservation_id": "x"}),
        (200, b"not json"),
        (500, {}),
        (503, {"code": "unavailable"}),
        problem(409, "insufficient_stock"),
        problem(409, "reservation_released"),
    ],
)
def test_nonsense_from_product_svc(alone, answer):
    svc = alone.start()
    alone.shop.faults.append(("answer", answer))
    assert svc.post(body=ORDER, key="k1").status_code in (502, 503)
    assert svc.post(body=ORDER, key="k1").status_code == 201
    balanced(alone, svc)


def test_order_in_progress_is_not_stored(alone):
    svc = alone.start()
    alone.shop.faults.append(("answer", problem(409, "order_in_progress")))
    answer = svc.post(body=ORDER, key="k1")
    assert answer.status_code == 409 and answer.json()["code"] == "order_in_progress"
    assert int(answer.headers["Retry-After"]) >= 1
    assert svc.post(body=ORDER, key="k1").status_code == 201


def test_total_too_large(alone):
    svc = alone.start()
    line = {"product_id": "LAPTOP001", "quantity": 2, "name": "x", "unit_price": 9999999999.99}
    real = alone.shop._reserve

    def reserve(rid, body):
        status, answer = real(rid, body)
        return status, {**answer, "lines": [line]}

    alone.shop._reserve = reserve
    answer = svc.post(body={**ORDER, "quantity": 2}, key="k1")
    assert answer.status_code == 422 and answer.json()["code"] == "total_too_large"
    assert alone.shop.states() == ["released"]


def test_twins_in_one_process(alone):
    svc = alone.start()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: svc.post(body=ORDER, key="twin"), range(20)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1
    assert len(alone.shop.reservations) == 1
    alone.at_rest()


def test_twins_in_two_processes(alone):
    both = [alone.start(), alone.start()]
    for n in range(25):
        barrier = threading.Barrier(4)

        def go(i, n=n, barrier=barrier):
            barrier.wait()
            return both[i % 2].post(body=ORDER, key=f"twin-{n}")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(go, range(4)))
        assert {a.status_code for a in answers} == {201}, [a.text for a in answers]
        assert len({a.content for a in answers}) == 1
    assert alone.one("SELECT COUNT(*) FROM orders") == 25
    assert alone.shop.stock["LAPTOP001"] == 75 - alone.shop.held("LAPTOP001") + 25
    balanced(alone, both[0])
    alone.at_rest()


def test_fenced_order_does_not_commit(alone):
    """The janitor was faster: its fence stands, the late attempt fails and may be repeated."""
    svc = alone.start(FAILPOINTS="order_reserved:1:delay:1500")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        late = pool.submit(svc.post, body=ORDER, key="k1")
        until(lambda: alone.shop.states() == ["pending"])
        (key,) = alone.shop.reservations
        # The slow process cannot answer now; any other instance can.
        other = alone.start()
        assert svc_put(other, alone, f"/internal/outcomes/{key}").json() == {
            "reservation_id": key, "outcome": "aborted",
        }  # fmt: skip
        answer = late.result()
    assert answer.status_code == 503 and answer.json()["code"] == "order_aborted"
    assert alone.one("SELECT COUNT(*) FROM orders") == 0
    assert alone.shop.states() == ["released"]
    assert other.post(body=ORDER, key="k1").status_code == 201
    balanced(alone, other)


def test_a_process_that_slept_too_long_does_not_commit(alone):
    svc = alone.start(RESERVATION_TTL_S=1, FAILPOINTS="order_reserved:1:delay:1500")
    answer = svc.post(body=ORDER, key="k1")
    assert answer.status_code == 503 and answer.json()["code"] == "order_aborted"
    assert alone.one("SELECT COUNT(*) FROM orders") == 0
    assert alone.shop.states() == ["released"]


def test_outcome_of_a_committed_order(alone):
    svc = alone.start()
    assert svc.post(body=ORDER).status_code == 201
    (key,) = alone.shop.reservations
    for _ in range(2):
        answer = svc_put(svc, alone, f"/internal/outcomes/{key}")
        assert answer.json() == {"reservation_id": key, "outcome": "committed"}
    assert svc_put(svc, alone, f"/internal/outcomes/{key}", "notify-svc").status_code == 403
    assert svc_put(svc, alone, "/internal/outcomes/xyz").status_code == 400


@pytest.mark.parametrize("point", PLACE)
def test_killed_while_placing(alone, point):
    svc = alone.start(FAILPOINTS=f"{point}:1:kill")
    with pytest.raises(requests.ConnectionError):
        svc.post(body=ORDER, key="k1")
    assert svc.child.wait(10) == -9
    svc = alone.start()
    answer = svc.post(body=ORDER, key="k1")
    assert answer.status_code == 201, answer.text
    assert alone.one("SELECT COUNT(*) FROM orders") == 1
    replayed = "Idempotency-Replayed" in answer.headers
    assert replayed == (point in ("order_committed", "order_before_reply"))
    balanced(alone, svc)
    alone.at_rest()


@pytest.mark.parametrize("point", PLACE)
def test_failing_while_placing(alone, point):
    svc = alone.start(FAILPOINTS=f"{point}:0.5:error")
    for n in range(20):
        for _ in range(20):
            answer = svc.post(body=ORDER, key=f"k{n}")
            if answer.status_code == 201:
                break
            assert answer.status_code >= 500
        assert answer.status_code == 201
    assert alone.one("SELECT COUNT(*) FROM orders") == 20
    assert svc.metric('shop_orders_total{result="placed"}') == 20
    balanced(alone, svc)
    alone.at_rest()


@pytest.mark.parametrize("point", RELAY)
def test_relay_killed(alone, point):
    """Events arrive, repeated at most, in order and with the same numbers."""
    svc = alone.start(FAILPOINTS=f"{point}:1:kill")
    for n in range(5):
        with contextlib.suppress(requests.ConnectionError):
            svc.post(body=ORDER, key=f"first-{n}")
    assert svc.child.wait(10) == -9
    if alone.one("SELECT COUNT(*) FROM outbox"):
        again = alone.start(wait=False, FAILPOINTS=f"{point}:1:kill")
        assert again.child.wait(10) == -9
    svc = alone.start()
    for n in range(3):
        assert svc.post(body=ORDER, key=f"last-{n}").status_code == 201
    alone.at_rest()
    balanced(alone, svc)


@pytest.mark.parametrize("relays", [1, 2])
def test_an_event_that_becomes_visible_late_is_published(alone, relays):
    """Ids are given before the commit, so a lower one may appear after a higher one was published."""
    svc = alone.start(RELAY_THREADS=relays)
    db = alone.connect()
    db.begin()
    with db.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {alone.name}.outbox (user_id, event_id, payload, created_at)"
            " VALUES (9, REPEAT('9', 32), '{}', UTC_TIMESTAMP(3))"
        )
    assert svc.post(body=ORDER).status_code == 201
    until(lambda: len(alone.events()) == 1)
    db.commit()
    db.close()
    until(lambda: {key for key, _, _ in alone.events()} == {"1", "9"})
    until(lambda: alone.one("SELECT COUNT(*) FROM outbox") == 0)


def test_relays_share_the_outbox(alone):
    """Each shard has one relay; when one dies, the others take over what it had."""
    first = alone.start()
    until(lambda: first.metric("shop_outbox_shards") == 8)
    second = alone.start(RELAY_THREADS=2)
    shares = lambda: (first.metric("shop_outbox_shards"), second.metric("shop_outbox_shards"))  # noqa: E731
    until(lambda: sum(shares()) == 8 and 2 <= shares()[0] <= 3)
    for user in range(1, 17):
        assert second.post(body={**ORDER, "user_id": user}).status_code == 201
    alone.at_rest()
    first.kill()
    for user in range(1, 17):
        assert second.post(body={**ORDER, "user_id": user}).status_code == 201
    until(lambda: second.metric("shop_outbox_shards") == 8)
    balanced(alone, second)
    alone.at_rest()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_order_per_user_while_relays_come_and_go(alone, end):
    """A user's events never overtake one another, whoever publishes them; and only who dies leaves some that come again."""
    keep = alone.start(RELAY_POLL_MS=5)
    others, stop, placed = [], threading.Event(), []

    def buyer(user):
        while not stop.wait(0.002):
            answer = keep.post(body={**ORDER, "user_id": user, "product_id": "MANY"})
            placed.append("201" if answer.status_code == 201 else answer.text)

    alone.shop.stock["MANY"] = 1000000
    threads = [threading.Thread(target=buyer, args=(user,)) for user in range(1, 9)]
    for thread in threads:
        thread.start()
    try:
        for n in range(4):
            others.append(alone.start(RELAY_THREADS=2, RELAY_POLL_MS=5))
            until(lambda: others[-1].metric("shop_outbox_shards") >= 2)
            if n % 2:
                getattr(others.pop(0), end)()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # On a machine that is busy with other tests somebody may be told to come again: no order was made for him.
    refused = [answer for answer in placed if answer != "201"]
    assert all('"status":503' in answer for answer in refused) and len(refused) < len(placed) / 20, refused[:3]
    alone.at_rest()
    seen, events = {}, alone.events()
    for key, event, _ in events:
        # Repeated at most: what is new is the next number.
        assert event["seq"] <= seen.get(key, 0) + 1, (key, event["seq"], seen.get(key))
        seen[key] = max(seen.get(key, 0), event["seq"])
    assert sum(seen.values()) == placed.count("201")
    assert end == "kill" or len(events) == placed.count("201"), "each once"
    balanced(alone, keep)


WAITING = (
    "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"
    " ON p.id = t.trx_mysql_thread_id WHERE trx_state = 'LOCK WAIT' AND user = %s"
)


def change_orders(alone):
    with contextlib.closing(alone.connect()) as db, db.cursor() as cursor:
        cursor.execute("SET SESSION lock_wait_timeout = 1")
        cursor.execute(f"ALTER TABLE {alone.name}.orders COMMENT = 'changed'")


def test_who_cancels_waits_for_the_user_without_a_table_of_orders(alone):
    """Orders are recorded in that order, too; an ALTER that waits between two makes no circle."""
    svc = alone.start()
    order = svc.post(body=ORDER).json()
    with contextlib.closing(alone.connect()) as db, concurrent.futures.ThreadPoolExecutor() as pool:
        with db.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT seq FROM {alone.name}.user_seq WHERE user_id = 1 FOR UPDATE")
            answer = pool.submit(svc.post, f"/api/orders/{order['order_id']}/cancel")
            # Asked more often than every 0.1 s, InnoDB gives the same old answer.
            until(lambda: alone.one(WAITING, alone.name), pause=0.2)
            change_orders(alone)
            cursor.execute("COMMIT")
        assert answer.result(20).status_code == 200
    alone.at_rest()


def test_cancel_once(alone):
    svc = alone.start()
    order = svc.post(body={**ORDER, "quantity": 3}).json()
    path = f"/api/orders/{order['order_id']}/cancel"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: svc.post(path), range(8)))
    assert {a.status_code for a in answers} == {200}
    assert {a.json()["status"] for a in answers} == {"cancelled"}
    assert len({a.json()["cancelled_at"] for a in answers}) == 1
    assert svc.post("/api/orders/999999/cancel").status_code == 404
    alone.at_rest()
    events = [e[1] for e in alone.events()]
    assert [e["type"] for e in events] == ["order.created", "order.cancelled"]
    assert [e["seq"] for e in events] == [1, 2]
    assert events[1]["price"] == events[0]["price"] and events[1]["quantity"] == 3
    assert events[1]["event_id"] != events[0]["event_id"]


def test_epoch(alone):
    svc = alone.start()
    assert svc.post(body=ORDER).status_code == 201
    alone.sql("UPDATE seq_epoch SET epoch = epoch + 1")
    for user in (1, 1, 2):
        assert svc.post(body={**ORDER, "user_id": user}).status_code == 201
    rows = dict(alone.sql("SELECT user_id, seq FROM user_seq"))
    assert rows == {1: (1 << 48) + 2, 2: (1 << 48) + 1}


def test_event_too_large_is_set_aside(alone):
    svc = alone.start()
    event = "'" + "0" * 32 + "'"
    alone.sql(
        "INSERT INTO outbox (user_id, event_id, payload, created_at)"
        f" VALUES (7, {event}, REPEAT('x', 2000000), UTC_TIMESTAMP(3))"
    )
    until(lambda: alone.one("SELECT COUNT(*) FROM outbox_set_aside") == 1, 20)
    assert svc.post(body={**ORDER, "user_id": 7}).status_code == 201
    assert svc.post(body={**ORDER, "user_id": 8}).status_code == 201
    until(lambda: [r[0] for r in alone.sql("SELECT DISTINCT user_id FROM outbox")] == [7])
    until(lambda: svc.metric("shop_outbox_set_aside") == 1)
    assert "ALARM" in svc.log.read_text()
    alone.sql("DELETE FROM outbox WHERE event_id = " + event)
    alone.sql("DELETE FROM outbox_set_aside")
    alone.at_rest()


def test_what_was_before_a_set_aside_event_goes_on(alone):
    """Only later events wait behind it."""
    svc = alone.start(RELAY_POLL_MS=10)
    late = alone.one("SELECT AUTO_INCREMENT + 1000 FROM information_schema.tables"
                     " WHERE table_schema = %s AND table_name = 'outbox'", alone.name)  # fmt: skip
    alone.sql(
        "INSERT INTO outbox_set_aside (outbox_id, user_id, reason, created_at)"
        f" VALUES ({late}, 1, 'too large', UTC_TIMESTAMP(3))"
    )
    assert svc.post(body=ORDER).status_code == 201
    until(lambda: alone.one("SELECT COUNT(*) FROM outbox") == 0)
    alone.sql(f"ALTER TABLE outbox AUTO_INCREMENT = {late + 1}")
    assert svc.post(body=ORDER).status_code == 201
    time.sleep(0.5)
    assert alone.one("SELECT COUNT(*) FROM outbox") == 1
    alone.sql("DELETE FROM outbox_set_aside")
    alone.at_rest()


def test_a_hung_process_does_not_hold_up_others(alone):
    """It hangs inside a transaction and holds the outbox: others wait seconds, not hours."""
    hung = alone.start(FAILPOINTS="order_before_commit:1:stop")
    until(lambda: hung.metric("shop_outbox_shards") == 8)
    with pytest.raises(requests.Timeout):
        hung.post(body=ORDER, key="k1", timeout=1)
    try:
        other = alone.start()
        until(lambda: other.post(body=ORDER, key="k1", timeout=40).status_code == 201, 40)
        until(lambda: other.metric("shop_outbox_shards") == 8, 40)
    finally:
        hung.child.send_signal(signal.SIGCONT)
    until(lambda: alone.shop.states().count("pending") == 1)
    assert alone.one("SELECT COUNT(*) FROM orders") == 1
    balanced(alone, other)
    alone.at_rest()


def test_a_locked_row_holds_up_only_who_wants_it(alone):
    """Somebody holds the row of one user; the orders of others, which share batches with his, are recorded."""
    svc = alone.start(RECORD_LANES=1, DB_QUEUE_MS=20000)
    users = range(1, 21)
    for user in (1, 2):
        assert svc.post(body={**ORDER, "user_id": user}).status_code == 201
    with contextlib.closing(alone.connect()) as db, concurrent.futures.ThreadPoolExecutor(2 * len(users)) as pool:
        with db.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT seq FROM {alone.name}.user_seq WHERE user_id = 1 FOR UPDATE")
            first = pool.submit(svc.post, body={**ORDER, "user_id": 2})
            answers = {user: pool.submit(svc.post, body={**ORDER, "user_id": user}) for user in users}
            status = {user: answer.result().status_code for user, answer in answers.items()}
            db.rollback()
    assert first.result().status_code == 201
    assert status == {user: 503 if user == 1 else 201 for user in users}
    assert answers[1].result().headers["Retry-After"]
    assert svc.post(body=ORDER).status_code == 201
    balanced(alone, svc)
    alone.at_rest()


def test_cut_while_twins_wait(alone):
    """The time to drain is over: one attempt is under way, its twins wait for their turn."""
    svc = alone.start(DRAIN_MAX_MS=200)
    alone.shop.faults.append(("delay", 2.5))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        posts = [pool.submit(svc.post, body=ORDER, key="twin") for _ in range(6)]
        until(lambda: alone.shop.states() == ["pending"])
        time.sleep(0.2)
        assert svc.stop() == 0
        assert all(isinstance(post.exception(), requests.ConnectionError) for post in posts)
    again = alone.start()
    assert again.post(body=ORDER, key="twin").status_code == 201
    balanced(alone, again)
    alone.at_rest()


def test_cut_between_two_tries_to_fence(alone):
    """The database is away, so an attempt waits to try again; then the process ends."""
    svc = alone.start(DRAIN_MAX_MS=100, FAILPOINTS="order_reserved:1:error")
    login = f"'{alone.name}'@'127.0.0.1'"
    alone.shop.faults.append(("delay", 1))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        post = pool.submit(svc.post, body=ORDER, key="k1")
        until(lambda: alone.shop.states() == ["pending"])
        alone.sql(f"ALTER USER {login} ACCOUNT LOCK")
        alone.cut_connections()
        until(lambda: "undoing an order" in svc.log.read_text())
        assert svc.stop() == 0
        assert isinstance(post.exception(), requests.ConnectionError)
    alone.sql(f"ALTER USER {login} ACCOUNT UNLOCK")
    again = alone.start()
    assert again.post(body=ORDER, key="k1").status_code == 201
    balanced(alone, again)
    alone.at_rest()


def test_database_gone_for_a_moment(alone):
    """Every connection is cut while orders are placed; the client repeats with its key."""
    svc = alone.start()
    stop = threading.Event()
    done, failed = [], []

    def buyer(user):
        n = 0
        while not stop.is_set():
            key, n = f"u{user}-{n}", n + 1
            while True:
                answer = svc.post(body={**ORDER, "user_id": user, "product_id": "MANY"}, key=key)
                if answer.status_code == 201:
                    done.append(answer.json()["order_id"])
                    break
                failed.append(answer.status_code)
                time.sleep(0.05)

    alone.shop.stock["MANY"] = 1000000
    threads = [threading.Thread(target=buyer, args=(user,)) for user in range(1, 9)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        time.sleep(0.2)
        for row in alone.sql("SHOW PROCESSLIST"):
            if row[1] == alone.name:
                with contextlib.suppress(pymysql.MySQLError):
                    alone.sql(f"KILL {row[0]}")
    stop.set()
    for thread in threads:
        thread.join(60)
    assert set(failed) <= {500, 502, 503, 504}
    assert alone.one("SELECT COUNT(*) FROM orders") == len(set(done)) == len(done)
    alone.at_rest()
    settle_pending(alone, svc)
    assert alone.shop.stock["MANY"] + sold(alone, "MANY") == 1000000


def test_required_mode(alone):
    """Nobody without a token; other services may; a token nobody signed is refused."""
    svc = alone.start(AUTH_MODE="required")
    service = {"Authorization": f"Service notify-svc:{alone.secret}"}
    for method, path in (
        ("POST", "/api/orders"),
        ("GET", "/api/orders?user_id=1"),
        ("GET", "/api/orders/1"),
        ("POST", "/api/orders/1/cancel"),
        ("PUT", "/internal/outcomes/" + "0" * 32),
    ):
        for headers in ({}, {"Authorization": "Service notify-svc:guess"}):
            answer = requests.request(method, svc.url + path, headers=headers, timeout=10)
            assert answer.status_code == 401, (method, path, headers)
    assert svc.post(body=ORDER, **service).status_code == 201
    orders = requests.get(svc.url + "/api/orders", headers=service, timeout=10).json()["orders"]
    assert len(orders) == 1


def test_old_fences_and_keys_go(alone):
    """Only what is past its time: fences after the reservation's time and a day, keys after two."""
    svc = alone.start()
    assert svc.post(body=ORDER, key="young").status_code == 201
    assert svc.post(body=ORDER, key="old").status_code == 201
    svc_put(svc, alone, "/internal/outcomes/" + "a" * 32)
    svc_put(svc, alone, "/internal/outcomes/" + "b" * 32)
    alone.sql(
        "UPDATE outcomes SET created_at = created_at - INTERVAL 25 HOUR"
        " WHERE reservation_id = %s OR outcome = 'committed'",
        "a" * 32,
    )
    alone.sql("UPDATE order_keys SET created_at = created_at - INTERVAL 49 HOUR" " WHERE idempotency_key = 'old'")
    svc.stop()
    alone.start(SWEEP_EVERY_MS=50)
    until(lambda: alone.sql("SELECT idempotency_key FROM order_keys") == (("young",),))
    until(lambda: alone.one("SELECT COUNT(*) FROM outcomes WHERE outcome = 'aborted'") == 1)
    assert alone.one("SELECT COUNT(*) FROM outcomes WHERE outcome = 'committed'") == 2
