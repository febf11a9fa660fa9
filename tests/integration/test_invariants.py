"""The checker of the invariants finds what is broken: each way of damaging a shop at rest is named."""

import json
import sys
from collections import Counter
from decimal import Decimal
from types import SimpleNamespace

import pytest
from shop_stack import ROOT

sys.path.insert(0, str(ROOT / "tests"))

import invariants  # noqa: E402

ONE_CENT_MORE = "UPDATE orders SET total_price = total_price + 0.01 WHERE id = {order}"
ONE_CENT_LESS = "UPDATE orders SET total_price = total_price - 0.01 WHERE id = {order}"
PENDING = "UPDATE reservations SET state = 'pending' WHERE order_id = {order}"
CONFIRMED = "UPDATE reservations SET state = 'confirmed' WHERE order_id = {order}"

# The findings, the service whose account does the damage, the damage, its repair.
DAMAGES = [
    (["stock adds up"], "product-svc", "UPDATE products SET stock = stock + 1 WHERE id = '{product}'",
     "UPDATE products SET stock = stock - 1 WHERE id = '{product}'"),
    (["sold = ordered"], "order-svc", "UPDATE order_items SET quantity = quantity + 1 WHERE order_id = {order}",
     "UPDATE order_items SET quantity = quantity - 1 WHERE order_id = {order}"),
    (["totals are the sum of the lines", "events sum up to the orders", "results by user = orders",
      "windows + folded + late = orders", "analytics-svc: totals", "analytics-svc: users"],
     "order-svc", ONE_CENT_MORE, ONE_CENT_LESS),
    (["numbers without gap"], "order-svc", "UPDATE user_seq SET seq = seq + 1 WHERE user_id = {user}",
     "UPDATE user_seq SET seq = seq - 1 WHERE user_id = {user}"),
    (["orders = committed outcomes"], "order-svc", "UPDATE outcomes SET outcome = 'aborted' LIMIT 1",
     "UPDATE outcomes SET outcome = 'committed'"),
    (["orders = confirmed reservations", "no open reservation"], "product-svc", PENDING, CONFIRMED),
    (["one order a key"], "order-svc",
     "INSERT INTO order_keys SELECT user_id, 'other', body_hash, status, reply, order_id, created_at FROM order_keys"
     " WHERE idempotency_key = 'first'", "DELETE FROM order_keys WHERE idempotency_key = 'other'"),
    (["a key's order exists"], "order-svc", "UPDATE order_keys SET order_id = 987654 WHERE idempotency_key = 'first'",
     "UPDATE order_keys SET order_id = {order} WHERE idempotency_key = 'first'"),
    (["lines belong to orders"], "order-svc", "UPDATE order_items SET order_id = 987654 WHERE order_id = {order}",
     "UPDATE order_items SET order_id = {order} WHERE order_id = 987654"),
    (["nothing set aside"], "order-svc",
     "INSERT INTO outbox_set_aside VALUES (987654, 987654, 'too large', NOW(3))", "DELETE FROM outbox_set_aside"),
    (["outbox is empty"], "order-svc",
     "INSERT INTO outbox (user_id, event_id, payload, created_at) VALUES (987654, 'x', '{{}}', NOW(3))",
     "DELETE FROM outbox"),
    (["cancelled orders = returned reservations"], "product-svc",
     "UPDATE reservations SET state = 'released' WHERE state = 'returned'",
     "UPDATE reservations SET state = 'returned' WHERE state = 'released'"),
    (["one notification an event"], "notify-svc", "UPDATE notifications SET order_id = NULL WHERE order_id = {order}",
     "UPDATE notifications SET order_id = {order} WHERE order_id IS NULL"),
]  # fmt: skip


@pytest.fixture
def shop(new_stack):
    """A shop at rest with three orders of its own, one of them cancelled."""
    stack = new_stack()
    user, _ = stack.new_user()
    product = stack.new_product(stock=50, price=12.34)
    orders = [stack.order(user, product, n + 1, key=key).json()["order_id"] for n, key in enumerate(("first", "b", "c"))]
    assert stack.api("POST", f"/api/orders/{orders[2]}/cancel", token="admin").status_code == 200
    assert None not in invariants.wait_for_rest(stack.json, 30).values()
    return stack, {"user": user, "product": product, "order": orders[0]}


