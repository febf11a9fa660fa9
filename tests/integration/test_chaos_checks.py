"""The checks of a chaos run find what they are there for: one damaged story each, and the true one passes."""

import contextlib
import csv
import http.server
import importlib.machinery
import importlib.util
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pymysql
import pytest
import requests
from chaos import faults, mails, oracle, plan, report, rest
from chaos.clients import Attempt, Buyer, Crowd, Reader, Request, Sender
from chaos.faults import DECK
from chaos.holders import Holders
from chaos.net import Line, Net
from chaos.shop import INSTANCES, Shop, Watchman, layout_of, look_at, remove_earlier, why_ended
from chaos.plan import step
from chaos.sitting import ANSWER_500, Run, Sitting, made_to_fail
from chaos.watcher import AT_ANY_MOMENT, Watcher
from invariants import Database, cents, database
from shop_stack import ROOT, until
from shopstack import proc
from shopstack.store import Store, locked
from shopstack.ui import StackError

USER, OTHER = 7, 8
SETUP = report.Setup("debug", 1, "3", INSTANCES, [])


def load_tool(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


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


class Answers(http.server.BaseHTTPRequestHandler):
    """Whatever is asked for, the server's `text` under its `status`."""

    def answer(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.text)))
        self.end_headers()
        self.wfile.write(self.server.text)

    do_GET = answer  # noqa: N815

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def log_message(self, *_):
        pass


@pytest.fixture
def answers():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        server.bases = [f"http://127.0.0.1:{server.server_port}"]
        yield server
        server.shutdown()


@pytest.mark.parametrize("text", [b"[]", b'"order"', b"null", b'{"order_id": 1'])
def test_an_answer_that_is_no_object_is_an_attempt(text, answers):
    """One that says nothing: the order may be there."""
    answers.status, answers.text = 201, text
    order = wish("key")
    one = Sender(answers.bases).send(order, 5)
    assert order.attempts == [one] and (one.status, one.kind, order.order_id) == (201, "maybe", None)


def test_who_gets_no_answer_asks_the_next_gateway(answers):
    answers.status, answers.text = 503, b"{}"
    sender = Sender(["http://127.0.0.1:1", *answers.bases])
    assert [sender.send(wish("key"), 5).status for _ in range(3)] == [0, 503, 503]


def test_a_reader_tells_a_500(answers):
    answers.status, answers.text = 500, b'{"code": "internal"}'
    reader = Reader(SimpleNamespace(bases=answers.bases, hot=["P"], stopping=threading.Event()))
    reader.start()
    until(lambda: reader.broken)
    reader.crowd.stopping.set()
    reader.join(10)
    assert not reader.errors and reader.looks == 0


def observers(orders=10, looks=10, seen=10):
    answered = [wish(f"key {n}", attempt(201, body=order_body(n))) for n in range(orders)]
    reader = SimpleNamespace(looks=looks, errors=[])
    crowd = SimpleNamespace(requests=answered, clients=[SimpleNamespace(errors=[])], reader=reader)
    return crowd, SimpleNamespace(looks=seen, errors=[])


def names_broken(findings):
    return {one.name for one in findings if not one.ok}


def test_who_saw_nothing_found_nothing():
    assert names_broken(oracle.check_seen(*observers(), 30)) == set()
    for few in ({"orders": 0}, {"looks": 0}, {"seen": 0}):
        assert names_broken(oracle.check_seen(*observers(**few), 30)) == {"enough was seen"}


def breaks_down(*_, **__):
    raise KeyError("stock")


def test_an_observer_that_breaks_down_is_found(monkeypatch):
    """Each of them, and the twin of a client's request."""
    stopping = threading.Event()
    crowd = SimpleNamespace(
        seed=1, bases=[""], stopping=stopping, pause_s=0, deadline=0, hot=["P"], plenty=["P"], all_users=lambda: [USER],
        admin_token="", users=[USER], hot_users=[USER],
    )  # fmt: skip
    monkeypatch.setattr("chaos.watcher.Database", breaks_down)
    buyer, reader, watcher = Buyer(crowd, 0), Reader(crowd), Watcher(None, crowd)
    buyer.wish = breaks_down
    monkeypatch.setattr("chaos.clients.requests.Session", lambda: SimpleNamespace(get=breaks_down, close=lambda: None))
    for thread in (buyer, reader, watcher):
        thread.start()
        thread.join(10)
    told = SimpleNamespace(requests=[], clients=[buyer], reader=reader)
    found = {one.name: one for one in oracle.check_seen(told, watcher, 30)}["no observer broke down"]
    assert not found.ok and all(f"{kind}: KeyError" in found.detail for kind in ("Buyer", "Reader", "Watcher"))
    twin = Buyer(crowd, 1)
    monkeypatch.setattr("chaos.clients.Sender", lambda _: SimpleNamespace(send=breaks_down, http=reader))
    monkeypatch.setattr(reader, "close", lambda: None, raising=False)
    twin.sender = SimpleNamespace(send=lambda *_: None)
    twin.twins(wish("key"), 1)
    assert twin.errors


@pytest.fixture
def bare_sitting(tmp_path, monkeypatch):
    """Without a stack: its crowd cannot be made."""
    monkeypatch.setattr("chaos.sitting.Crowd", breaks_down)
    sitting = Sitting.__new__(Sitting)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mysql.log").write_text("why")
    stack = SimpleNamespace(dir=tmp_path)
    shop = SimpleNamespace(events=[(0, "seen")], begin_run=lambda _: None)
    sitting.shop, sitting.stack, sitting.setup = shop, stack, SETUP
    sitting.reports, sitting.runs, sitting.waiting = tmp_path / "reports", [], []
    return sitting


