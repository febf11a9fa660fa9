"""The checker of the invariants finds what is broken: each way of damaging a shop at rest is named."""

import json
import sys

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