def broken(stack):
    return {finding.name for finding in invariants.check(stack.json) if not finding.ok}


def test_every_damage_is_found(shop):
    stack, names = shop
    assert broken(stack) == set()
    # The janitor would give back what looks overdue, the relay would send what it finds.
    stack.kill("product-svc", "STOP")
    stack.kill("order-svc", "STOP")
    for wanted, service, damage, repair in DAMAGES:
        stack.sql(service, damage.format(**names), write=True)
        assert set(wanted) <= broken(stack), damage
        stack.sql(service, repair.format(**names), write=True)
    assert broken(stack) == set()
    stack.kill("order-svc", "CONT")
    stack.kill("product-svc", "CONT")


def test_wrong_events_and_results_are_found(shop):
    stack, names = shop
    stack.stop("processor")
    producer = stack.kafka_producer()
    event = json.loads(next(m.value() for m in stack.events() if m.key() == str(names["user"]).encode()))
    producer.produce("orders-events", key=str(names["user"]), value=json.dumps(event, separators=(",", ":")))
    producer.flush(10)
    assert broken(stack) == set()  # the same event again is harmless
    event.update(order_id=987654, seq=event["seq"] + 10)
    producer.produce("orders-events", key=str(names["user"]), value=json.dumps(event, separators=(",", ":")))
    event.update(order_id=987655, seq=event["seq"] - 1)
    producer.produce("orders-events", key=str(names["user"]), value=json.dumps(event, separators=(",", ":")))
    producer.produce("orders-events", key=str(names["user"]), value="no event")
    producer.produce("orders-dlq", key="1", value="dead")
    record = next(m for m in stack.events("analytics-results") if m.key() == f"u:{names['user']}".encode())
    producer.produce("analytics-results", key=record.key(), value=record.value(), partition=record.partition())
    elsewhere = (record.partition() + 1) % 12
    producer.produce("analytics-results", key=record.key(), value=record.value(), partition=elsewhere)
    producer.flush(10)
    found = broken(stack)
    wanted = {"one event an (order, type)", "events' numbers without gap", "no dead letter", "versions rise",
              "events are understood", "a key stays in its partition", "a user's events are in order"}  # fmt: skip
    assert wanted <= found, wanted - found


def test_an_order_in_the_wrong_window_is_found(shop):
    """The sum over all windows is right."""
    stack, _ = shop
    stack.stop("processor")
    last = {m.key(): m for m in stack.events("analytics-results") if m.key().startswith(b"w:")}
    earliest = min(last, key=lambda key: int(key.split(b":")[1]))
    record = last[earliest]
    value = json.loads(record.value())
    value["start"] -= 60
    key = f"w:{value['start']}:{value['partition']}"
    producer = stack.kafka_producer()
    for at, text in ((record.key(), None), (key, json.dumps(value, separators=(",", ":")))):
        producer.produce("analytics-results", key=at, value=text, partition=record.partition())
    producer.flush(10)
    found = broken(stack)
    assert "each window = its events" in found and "windows + folded + late = orders" not in found


NOON, HOUR, DAY = 1_764_504_000, 3600, 86400


def windows_found(wanted, found, watermark=NOON, ahead=(), **older):
    """Of partition 3; both as {start: (orders, cents)}."""
    totals = {f"{prefix}_{part}": 0 for prefix in ("late", "folded") for part in invariants.PARTS}
    totals.update(older, partition=3, watermark=watermark * 1000)
    results = invariants.Results.__new__(invariants.Results)
    results.last = {"p:3": json.dumps(totals)}
    for start, (orders, cents) in found.items():
        sums = {"orders": orders, "revenue": cents / 100, "cancelled": 0, "refunded": 0}
        results.last[f"w:{start}:3"] = json.dumps({"start": start, "partition": 3, **sums})
    events = {(start, 3): Counter(orders=orders, revenue=cents) for start, (orders, cents) in wanted.items()}
    return next(invariants.check_windows(results, SimpleNamespace(windows=events, ahead=set(ahead)))).ok