def test_a_run_that_raises_is_told(bare_sitting):
    run = bare_sitting.run(7, 30, [])
    assert names_broken(run.findings) == {"the run came to its end"} and not run.ended
    assert "KeyError" in (bare_sitting.reports / "chaos-7.md").read_text()
    assert (bare_sitting.reports / "chaos-7-log" / "mysql.log").read_text() == "why"
    report.enter(bare_sitting.reports, bare_sitting.runs, SETUP)
    assert "the run came to its end" in (bare_sitting.reports / "chaos-runs.csv").read_text()


def test_a_run_that_raises_tells_what_was_seen_before(bare_sitting, monkeypatch):
    """A crash, and damage, and a fault that was not made."""
    crowd, watcher = observers()
    watcher.seen, watcher.done = [(0, next(iter(AT_ANY_MOMENT)), ["row"])], threading.Event()
    crowd.stopping = threading.Event()

    def play(run, *_):
        run.crowd, run.watcher = crowd, watcher
        run.watchman = SimpleNamespace(errors=[], crashes=["order-svc.1: SIGSEGV"])
        run.players = [faults.Player(None, plan.Fault(0, "kill", "x", 0), 0, 0)]
        run.players[0].start()  # without a shop that fails
        raise AssertionError("not ready in time")

    bare_sitting.play, bare_sitting.count = play, lambda _: {}
    monkeypatch.setattr(crowd, "requests", [SimpleNamespace(what="order", order_id=1)] * 10)
    found = names_broken(bare_sitting.run(7, 30, []).findings)
    assert found == {
        "the run came to its end", "nobody crashes", next(iter(AT_ANY_MOMENT)), "every fault was made and healed",
    }  # fmt: skip
    assert crowd.stopping.is_set() and watcher.done.is_set(), "nobody goes on"


def test_a_run_that_is_ended_from_outside_is_told(bare_sitting, monkeypatch):
    def ended(*_, **__):
        sys.exit(1)

    monkeypatch.setattr("chaos.sitting.Crowd", ended)
    with pytest.raises(SystemExit):
        bare_sitting.run(7, 30, [])
    assert bare_sitting.runs[0].broken and (bare_sitting.reports / "chaos-7.md").exists()


def test_mails_that_cannot_be_looked_at_are_told(bare_sitting):
    for patient in (True, False):
        run = Run(7, 30, [])
        bare_sitting.waiting, bare_sitting.check_mails = [run], breaks_down
        bare_sitting.finish(patient)
        assert names_broken(run.findings) == {"its mails were looked at"} and not bare_sitting.waiting


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x")])
def test_runs_before_one_that_raises_are_entered(error, tmp_path, monkeypatch):
    """By tools/run-chaos, whatever ends the sitting."""
    tool = load_tool("run-chaos")
    run = Run(1, 30, [])
    done = []

    def second(seed, _):
        if seed > 1:
            raise error
        sitting.runs.append(run)
        return run

    sitting = SimpleNamespace(run=second, runs=[], finish=done.append, setup=SETUP)
    monkeypatch.setattr(tool, "started", lambda *_: contextlib.nullcontext(sitting))
    args = SimpleNamespace(seed=1, runs=3, minutes=1, seconds=30, brokers=1, kafka=None, reports=tmp_path)
    with pytest.raises(type(error)):
        list(tool.sittings(args, tmp_path))
    assert done == [False] and len((tmp_path / "chaos-runs.csv").read_text().splitlines()) == 2


@pytest.fixture
def run_chaos(tmp_path, monkeypatch):
    """tools/run-chaos with runs that take a minute and stacks that take an hour to start; gives (exit code, its seeds)."""
    tool, clock, seeds, stacks = load_tool("run-chaos"), [0], [], []

    def play(seed, _):
        clock[0] += 60
        seeds.append(seed)
        sitting.runs.append(Run(seed, 30, []))
        return sitting.runs[-1]

    def started(make, folder, args, seed):
        clock[0] += 3600
        sitting.runs = []
        stacks.append(seed)
        return contextlib.nullcontext(sitting)

    def call(*options):
        monkeypatch.setattr(sys, "argv", ["run-chaos", "--seed=1", f"--reports={tmp_path}", *options])
        seeds.clear()
        with pytest.raises(SystemExit) as ended:
            tool.main()
        return ended.value.code, seeds[:]

    sitting = SimpleNamespace(run=play, runs=[], finish=lambda _: None, setup=SETUP)
    monkeypatch.setattr(tool, "started", started)
    monkeypatch.setattr(tool, "time", SimpleNamespace(monotonic=lambda: clock[0], time=time.time))
    monkeypatch.setattr("chaos.private.enter", lambda _: False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in ("RUNS", "MINUTES"):
        monkeypatch.delenv(name, raising=False)
    call.tool, call.stacks = tool, stacks
    return call


def test_minutes_count_from_the_first_run(run_chaos):
    """A stack that takes longer to start than all runs together takes none of their time."""
    assert run_chaos("--minutes=2.5") == (0, [1, 2, 3])


def test_the_first_limit_counts(run_chaos):
    assert run_chaos("--runs=2", "--minutes=60") == run_chaos("--runs=2") == (0, [1, 2])
    assert run_chaos("--runs=9", "--minutes=1.5") == (0, [1, 2])
    assert run_chaos("--seed=10")[1] == list(range(10, 20)), "ten minutes"


def test_a_seed_that_is_on_another_stack_gets_a_new_one(run_chaos):
    assert run_chaos("--seed=17", "--runs=15")[1] == list(range(17, 32)) and run_chaos.stacks == [17, 20, 30]


def test_no_run_is_no_success(run_chaos, monkeypatch):
    monkeypatch.setattr(run_chaos.tool, "sittings", lambda *_: iter(()))
    assert run_chaos() == (1, [])


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("x")])
def test_a_stack_that_is_ended_while_it_starts_is_taken_down(error, tmp_path):
    tool = load_tool("run-chaos")
    closed = []

    def start():
        raise error

    def make(*_, **__):
        sitting = Sitting.__new__(Sitting)
        sitting.start, sitting.close = start, lambda: closed.append(True)
        return sitting

    args = SimpleNamespace(mode="debug", reports=tmp_path, brokers=1, kafka=None)
    with pytest.raises(type(error)), tool.started(make, tmp_path, args, 1):
        pass
    assert closed == [True]


