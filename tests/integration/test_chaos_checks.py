"""The checks of a chaos run find what they are there for: one damaged story each, and the true one passes."""

import os
import signal
from types import SimpleNamespace

import pytest
from chaos import mails, oracle, plan, rest
from chaos.clients import Attempt, Request
from chaos.faults import DECK
from chaos.shop import INSTANCES, why_ended
from chaos.watcher import AT_ANY_MOMENT, Watcher
from invariants import Database, cents

USER, OTHER = 7, 8


def attempt(status, code="", body=None):
    return Attempt(0, 0.1, status, code, body)


def order_body(order, quantity=2, price=3.5):
    items = [{"product_id": "P", "name": "p", "quantity": quantity, "unit_price": price}]
    return {"order_id": order, "user_id": USER, "total_price": quantity * price, "items": items}


def wish(key, *attempts, user=USER):
    body = {"user_id": user, "items": [{"product_id": "P", "quantity": 2}]}
    return Request("order", user, "/api/orders", body, key, list(attempts))


def story():
    """Three keys: bought after an attempt that was lost, refused, left open; and what the tables say to that."""
    answered = [attempt(201, body=order_body(1)) for _ in range(2)]
    orders = {
        "bought": wish("bought", attempt(0, "ReadTimeout"), *answered),
        "refused": wish("refused", attempt(409, "insufficient_stock"), attempt(409, "insufficient_stock")),
        "open": wish("open", attempt(503, "database_busy")),
    }
    truth = SimpleNamespace(
        orders={1: {"user": USER, "status": "placed", "total": cents("7.00")}},
        lines={1: {"P": (2, cents("3.5"))}},
        keys={(USER, "bought"): (201, 1), (USER, "refused"): (409, None)},
    )
    return truth, orders


def broken(truth, orders):
    orders = list(orders.values())
    findings = [
        *oracle.check_told(truth, orders), *oracle.check_repeats(orders), *oracle.check_keys(truth, orders, {USER}),
        *oracle.check_refused(truth, orders), *oracle.check_cancelled(truth, orders),
    ]  # fmt: skip
    return {one.name for one in findings if not one.ok}


def lost_order(truth, orders):
    del truth.orders[1]


def other_price(truth, orders):
    truth.orders[1]["total"] += 1


def other_quantity(truth, orders):
    truth.lines[1] = {"P": (3, 350)}


def second_order(truth, orders):
    truth.orders[2] = dict(truth.orders[1])


def other_answer(truth, orders):
    orders["bought"].attempts[-1].body["order_id"] = 2


def refused_later(truth, orders):
    orders["bought"].attempts.append(attempt(409, "insufficient_stock"))


def order_of_refused(truth, orders):
    truth.orders[2], truth.keys[USER, "refused"] = dict(truth.orders[1]), (201, 2)


def order_of_wrong(truth, orders):
    orders["open"].attempts = [attempt(422, "total_too_large")]
    truth.orders[2], truth.keys[USER, "open"] = dict(truth.orders[1]), (201, 2)


def order_of_undone(truth, orders):
    truth.orders[2], truth.keys[USER, "open"] = dict(truth.orders[1]), (201, 2)


def cancelled_by_nobody(truth, orders):
    truth.orders[1]["status"] = "cancelled"


def cancellation_lost(truth, orders):
    orders["bought"].cancel = Request("cancel", USER, "", {}, None, [attempt(200, body={})])


DAMAGES = {
    lost_order: "every 201 is an order, as it was told",
    other_price: "every 201 is an order, as it was told",
    other_quantity: "every 201 is an order, as it was told",
    second_order: "one order a key",
    other_answer: "a retried key got the same answer each time",
    refused_later: "a retried key got the same answer each time",
    order_of_refused: "no order under a key that was told insufficient_stock",
    order_of_wrong: "no order under a key that was refused for good",
    order_of_undone: "no order where every answer said that nothing was done",
    cancelled_by_nobody: "cancelled is what was cancelled",
    cancellation_lost: "cancelled is what was cancelled",
}


def test_a_true_story_is_whole():
    assert broken(*story()) == set()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_false_story_is_found(damage):
    truth, orders = story()
    damage(truth, orders)
    assert DAMAGES[damage] in broken(truth, orders)


def test_orders_without_a_key_are_counted():
    truth, orders = story()
    truth.orders = {n: {"user": OTHER, "status": "placed", "total": 700} for n in (1, 2)}
    told = [wish(None, attempt(201, body=order_body(1)), user=OTHER)]
    lost = wish(None, attempt(504, "timeout"), user=OTHER)
    nothing = wish(None, attempt(503, "database_busy"), user=OTHER)
    assert all(one.ok for one in oracle.check_keyless(truth, [*told, lost], OTHER))
    assert not all(one.ok for one in oracle.check_keyless(truth, [*told, nothing], OTHER))
    del truth.orders[1]
    assert not all(one.ok for one in oracle.check_keyless(truth, [*told, lost], OTHER))


