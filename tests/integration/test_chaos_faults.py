"""Faults and failpoints of a chaos run are made, healed, and do not end each other; what fails in that is found."""

import signal
import socket
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pymysql
import pytest
import requests
from chaos import faults, plan, report
from chaos.faults import DECK
from chaos.holders import Holders
from chaos.net import Line, Net
from chaos.shop import Shop, layout_of, look_at
from chaos.sitting import Run
from chaos_stories import SETUP
from shop_stack import until
from shopstack import proc
from shopstack.store import Store, locked
from shopstack.ui import StackError


def stack_of_one(folder, program, **env):
    """A shop of one process of ours, which no watchman looks after."""
    shop = Shop.__new__(Shop)
    shop.stack, shop.failpoints, shop.away, shop.events = SimpleNamespace(dir=folder), {}, Holders(), []
    shop.seed, shop.starts = 7, Counter()
    with locked(layout_of(shop.stack)) as store:
        store.start("one", argv=["/bin/sh", "-c", program], env=env, cwd=str(folder), kind="one")
    return shop


def alive(shop):
    """The one that is known; SIGKILL takes a moment."""
    return proc.alive(shop.entries()["one"])


@pytest.fixture
def sleeper(tmp_path):
    shop = stack_of_one(tmp_path, "exec sleep 60")
    yield shop
    proc.kill(shop.entries()["one"])


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


@pytest.mark.parametrize("action", plan.ACTIONS)
def test_a_restore_is_struck_in_its_middle(action):
    """At a chance for each record: not among the first, and mostly before the end of a run's first restores."""
    chance = plan.chance_of("processor_restoring", action)
    assert (1 - chance) ** 50 > 0.7 and (1 - chance) ** 500 < 0.1
    assert 0.7 * chance * 3000 < 12, "seconds of delay"
    assert plan.chance_of("order_committed", action) >= plan.OFTEN