def test_what_the_documentation_calls_undone_is_undone():
    row = next(line for line in (ROOT / "docs" / "API.md").read_text().splitlines() if "nothing was done" in line)
    codes = re.findall(r"`(\w+)`", row.split("|")[2])
    assert len(codes) > 3 and all(attempt(503, code).kind == "nothing" for code in codes)


def test_missing_second_and_foreign_mails_are_found():
    def found(sent, spans=()):
        disturbances = [mails.Disturbance(since, until, 1) for since, until in spans]
        box = SimpleNamespace(sent=sent, strange=[])
        return {one.name for one in mails.check(box, ["a", "b"], {"a": 1, "b": 1}, disturbances) if not one.ok}

    assert found({"a": [10], "b": [11]}) == set()
    assert found({"a": [10]}) == {"one e-mail an order event"}
    assert found({"a": [10], "b": [11], "c": [12]}) == {"no e-mail without an order"}
    twice = {"a": [100, 160], "b": [11]}
    assert found(twice) == {"a second e-mail only in the documented window"}
    assert found(twice, [(90, 101)]) == set()
    assert found(twice, [(165, 170)]) == found(twice, [(10, 20)]) == {"a second e-mail only in the documented window"}


def test_a_fault_excuses_no_more_mails_than_were_under_way():
    twice = {f"e{n}": [100, 110 + n] for n in range(mails.SLOTS + 1)}
    one = [mails.Disturbance(95, 105, mails.SLOTS)]
    assert len(mails.unexplained(twice, one)) == 1
    assert mails.unexplained(twice, [*one, mails.Disturbance(90, 101, 1)]) == []
    assert mails.unexplained({"thrice": [100, 110, 120]}, [mails.Disturbance(95, 125, 1)]) == ["thrice"]
    assert mails.unexplained({"late": [100, 300]}, one) == ["late"], "long after every lease"


def test_what_a_fault_can_send_again():
    def most(kind, target, strikes, seconds=3):
        return mails.most_again(plan.Fault(0, kind, target, seconds), strikes, seconds, 2)

    assert most("kill", "notify-svc.1", 1) == mails.SLOTS and most("kill", "notify-svc.1", 0) == 0
    assert most("lose", "net-mail", 5) == 5 and most("lose", "net-mail", 0) == 0
    assert most("kill", "mysql", 1) == 2 * mails.SLOTS < most("vanish", "net-mysql", 9, 12)
    source, head = ((ROOT / "notify-svc" / name).read_text() for name in ("sender.c", "smtp.h"))
    threads = int(re.search(r"#define SMTP_THREADS (\d+)", head)[1])
    assert int(re.search(r"#define SLOTS +\((\d) \* SMTP_THREADS\)", source)[1]) * threads == mails.SLOTS


@pytest.mark.parametrize("target", ["user-svc.1", "gateway", "order-svc.1", "kafka", "net-kafka"])
def test_who_sends_no_mail_excuses_none(target):
    assert not mails.disturbs(plan.Fault(0, "kill", target, 0))


def test_faults_excuse_mails_of_their_run_and_lease_only():
    def player(target, since):
        one = faults.Player(faults.Context(None, None, 1, 0), plan.Fault(0, "kill", target, 0), 0, 0)
        one.since, one.until = since, since + 1
        one.ctx.did()
        return one

    now = time.time()
    sitting = Sitting.__new__(Sitting)
    sitting.instances = INSTANCES
    old, last, this = (Run(n, 30, [], began=now - ago) for n, ago in enumerate((400, 100, 30)))
    sitting.runs = [old, last, this]
    for run in sitting.runs:
        run.players = [player("mail", run.began + 10), player("user-svc.1", run.began)]
        sitting.note_disturbances(run)
        assert [one.since for one in run.disturbances] == [run.began + 10] and not run.mails_early
    assert sitting.disturbances(this) == last.disturbances + this.disturbances
    calm = Run(3, 30, [], renewed=["notify-svc.2"], healed=now)
    sitting.note_disturbances(calm)
    assert [one.most for one in calm.disturbances] == [mails.SLOTS], "a kill at the end counts, too"


def test_a_mail_on_its_way_is_waited_for():
    """Not for ever, and for longer if its sender may be dead."""
    rows, now = [], time.time()
    sitting = Sitting.__new__(Sitting)
    sitting.mailbox = SimpleNamespace(sent={}, strange=[], look=lambda: None)
    sitting.write, sitting.runs = lambda _: None, []
    sitting.unsent = lambda: rows

    def checked(mails_at, early):
        run = SimpleNamespace(mails_at=mails_at, mails_early=early, users=(), findings=[])
        sitting.waiting = [run]
        sitting.check_mails(SimpleNamespace(ids={}))
        return bool(run.findings)

    assert checked(now + 60, True) and not checked(now + 60, False)
    rows.append("a mail")
    assert not checked(now + 60, True) and checked(now - 1, True) and checked(now - 1, False)