def test_missing_second_and_foreign_mails_are_found():
    def found(sent, disturbances=()):
        box = SimpleNamespace(sent=sent, strange=[])
        return {one.name for one in mails.check(box, ["a", "b"], {"a": 1, "b": 1}, disturbances) if not one.ok}

    assert found({"a": [10], "b": [11]}) == set()
    assert found({"a": [10]}) == {"one e-mail an order event"}
    assert found({"a": [10], "b": [11], "c": [12]}) == {"no e-mail without an order"}
    twice = {"a": [100, 160], "b": [11]}
    assert found(twice) == {"a second e-mail only in the documented window"}
    assert found(twice, [(90, 101)]) == set()
    assert found(twice, [(165, 170)]) == found(twice, [(10, 20)]) == {"a second e-mail only in the documented window"}


def test_what_was_left_open_is_found():
    """Descriptors and memory beyond the slack, of a process of our own."""
    shop = SimpleNamespace(mode="debug", entries=lambda: {"me": {"kind": "me", "pid": os.getpid(), "admin": "-"}})
    before = rest.uses(shop)
    base = rest.Baseline.__new__(rest.Baseline)
    base.kinds, base.most, base.slack = {"me": "me"}, {"me": before["me"]}, rest.SLACK
    assert all(one.ok for one in base._of_processes(shop))
    pairs = [os.pipe() for _ in range(rest.SLACK.files)]
    assert not all(one.ok for one in base._of_processes(shop))
    for pair in pairs:
        list(map(os.close, pair))
    assert all(one.ok for one in base._of_processes(shop))
    much = bytearray(b"x") * (int(rest.SLACK.rss_mb * 2) << 20)
    assert not all(one.ok for one in base._of_processes(shop)), len(much)


def test_a_crash_is_no_end_with_a_reason():
    error = '{"level":"error","msg":"the engine is stuck"}'
    assert why_ended(signal.SIGKILL, "") == "" == why_ended(0, "")
    assert why_ended(signal.SIGSEGV, error) == "SIGSEGV"
    assert why_ended(signal.SIGABRT, "Assertion failed") == "SIGABRT"
    assert why_ended(signal.SIGABRT, error) == ""
    assert why_ended(1 << 8, "") == "exit status 1" and why_ended(1 << 8, error) == ""
    assert why_ended(143 << 8, "") == ""
    assert why_ended(99 << 8, error) == "exit status 99"


def test_consecutive_seeds_deal_out_every_fault():
    seeds = range(100, 160)
    faults = [fault for seed in seeds for fault in plan.make(seed, 30, INSTANCES, DECK)]
    met = {(fault.detail["step"], fault.detail["action"]) for fault in faults if fault.kind == "failpoint"}
    assert met == {(step, action) for _, step, action in plan.deck_of_failpoints()}
    assert {one.rpartition(" ")[2] for one in DECK} <= {fault.kind for fault in faults}
    assert plan.make(7, 30, INSTANCES, DECK) == plan.make(7, 30, INSTANCES, DECK) != plan.make(8, 30, INSTANCES, DECK)


def test_every_failpoint_of_the_programs_is_in_the_deck():
    import re

    from shop_stack import ROOT

    there = set()
    for program in plan.FAILPOINTS:
        for source in (ROOT / program).glob("*.c"):
            there |= set(re.findall(r'FAILPOINT\("(\w+)"\)', source.read_text()))
    assert there == {step for steps in plan.FAILPOINTS.values() for step in steps}


def test_damage_at_any_moment_is_seen(stack):
    user, _ = stack.new_user()
    product = stack.new_product(stock=10)
    order = stack.order(user, product, 2, key="one").json()["order_id"]
    crowd = SimpleNamespace(hot=[product], plenty=[], all_users=lambda: [user])
    reservation = stack.sql("order-svc", "SELECT reservation_id FROM orders WHERE id = %s", order)[0][0]
    damages = {
        "stock adds up at any moment": ("product-svc", f"UPDATE products SET stock = stock %s WHERE id = '{product}'",
                                        "+ 1", "- 1"),
        "what is ordered is held at any moment": (
            "order-svc", f"UPDATE orders SET reservation_id = %s WHERE id = {order}", f"'{'0' * 32}'", f"'{reservation}'"),
        "one outcome a reservation at any moment": (
            "order-svc", f"UPDATE outcomes SET outcome = %s WHERE reservation_id = '{reservation}'", "'aborted'",
            "'committed'"),
    }  # fmt: skip
    assert set(damages) == set(AT_ANY_MOMENT)
    db = Database(stack.json)
    try:
        for name, (service, text, damage, repair) in damages.items():
            watcher = Watcher(stack.json, crowd)
            watcher.look(db)
            assert watcher.seen == []
            stack.sql(service, text % damage, write=True)
            watcher.look(db)
            stack.sql(service, text % repair, write=True)
            assert name in {seen[1] for seen in watcher.seen}
    finally:
        db.close()
