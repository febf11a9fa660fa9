"""After a chaos run: what is still open or on its way, and who crashed, is found."""

import contextlib
import os
import signal
import time
from types import SimpleNamespace

from chaos import rest
from chaos.shop import Shop, Watchman, why_ended
from shop_stack import until
from shopstack import proc
from shopstack.ui import StackError


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


def test_a_watchman_in_trouble_says_so():
    def entries():
        raise StackError("another command works on it")

    with Watchman(SimpleNamespace(entries=entries), lambda: 0, lambda: 0) as watchman:
        until(lambda: len(watchman.errors) > 1, what="that he goes on")