@pytest.mark.parametrize("state", ["pending", "sending"])
def test_a_mail_that_waits_behind_another_one_is_on_its_way(stack, state):
    """Between two mails of a user none of his is being sent."""
    with database(stack.json) as db:
        until(lambda: mails.unsent(db) == 0)
        stack.sql("notify-svc", "INSERT INTO notifications (user_id, event_id, channel, type, subject, body, state,"
                  " next_try_at, created_at) VALUES (987654, 'later', 'email', 'x', 'x', 'x',"
                  f" '{state}', NOW(3) + INTERVAL 1 HOUR, NOW(3))", write=True)  # fmt: skip
        assert mails.unsent(db) == 1
        stack.sql("notify-svc", "DELETE FROM notifications WHERE user_id = 987654", write=True)
        assert mails.unsent(db) == 0


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


def test_sessions_that_were_left_open_are_found(stack):
    base = rest.Baseline.__new__(rest.Baseline)
    base.sessions, shop = rest.sessions(stack), SimpleNamespace(stack=stack)
    assert all(one.ok for one in base._of_database(shop))
    # Twice as many: those of the pool may end meanwhile.
    sessions = [stack.db("order-svc", write=True) for _ in range(rest.SESSIONS_SLACK * 2)]
    assert not all(one.ok for one in base._of_database(shop))
    for one in sessions:
        one.close()


def test_a_client_that_hangs_is_found():
    """Alive after its time, by a crowd whose time is over at once."""
    end = threading.Event()
    client = threading.Thread(target=end.wait, daemon=True)
    crowd = Crowd.__new__(Crowd)
    crowd.clients, crowd.reader, crowd.stopping = [client], threading.Thread(target=end.wait), threading.Event()
    crowd.start()
    sitting = Sitting.__new__(Sitting)
    sitting.shop = SimpleNamespace(heal=lambda: None)
    impatient = SimpleNamespace(finish=lambda _: Crowd.finish(crowd, -12))
    hanging, done = (SimpleNamespace(findings=[], times={}) for _ in range(2))
    sitting.heal(hanging, impatient)
    end.set()
    sitting.heal(done, crowd)
    assert [(one.name, one.ok) for one in hanging.findings + done.findings] == [
        ("no client hangs", False), ("no client hangs", True),
    ]  # fmt: skip


def test_what_is_still_on_its_way_is_found(stack):
    user, _ = stack.new_user()
    order = stack.order(user, stack.new_product(stock=10), 1).json()["order_id"]
    assert rest.check(stack.json, 30)[1].ok
    change = f"UPDATE reservations SET state = %s WHERE order_id = {order}"
    stack.sql("product-svc", change % "'pending'", write=True)
    took, found = rest.check(stack.json, 0.5)
    stack.sql("product-svc", change % "'confirmed'", write=True)
    assert not found.ok and "'reservations': 1" in found.detail and took > 0.5
    assert rest.check(stack.json, 30)[1].ok


def test_who_gives_up_waiting_tells_all_that_is_open(monkeypatch):
    """An open transaction may be why results are late."""
    simple = {"admin_token": "", "lags": {"analytics": 3}, "mails_waiting": 0, "group_lag": 2, "undecided": 1}
    for name, value in simple.items():
        monkeypatch.setattr(rest, name, lambda *_, value=value: dict(value) if isinstance(value, dict) else value)
    monkeypatch.setattr(rest, "database", lambda _: contextlib.nullcontext())
    assert {"analytics", "open transactions", "group processor"} <= set(rest.wait(None, 0.1)[1])


def test_a_crash_is_no_end_with_a_reason():
    error = '{"level":"error","msg":"the engine is stuck"}'
    assert why_ended(signal.SIGKILL, "") == "" == why_ended(0, "")
    assert why_ended(signal.SIGSEGV, error) == "SIGSEGV"
    assert why_ended(signal.SIGABRT, "Assertion failed") == "SIGABRT"
    assert why_ended(signal.SIGABRT, error) == ""
    assert why_ended(signal.SIGABRT, f"{error}\nAssertion failed\n") == "SIGABRT", "only the last words count"
    assert why_ended(1 << 8, "") == "exit status 1" and why_ended(1 << 8, error) == ""
    assert why_ended(1 << 8, f'{error}\n{{"level":"info"}}\n') == "exit status 1"
    assert why_ended(1 << 8, f'{error}\n{{"level":"info","msg":"stopped","status":1}}\n') == ""
    assert why_ended(99 << 8, f'{error}\n{{"level":"info","msg":"stopped","status":1}}\n') == "exit status 99"
    assert why_ended(143 << 8, "") == ""
    assert why_ended(99 << 8, error) == "exit status 99"


def test_a_crash_while_it_is_stopped_is_seen(tmp_path):
    """By the watchman: who stops it must not bury it."""
    program = ["/bin/sh", "-c", "trap 'kill -ABRT $$' TERM; while :; do sleep 0.02; done"]
    entry = {"kind": "one", **proc.spawn(program, {}, tmp_path / "log", tmp_path)}
    shop = Shop.__new__(Shop)
    shop.entries, shop.away, shop.events = lambda: {"one": entry}, {"one"}, []
    shop.stack = SimpleNamespace(log=lambda _: "")
    with Watchman(shop, lambda: 0, lambda: 0) as watchman:
        time.sleep(0.2)  # until the trap is set
        shop.stop("one")
        until(lambda: watchman.crashes)
    assert watchman.crashes == ["one: SIGABRT"] and not watchman.errors


