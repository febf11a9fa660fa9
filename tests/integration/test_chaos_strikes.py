"""What each fault of a chaos run struck is counted and told; the deck deals out every one of them."""

import contextlib
import csv
import re
import signal
import threading
from types import SimpleNamespace

import pymysql
import pytest
from chaos import faults, plan, report
from chaos.faults import DECK
from chaos.holders import Holders
from chaos.plan import step
from chaos.shop import INSTANCES
from chaos.sitting import Run
from chaos_stories import SETUP, USER, breaks_down
from shop_stack import ROOT, until


def context(shop, crowd=None):
    return faults.Context(shop, crowd, 1, 0)


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


def test_every_failpoint_of_the_programs_is_in_the_deck():
    there = set()
    for program in [*plan.FAILPOINTS, "common"]:
        for source in (ROOT / program).glob("*.c"):
            there |= set(re.findall(r'FAILPOINT\("(\w+)"\)', source.read_text()))
    assert there == {step for steps in plan.FAILPOINTS.values() for step in steps}
