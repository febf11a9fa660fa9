"""What clients saw is compared with what is stored: one damaged story each is found, and the true one passes."""

import re
from types import SimpleNamespace

import pytest
from chaos import oracle
from chaos.clients import Request
from chaos.plan import step
from chaos.sitting import ANSWER_500, made_to_fail
from chaos_stories import USER, attempt, order_body, wish
from invariants import cents
from shop_stack import ROOT

OTHER = 8  # than USER


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


def refused_oddly(truth, orders):
    orders["open"].attempts = [attempt(422, "total_too_large")]


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
    refused_oddly: "nothing was refused but for short stock",
}


def test_a_true_story_is_whole():
    assert broken(*story()) == set()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_false_story_is_found(damage):
    truth, orders = story()
    damage(truth, orders)
    assert DAMAGES[damage] in broken(truth, orders)


@pytest.mark.parametrize(("status", "code"), [(201, ""), (409, "insufficient_stock")])
def test_a_repeated_answer_says_that_it_is_one(status, code):
    def whole(at, replayed, first=None):
        again = attempt(status, code, order_body(1))
        again.at, again.replayed = at, replayed
        one = wish("key", first or attempt(status, code, order_body(1)), again)
        return [found.ok for found in oracle.check_replays([one])] == [True]

    assert whole(1, True) and not whole(1, False)
    assert whole(0.05, False), "a twin, sent before the first answer came"
    assert whole(1, False, attempt(0, "ReadTimeout")), "nobody has heard the first answer"


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


def test_changes_of_stock_are_compared():
    def found(*attempts, rows=(), first=("", "P", 20)):
        request = Request("stock", 0, "/api/products/P/stock", {"delta": 3}, "key", list(attempts))
        db = SimpleNamespace(rows=lambda _: [*([first] if first else []), *rows])
        return [one.ok for one in oracle.check_stock(db, [request], {"P": 20})] != [True]

    done, lost, busy = attempt(200, body={}), attempt(504, "timeout"), attempt(503, "database_busy")
    right, other = ("key", "P", 3), ("key", "Q", 3)
    assert not found(lost, done, rows=[right]) and not found(lost, rows=[right]) and not found(lost) and not found(busy)
    assert found(done), "answered, and not there"
    assert found(done, rows=[("key", "P", 4)]) and found(done, rows=[other])
    assert found(lost, rows=[("key", "P", 4)]), "there, and not as it was wished"
    assert found(busy, rows=[right]), "refused, and there"
    assert found(done, rows=[right, other]) and found(done, rows=[other, right]), "there twice, for two products"
    assert found(done, rows=[right, ("unknown", "P", 1)]), "under a key that nobody sent"
    assert found(done, rows=[right], first=None) and found(done, rows=[right], first=("", "P", 21)), "not what it began with"


def test_open_requests_and_an_empty_shelf_are_found():
    def ok(findings):
        return all(one.ok for one in findings)

    assert ok(oracle.check_open([])) and ok(oracle.check_shelf(SimpleNamespace(negative=[], looks=1)))
    assert not ok(oracle.check_open([wish("open", attempt(503, "database_busy"))]))
    assert not ok(oracle.check_open([wish("never sent")]))
    assert not ok(oracle.check_shelf(SimpleNamespace(negative=[("P", -1)], looks=1)))


def test_a_500_is_found():
    def found(*attempts, others=()):
        return [one.ok for one in oracle.check_internal([wish("key", *attempts)], others)] != [True]

    assert not found(attempt(503, "database_busy"), attempt(0, "ReadTimeout"), attempt(201, body=order_body(1)))
    assert found(attempt(500, "internal"), attempt(201, body=order_body(1)))
    assert found(attempt(500, "")) and found(attempt(502, "internal"))
    assert found(others=["500 internal of product P"])


def test_a_500_that_a_failpoint_makes_is_none():
    """Of the request that meets it, and of no other."""
    def whole(since, until, path="/api/orders"):
        request = Request("any", USER, path, {}, "key", [attempt(500, "internal")])
        oracle.excuse([request], [(since, until)])
        return [one.ok for one in oracle.check_internal([request])] == [True]

    assert whole(-1, 1)
    assert not whole(5, 6) and not whole(-1, 1, "/api/orders/1/cancel") and not whole(-1, 1, "/api/products/P/stock")
    steps = [
        ("order-svc.1", "order_before_commit", "error"), ("order-svc.2", "order_before_commit", "kill"),
        ("order-svc.3", "relay_produced", "error"), ("product-svc.1", "product_reserved", "error"),
    ]  # fmt: skip
    players = [SimpleNamespace(fault=step(0, *one), times=lambda: (1, 2)) for one in steps]
    assert made_to_fail(players) == [(1, 3)]


def test_a_500_says_nothing_only_while_a_failpoint_makes_it():
    """An order that exists all the same is found."""
    truth, orders = story()
    orders["open"].attempts = [attempt(500, "internal")]
    truth.orders[2], truth.keys[USER, "open"] = dict(truth.orders[1]), (201, 2)
    undone = "no order where every answer said that nothing was done"
    assert undone in broken(truth, orders)
    oracle.excuse(orders.values(), [(-1, 1)])
    assert undone not in broken(truth, orders)


def test_only_steps_before_an_order_is_recorded_answer_500():
    """Both stand in the source as an internal error of placing an order."""
    source = "".join(path.read_text() for path in (ROOT / "order-svc").glob("*.c"))
    assert set(re.findall(r'ERR_INTERNAL, "failpoint (order_\w+)"', source)) == ANSWER_500


def test_what_the_documentation_calls_undone_is_undone():
    row = next(line for line in (ROOT / "docs" / "API.md").read_text().splitlines() if "nothing was done" in line)
    codes = re.findall(r"`(\w+)`", row.split("|")[2])
    assert len(codes) > 3 and all(attempt(503, code).kind == "nothing" for code in codes)