def stack_of_one(folder, program, **env):
    """A shop of one process of ours, which no watchman looks after."""
    shop = Shop.__new__(Shop)
    shop.stack, shop.failpoints, shop.away, shop.events = SimpleNamespace(dir=folder), {}, Holders(), []
    shop.seed, shop.starts = 7, Counter()
    with locked(layout_of(shop.stack)) as store:
        store.start("one", argv=["/bin/sh", "-c", program], env=env, cwd=str(folder), kind="one")
    return shop


@pytest.fixture
def sleeper(tmp_path):
    shop = stack_of_one(tmp_path, "exec sleep 60")
    yield shop
    proc.kill(shop.entries()["one"])


def alive(shop):
    """The one that is known; SIGKILL takes a moment."""
    return proc.alive(shop.entries()["one"])


def test_a_failpoint_that_comes_or_goes_during_a_start_is_not_missed(sleeper, monkeypatch):
    """The watchman has read the words of before and has not started the process yet: it must be ended again."""
    shop, reading, start = sleeper, threading.Event(), Store.again

    def slowly(store, name):
        reading.set()
        time.sleep(0.3)
        return start(store, name)

    monkeypatch.setattr(Store, "again", slowly)
    for change, right in ((shop.add_failpoint, ["one"]), (shop.drop_failpoint, [])):
        proc.kill(shop.entries()["one"])
        reading.clear()
        watchman = threading.Thread(target=shop.begin, args=("one",))
        watchman.start()
        reading.wait(10)
        change("one", "step:1:kill", signal.SIGKILL)
        watchman.join(10)
        if not alive(shop):
            shop.begin("one")
        assert shop.with_failpoints() == right


def test_failpoints_strike_by_the_seed_of_the_run(sleeper):
    """At each start by another one, and without failpoints by none."""
    def seeds(seed):
        sleeper.begin_run(seed)
        found = []
        for words in (["step:1:kill"], ["step:1:kill"], []):
            sleeper.failpoints["one"] = words
            proc.kill(sleeper.entries()["one"])
            until(lambda: not alive(sleeper))
            sleeper.begin("one")
            found.append(sleeper.entries()["one"]["env"].get("FAILPOINTS_SEED"))
        return found

    first = seeds(7)
    assert first == seeds(7) and first[0] != first[1] and first[2] is None and not set(first[:2]) & set(seeds(8))


def test_a_failpoint_that_is_left_is_seen(tmp_path):
    for words, found in (("step:1:kill", ["one"]), ("", [])):
        shop = stack_of_one(tmp_path, "exec sleep 60", FAILPOINTS=words)
        try:
            assert shop.with_failpoints() == found
        finally:
            proc.kill(shop.entries()["one"])


def test_a_failpoint_is_seen_while_a_process_goes_over_to_another_program(tmp_path):
    """The kernel tells no environment for a moment."""
    script = tmp_path / "again"
    script.write_text('#!/bin/sh\nexec "$0"\n')
    script.chmod(0o755)
    shop = stack_of_one(tmp_path, f"exec {script}", FAILPOINTS="step:1:kill")
    try:
        assert all(shop.with_failpoints() == ["one"] for _ in range(1000))
    finally:
        proc.kill(shop.entries()["one"])


@pytest.mark.parametrize("words", ["step:1:kill", ""])
def test_only_who_has_a_failpoint_is_renewed_at_the_end(words, tmp_path):
    """A young process would hide from the look at memory and descriptors what an old one holds."""
    shop = stack_of_one(tmp_path, "exec sleep 60", FAILPOINTS=words)
    shop.failpoints = {"one": [words] if words else []}
    shop.stack.refresh, shop.ready = lambda: None, lambda: []
    try:
        assert shop.heal() == (["one"] if words else [])
        until(lambda: alive(shop) == (not words))
    finally:
        proc.kill(shop.entries()["one"])


def state_of(shop):
    return look_at(shop.entries()["one"]["pid"])[0]


def test_faults_on_one_target_do_not_end_each_other(sleeper):
    """Two sleeps, and a failpoint that comes during a sleep."""
    shop, fault = sleeper, plan.Fault(0, "sleep", "one", 1)
    heals = [faults.sleep(faults.Context(shop, None, 1, n), fault) for n in range(2)]
    until(lambda: state_of(shop) == "T")
    heals[0]()
    shop.add_failpoint("one", "step:1:kill", signal.SIGKILL)
    time.sleep(0.1)  # a signal that was sent has arrived by then
    assert state_of(shop) == "T" and "one" in shop.away
    heals[1]()
    until(lambda: not alive(shop), what="that it ends when it wakes up")
    assert "one" not in shop.away


def test_faults_on_one_line_do_not_end_each_other():
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line("mysql", 0, server.getsockname()[1])
        try:
            line.freeze()
            line.freeze()
            line.refuse()
            line.accept()
            line.thaw()
            assert not line.flowing.is_set(), "one holds it still"
            line.thaw()
            assert line.flowing.is_set()
            line.pace(delay_s=0.4)
            line.pace(bytes_per_s=5000)
            line.unpace(bytes_per_s=5000)
            assert (line.delay_s, line.bytes_per_s) == (0.4, 0)
            line.unpace(delay_s=0.4)
            assert (line.delay_s, line.bytes_per_s) == (0, 0)
        finally:
            line.close()