def test_each_window_is_compared():
    two = {NOON: (2, 300), NOON + 60: (1, 50)}
    assert windows_found(two, two)
    assert not windows_found(two, {NOON: (1, 300), NOON + 60: (2, 50)}) and not windows_found(two, {NOON: (3, 350)})
    assert not windows_found({NOON: (2, 300)}, two) and not windows_found(two, two, late_orders=1)


def test_what_is_older_than_a_day_is_one_sum():
    """Whether it was folded or came too late; and it has no window any more."""
    two, later = {NOON: (2, 300), NOON + 60: (1, 50), NOON + DAY: (1, 7)}, {NOON + DAY: (1, 7)}
    watermark = NOON + DAY + HOUR
    older = {"folded_orders": 2, "folded_revenue": 3.00, "late_orders": 1, "late_revenue": 0.50}
    assert windows_found(two, later, watermark, **older)
    assert not windows_found(two, later, watermark, **{**older, "late_revenue": 0.51})
    assert not windows_found(two, two, watermark), "not folded"
    assert not windows_found(two, {NOON + DAY: (2, 7)}, watermark, **{**older, "late_orders": 0})


def test_of_clocks_far_ahead_only_the_sum_is_known():
    moved = {NOON + HOUR: (2, 300)}
    assert windows_found(moved, {NOON: (2, 300)}, ahead={3}) and not windows_found(moved, {NOON: (2, 300)}, ahead={4})
    assert not windows_found(moved, {NOON: (2, 301)}, ahead={3})


def event(order, seq, price="1.50", at="2025-11-30T12:00:30Z", kind="created"):
    return (f'{{"order_id":{order},"user_id":7,"price":{price},"quantity":1,"timestamp":"{at}","type":"order.{kind}",'
            f'"event_id":"{order}","seq":{seq},"currency":"USD"}}').encode()  # fmt: skip


@pytest.fixture
def events_of(monkeypatch):
    def read(*values, sent=NOON + 31):
        common = {"partition": lambda: 3, "timestamp": lambda: (1, sent * 1000)}
        messages = [SimpleNamespace(value=lambda one=one: one, **common) for one in values]
        monkeypatch.setattr(invariants, "read_topic", lambda *_: messages)
        return invariants.Events(None)

    return read


def test_events_are_put_in_their_windows(events_of):
    events = events_of(event(1, 1), event(2, 2, at="2025-11-30T12:01:00Z"), event(1, 1), event(1, 3, kind="cancelled"))
    first, second = Counter(orders=1, revenue=150, cancelled=1, refunded=150), Counter(orders=1, revenue=150)
    assert events.windows == {(NOON, 3): first, (NOON + 60, 3): second} and not events.ahead and events.duplicates == 1
    assert events_of(event(1, 1), sent=NOON - 3000).ahead == {3}


def test_only_repeats_may_come_late(events_of):
    assert not events_of(event(1, 1), event(2, 2), event(1, 1), event(3, 3)).overtaken
    assert events_of(event(2, 2), event(1, 1)).overtaken == ["user 7: 1 after 2"]


@pytest.mark.parametrize("amount", [Decimal("1.005"), "0.001", 1.2345])
def test_nobody_has_a_fraction_of_a_cent(amount, events_of):
    with pytest.raises(ValueError, match="no whole number"):
        invariants.cents(amount)
    assert events_of(event(1, 1, price=amount)).strange
    assert [invariants.cents(one) for one in (None, "7", 0.07, Decimal("1.10"), 1e7)] == [0, 700, 7, 110, 10**9]


def test_all_users_that_are_named_are_asked():
    totals = {user: (1, 100) for user in range(4 * invariants.USERS_ASKED)}
    named = {1, 2, 3, 5_000}
    asked = invariants.users_to_ask(totals, named)
    assert named <= set(asked) and invariants.USERS_ASKED <= len(asked) < 2 * invariants.USERS_ASKED