def test_what_a_proxy_did_wrong_is_told_once():
    """A look at a run takes them all; nobody closes the proxies one by one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = Line("mysql", 0, server.getsockname()[1])
        line.errors.append(KeyError("api"))
        net = Net.__new__(Net)
        net.lines = {"mysql": line}
        assert net.trouble() == ["mysql: KeyError('api')"] and net.trouble() == []
        line.close()


def test_choices_are_those_of_the_fault():
    """Whatever other faults do meanwhile; and the page tells them."""
    def chosen(index, disturb):
        mine, other = (faults.Context(None, None, 7, n) for n in (index, index + 1))
        for _ in range(disturb):
            other.random.random()
        values = [mine.random.uniform(0, 1), mine.random.choice("abcdef"), mine.random.randint(1, 9), mine.end_signal()]
        return values, mine.random.chosen

    values, kept = chosen(3, 0)
    assert values == kept == chosen(3, 5)[0] != chosen(4, 0)[0]
    player = faults.Player(faults.Context(None, None, 7, 3), plan.Fault(0, "kill", "x", 0), 0, 0)
    player.ctx.end_signal()
    run = Run(7, 30, [], players=[player])
    assert player.chosen() in ("SIGKILL", "SIGTERM") and player.chosen() in "".join(report.time_line(run))


def test_a_fault_without_effect_is_told(tmp_path, sleeper):
    def played(kind, target):
        player = faults.Player(faults.Context(sleeper, None, 1, 0), plan.Fault(0, kind, target, 0), 0, 0)
        player.run()
        assert not player.errors
        return player

    players = [played("kill", "one"), played("kill", "one")]
    assert [player.effect for player in players] == [1, 0], "the second one met a dead process"
    run = Run(1, 30, [player.fault for player in players], players=players)
    report.enter(tmp_path, [run], SETUP)
    head, row = (line.split(",") for line in (tmp_path / "chaos-runs.csv").read_text().splitlines())
    assert row[head.index("without effect")] == "1"
    assert sum("without effect" in line for line in report.time_line(run)) == 1


def test_strikes_of_a_failpoint_are_counted(tmp_path):
    def line(step, action):
        return f'{{"level":"warn","msg":"failpoint","name":"{step}","action":{action}}}\n'

    log = tmp_path / "log" / "one.log"
    log.parent.mkdir()
    log.write_text(line("mine", 0))
    hits = faults.strikes(SimpleNamespace(dir=tmp_path), "one", {"step": "mine", "action": "delay:700"})
    assert hits.count() == 0
    with open(log, "a") as out:
        out.write(line("mine", 3) + line("mine", 0) + line("other", 3) + "\n" + line("mine", 3))
    assert hits.count() == 2


def context(shop, crowd=None):
    return faults.Context(shop, crowd, 1, 0)


@pytest.mark.parametrize(("ahead", "effect"), [(-19.6, 1), (5.2, 1), (0.03, 0)])
def test_a_clock_that_does_not_move_is_without_effect(ahead, effect, monkeypatch):
    """And it is put right when the database cannot be asked."""
    steps = []
    shop = SimpleNamespace(clock=SimpleNamespace(step=steps.append), held=Holders())
    ctx = context(shop)
    monkeypatch.setattr(faults, "clock_ahead", lambda _: ahead)
    faults.clock(ctx, plan.Fault(0, "clock", "mysql", 4))()
    assert ctx.done == effect and steps[-1] == 0
    monkeypatch.setattr(faults, "clock_ahead", breaks_down)
    with pytest.raises(KeyError):
        faults.clock(ctx, plan.Fault(0, "clock", "mysql", 4))()
    assert steps[-1] == 0 != steps[-2]


def test_the_databases_clock_is_read(stack):
    assert abs(faults.clock_ahead(context(SimpleNamespace(stack=stack)))) < faults.CLOCK_S


def lock_both(stack, products, ready):
    """In a transaction; False for the victim of a deadlock."""
    with stack.db("product-svc", write=True) as db, db.cursor() as cursor:
        cursor.execute("BEGIN")
        for product in products:
            try:
                cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", product)
            except pymysql.MySQLError:
                return False
            ready.wait(10)
        return True


def test_deadlocks_are_counted(stack):
    """Those of the server, not the rows that the rival has locked."""
    products, ready = [stack.new_product() for _ in range(2)], threading.Barrier(2)
    ctx = context(SimpleNamespace(stack=stack), SimpleNamespace(hot=products, users=[USER]))
    faults.deadlock(ctx, plan.Fault(0, "deadlock", "mysql", 0.2))
    assert ctx.done == 0, "the rival alone"
    before = faults.deadlocks(ctx)

    def lock(order):
        with contextlib.suppress(threading.BrokenBarrierError):
            lock_both(stack, order, ready)
        ready.abort()

    rivals = [threading.Thread(target=lock, args=(order,)) for order in (products, products[::-1])]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(20)
    assert faults.deadlocks(ctx) == before + 1


def test_refused_mails_are_counted(stack):
    ctx = context(SimpleNamespace(stack=stack, held=Holders()))
    heal = faults.refuse(ctx, plan.Fault(0, "refuse", "mail", 1))
    try:
        before = stack.mails_refused()
        user, _ = stack.new_user()
        assert stack.order(user, stack.new_product(stock=10)).status_code == 201
        until(lambda: stack.mails_refused() > before, 20)
    finally:
        heal()
    assert ctx.done > 0


def test_names_that_were_not_found_are_counted(tmp_path, monkeypatch):
    """By what the programs say, not by the connections that were cut."""
    (tmp_path / "log").mkdir()
    logs = {name: tmp_path / "log" / f"{name}.log" for name in ("order-svc.1", "notify-svc", "mysql")}
    for log in logs.values():
        log.write_text("Unknown server host 'db.shop.test' (-3)\n")
    known = []
    monkeypatch.setattr("chaos.private.names_known", known.append)
    line = SimpleNamespace(cut=lambda: None)
    net = SimpleNamespace(lines={"mysql": line, "mail": line})
    ctx = context(SimpleNamespace(stack=SimpleNamespace(dir=tmp_path), net=net, held=Holders()))
    heal = faults.forget_names(ctx, plan.Fault(0, "forget_names", "mysql", 1))
    for name, text in (("order-svc.1", "Unknown server host 'x' (-3)"), ("notify-svc", "Could not resolve host: y"),
                       ("mysql", "Unknown server host"), ("order-svc.1", "connection lost")):  # fmt: skip
        with open(logs[name], "a") as out:
            out.write(f"{text}\n")
    heal()
    assert ctx.done == 2 and known == [False, True]


def test_a_page_says_how_its_run_is_played_again(tmp_path):
    """With all that a plan depends on, as the Makefile takes it."""
    setup = report.Setup("asan", 3, "4.3.1", {"order-svc": 2}, ["no proxies"])
    report.write(tmp_path, Run(7, 20, []), False, setup)
    text = (tmp_path / "chaos-7.md").read_text()
    again = re.search(r"Again, with version (\S+): `make chaos ([^`]+)`", text)
    wanted = {"SEED": "7", "RUNS": "1", "RUN_SECONDS": "20", "MODE": "asan", "BROKERS": "3", "KAFKA": "4.3.1"}
    assert again[1] == report.version() and dict(word.split("=") for word in again[2].split()) == wanted
    rule = (ROOT / "Makefile").read_text().partition("\nchaos:")[2].partition("\n\n")[0]
    assert all(f"{name}=$({name})" in rule for name in wanted) and "no proxies" in text and "order-svc 2" in text


def test_what_is_struck_when_it_is_told_to_end_is_counted(tmp_path, monkeypatch):
    """A revocation: whoever has its failpoint is not killed in the end, and has a moment to meet it."""
    (tmp_path / "log").mkdir()
    log = tmp_path / "log" / "processor.log"
    log.touch()
    monkeypatch.setattr(faults.time, "sleep", lambda _: log.write_text(
        '{"msg":"failpoint","name":"processor_revoked","action":0}\n'))  # fmt: skip
    ends = []
    shop = SimpleNamespace(
        stack=SimpleNamespace(dir=tmp_path), add_failpoint=lambda *_: None, drop_failpoint=lambda *args: ends.append(args[2])
    )
    for n in range(6):
        log.write_text("")
        ctx = faults.Context(shop, None, 1, n)
        faults.failpoint(ctx, step(0, "processor", "processor_revoked", "kill"))()
        assert ctx.done == 1
    assert set(ends) == {signal.SIGTERM}


def test_a_list_with_other_columns_is_kept(tmp_path):
    (tmp_path / "chaos-runs.csv").write_text("began,other\n1,2\n")
    report.enter(tmp_path, [Run(1, 30, [])], SETUP)
    report.enter(tmp_path, [Run(2, 30, [])], SETUP)
    assert sorted(len(path.read_text().splitlines()) for path in tmp_path.glob("chaos-runs*.csv")) == [2, 3]


def test_strikes_are_listed_and_summed_up(tmp_path):
    def played(fault, strikes):
        player = faults.Player(context(None), fault, 0, 0)
        player.ctx.did(strikes)
        return player

    kill, delay = (step(0, "order-svc.1", "order_committed", action) for action in ("kill", "delay:700"))
    made = [
        played(kill, 3), played(kill, 0), played(delay, 2), played(plan.Fault(0, "kill", "kafka.2", 1), 1),
        played(plan.Fault(0, "kill", "user-svc", 1), 1), played(plan.Fault(0, "lose", "net-mail", 1), 7),
    ]  # fmt: skip
    runs = [Run(1, 30, [], players=made[:3]), Run(2, 30, [], players=made[3:])]
    assert [line.split() for line in report.strikes(runs)[1:]] == [
        ["order_committed", "delay", "1", "1", "2"], ["order_committed", "kill", "2", "1", "3"],
        ["kafka", "kill", "1", "1", "1"], ["kill", "1", "1", "1"], ["net-mail", "lose", "1", "1", "7"],
    ]  # fmt: skip
    report.enter(tmp_path, runs, report.Setup("asan", 3, "4.3.1", {"order-svc": 2}, ["no proxies"]))
    assert "order_committed,kill,order-svc.1,3" in (tmp_path / "chaos-strikes.csv").read_text()
    rows = (tmp_path / "chaos-runs.csv").read_text().splitlines()
    assert rows[0].endswith(",mode,left out") and all(row.endswith(",asan,no proxies") for row in rows[1:])
    docs = list(csv.reader((ROOT / "docs" / "chaos-runs.csv").read_text().splitlines()))
    assert docs[0] == rows[0].split(",") and {len(row) for row in docs} == {len(docs[0])}


def test_a_watchman_in_trouble_says_so():
    def entries():
        raise StackError("another command works on it")

    with Watchman(SimpleNamespace(entries=entries), lambda: 0, lambda: 0) as watchman:
        until(lambda: len(watchman.errors) > 1, what="that he goes on")


def heals_badly(ctx, fault):
    def heal():
        raise EOFError("the proxy is gone")

    return heal


def is_not_made(ctx, fault):
    raise StackError("another command works on it")


@pytest.mark.parametrize("fault", [heals_badly, is_not_made])
def test_a_fault_that_fails_is_found(fault, monkeypatch):
    monkeypatch.setitem(vars(faults), fault.__name__, fault)
    player = faults.Player(None, plan.Fault(0, fault.__name__, "x", 0), time.monotonic(), time.monotonic())
    assert not next(faults.check_made([player])).ok, "not over yet"
    player.run()
    found = next(faults.check_made([player]))
    assert not found.ok and fault.__name__ in found.detail
    since, end = player.times()
    assert since <= end <= time.time()


def test_only_a_server_that_another_fault_took_away_excuses():
    def made(kind, target, error=None, since=100.0):
        player = faults.Player(None, plan.Fault(0, kind, target, 1), 0, 0)
        player.since, player.until, player.errors = since, since + 1, [error] if error else []
        return player

    cut = made("cut_sessions", "mysql", pymysql.OperationalError(2003, "away"))
    assert not next(faults.check_made([cut])).ok
    assert next(faults.check_made([cut, made("kill", "mysql", since=95)])).ok
    for other in (made("kill", "mysql", since=50), made("kill", "mail", since=95), made("clock", "mysql", since=95)):
        assert not next(faults.check_made([cut, other])).ok
    refused = made("refuse", "mail", requests.ConnectionError("away"))
    assert next(faults.check_made([refused, made("kill", "mail")])).ok
    assert not next(faults.check_made([made("refuse", "mail", KeyError("mail")), made("kill", "mail")])).ok


def test_a_fault_that_is_made_is_no_finding(monkeypatch):
    monkeypatch.setitem(vars(faults), "works", lambda ctx, fault: lambda: None)
    player = faults.Player(None, plan.Fault(0, "works", "x", 0), time.monotonic(), time.monotonic())
    player.run()
    assert next(faults.check_made([player])).ok


def test_what_cannot_be_made_here_is_left_out_and_said():
    bare = SimpleNamespace(disk=None, clock=SimpleNamespace(library=None), net=None)
    kinds, why = faults.possible(DECK, bare)
    assert "kill" in kinds and "mysql kill" in kinds
    assert not {"mysql clock", "mysql fill_disk", "mysql forget_names"} & set(kinds)
    assert not [kind for kind in kinds if kind.startswith("net-")]
    assert len(why) == 4


def test_only_the_folder_of_a_stack_is_removed(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StackError):
        remove_earlier(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
    (tmp_path / "state.json").write_text("{}")
    remove_earlier(tmp_path)
    assert not tmp_path.exists()
    remove_earlier(tmp_path)


@pytest.mark.parametrize("action", plan.ACTIONS)
def test_a_restore_is_struck_in_its_middle(action):
    """At a chance for each record: not among the first, and mostly before the end of a run's first restores."""
    chance = plan.chance_of("processor_restoring", action)
    assert (1 - chance) ** 50 > 0.7 and (1 - chance) ** 500 < 0.1
    assert 0.7 * chance * 3000 < 12, "seconds of delay"
    assert plan.chance_of("order_committed", action) >= plan.OFTEN


def test_consecutive_seeds_deal_out_every_fault():
    seeds = range(100, 160)
    dealt = [fault for seed in seeds for fault in plan.make(seed, 30, INSTANCES, DECK)]
    met = {(fault.detail["step"], fault.detail["action"]) for fault in dealt if fault.kind == "failpoint"}
    assert met == {(step, action) for _, step, action in plan.deck_of_failpoints()}
    assert {one.rpartition(" ")[2] for one in DECK} <= {fault.kind for fault in dealt}
    assert plan.make(7, 30, INSTANCES, DECK) == plan.make(7, 30, INSTANCES, DECK) != plan.make(8, 30, INSTANCES, DECK)


def test_stacks_have_one_to_three_of_each():
    """By the seed, so that a run in the middle of a stack can be played again by itself."""
    stacks = [plan.instances(seed) for seed in range(0, 600, plan.RUNS_A_STACK)]
    for program, most in plan.MOST.items():
        assert {stack[program] for stack in stacks} == set(range(1, most + 1))
    assert {*plan.FAILPOINTS, *INSTANCES} <= set(plan.MOST)
    assert all(plan.instances(70 + n) == plan.instances(70) for n in range(plan.RUNS_A_STACK))
    dealt = [fault for seed in range(100) for fault in plan.make(seed, 30, {"order-svc": 1, "gateway": 2}, DECK)]
    killed = {fault.target for fault in dealt if fault.kind in ("kill", "failpoint")}
    assert {"order-svc", "gateway.1", "gateway.2"} <= killed and not {"order-svc.1", "gateway"} & killed


def test_seeded_runs_have_many_users_and_varied_haste(bare_sitting, monkeypatch):
    """A wrong result must be able to be the last of its user."""
    taken = []

    def crowd(stack, seed, **people):
        taken.append(people)
        raise StackError("enough")

    monkeypatch.setattr("chaos.sitting.Crowd", crowd)
    bare_sitting.instances, bare_sitting.kinds = INSTANCES, DECK
    for seed in range(20):
        bare_sitting.run(seed, 30)
    assert len(taken) == 20 and all(80 <= one["users"] <= 120 for one in taken)
    assert all(len({one[name] for one in taken}) > 2 for name in ("users", "buyers", "pause_s"))
    bare_sitting.run(1, 30, [])
    assert "users" not in taken[-1], "a plan of one's own names its people"


def test_many_users_are_made_at_once(stack):
    users = stack.new_users(30)
    assert len(set(users)) == 30
    product = stack.new_product(stock=10)
    assert stack.order(users[0], product, 1).status_code == stack.order(users[-1], product, 1).status_code == 201


def test_every_failpoint_of_the_programs_is_in_the_deck():
    there = set()
    for program in [*plan.FAILPOINTS, "common"]:
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
