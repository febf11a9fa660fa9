"""Failure scenarios of the whole shop, numbered as in tests/scenarios.md."""

import json
import pathlib
import re
import time

import pytest
import requests
from alone import free_port
from load import Buyers
from proxy import Proxy
from shop_stack import MODE, runs, until


@pytest.fixture
def customer(stack):
    user, _ = stack.new_user()
    return user, stack.sql("user-svc", "SELECT email FROM users WHERE id = %s", user)[0][0]


@pytest.fixture
def product(stack):
    return stack.new_product(stock=100, price=7.50)


@pytest.fixture
def settings(stack):
    """Restarts a program with other settings, and at the end with those it had."""
    changed = []

    def set_to(program, name, value):
        if stack["mode"] == "release" and name == "FAILPOINTS":
            pytest.skip("a release build has no failpoints")
        changed.append((program, f"{name}={stack.env(program).get(name, '')}"))
        stack.restart(program, "--env", f"{name}={value}")

    yield set_to
    for program, before in changed:
        stack.tool("stop", program)
        stack.start(program, "--env", before)


def events_of(stack, user):
    return [json.loads(m.value()) for m in stack.events() if m.key() == str(user).encode()]


def notice_state(stack, user):
    return [row[0] for row in stack.sql("notify-svc", "SELECT state FROM notifications WHERE user_id = %s", user)]


def caught_up(stack, program="notify-svc"):
    return stack.metric(program, "shop_kafka_consumer_lag_messages") == 0


def died(stack, program):
    pid = stack.instances(program)[0]["pid"]
    until(lambda: not runs(pid), 20, f"the end of {program}")


# ---- 15: the relay repeats itself ----


def test_s15_event_published_twice(stack, customer, product, settings):
    """Killed between the delivery and the delete: twice in the topic, once everywhere else."""
    user, email = customer
    repeated = stack.metric("processor", "shop_processor_duplicates_total")
    settings("order-svc", "FAILPOINTS", "relay_before_delete:1:kill")
    stack.order(user, product, key="s15")
    died(stack, "order-svc")
    stack.start("order-svc", "--env", "FAILPOINTS=")
    until(lambda: len(events_of(stack, user)) == 2, 20, "the event a second time")
    one, two = events_of(stack, user)
    assert one == two
    until(lambda: stack.metric("processor", "shop_processor_duplicates_total") == repeated + 1)
    totals = until(lambda: stack.totals(user))
    assert (totals["total_orders"], totals["total_spent"]) == (1, 7.5)
    until(lambda: notice_state(stack, user) == ["sent"] and caught_up(stack))
    assert len(stack.mails(email)) == 1


# ---- 25: downstream ----


def test_s25_notify_killed_before_its_commit(stack, customer, product, settings):
    """The row is there, the offset is not: the event comes again and makes no second mail."""
    user, email = customer
    settings("notify-svc", "FAILPOINTS", "notify_stored:1:kill")
    stack.order(user, product)
    died(stack, "notify-svc")
    assert len(notice_state(stack, user)) == 1
    stack.start("notify-svc", "--env", "FAILPOINTS=")
    until(lambda: stack.metric("notify-svc", "shop_notifications_repeated_total") >= 1, 30)
    until(lambda: notice_state(stack, user) == ["sent"])
    assert len(stack.mails(email)) == 1


@pytest.mark.slow
def test_s25_notify_killed_after_the_mail_was_taken(stack, customer, product, settings):
    """The one window in which a mail goes out twice; both carry the same Message-ID."""
    user, email = customer
    settings("notify-svc", "FAILPOINTS", "notify_sent:1:kill")
    stack.order(user, product)
    died(stack, "notify-svc")
    assert len(stack.mails(email)) == 1 and notice_state(stack, user) != ["sent"]
    stack.start("notify-svc", "--env", "FAILPOINTS=")
    until(lambda: notice_state(stack, user) == ["sent"], 90, "the end of the dead one's lease")
    first, second = stack.mails(email)
    assert first["message_id"] == second["message_id"]


def test_s25_mail_server_down_and_slow(stack, customer, product, settings):
    user, email = customer
    before = stack.env("notify-svc")["SMTP_URL"]
    proxy = Proxy(int(before.rpartition(":")[2]))
    try:
        settings("notify-svc", "SMTP_URL", f"smtp://127.0.0.1:{proxy.port}")
        proxy.refuse()
        stack.order(user, product)
        until(lambda: stack.metric("notify-svc", "shop_mails_total", "put_off") >= 1, 20, "a try in vain")
        proxy.accept()
        until(lambda: notice_state(stack, user) == ["sent"], 20)
        proxy.freeze()
        stack.order(user, product)
        later = stack.metric("notify-svc", "shop_mails_total", "put_off")
        until(lambda: stack.metric("notify-svc", "shop_mails_total", "put_off") > later, 20, "the time-out of a try")
        # Others are served meanwhile.
        assert requests.get(f"{stack.instances('notify-svc')[0]['admin']}/readyz", timeout=5).ok
        proxy.thaw()
        until(lambda: notice_state(stack, user) == ["sent", "sent"], 30)
        mails = stack.mails(email)
        assert len(mails) == len({mail["message_id"] for mail in mails}) == 2
    finally:
        proxy.close()


# ---- 12: the broker cannot be reached for a minute ----


GROWTH_MB = 24  # as after a chaos run
PROGRAMS = ["gateway", "user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc", "processor"]


def resident_mb(shop):
    """Of each of our programs."""
    return {
        one["name"]: int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{one['pid']}/status").read_text())[1]) // 1024
        for name in PROGRAMS for one in shop.instances(name)
    }  # fmt: skip


def grown(before, now):
    more = {name: now[name] - mb for name, mb in before.items()}
    print("MB more:", more)
    return {name: mb for name, mb in more.items() if mb > GROWTH_MB}


@pytest.mark.slow
def test_s12_broker_out_of_reach_for_a_minute(new_stack):
    """Nobody gets an answer, nobody is told: orders are taken all the same, nobody dies or grows, and
    everything arrives afterwards."""
    behind = free_port()
    proxy = Proxy(behind)
    try:
        # A sanitizer keeps what was freed.
        mode = "debug" if MODE in ("asan", "tsan") else MODE
        shop = new_stack(mode=mode, options=["--kafka-proxy", f"{proxy.port}:{behind}"])
        users = [shop.new_user()[0] for _ in range(4)]
        products = [shop.new_product(stock=100_000, price=1.25) for _ in range(2)]
        pids = {name: [one["pid"] for one in group] for name, group in shop["services"].items()}
        admin = shop.instances("processor")[0]["admin"]
        with Buyers(shop, users, products, threads=2, retry=False) as load:
            time.sleep(5)
            before = resident_mb(shop)
            proxy.freeze()
            until(lambda: requests.get(f"{admin}/readyz", timeout=5).status_code == 503, 30, "the processor's complaint")
            until(lambda: shop.metric("order-svc", "shop_outbox_age_seconds") > 60, 90, "events that wait for a minute")
            assert grown(before, resident_mb(shop)) == {}
            assert requests.get(f"{shop.instances('order-svc')[0]['admin']}/readyz", timeout=5).ok
            proxy.thaw()
        assert load.placed and not load.failures
        until(lambda: shop.sql("order-svc", "SELECT COUNT(*) FROM outbox")[0][0] == 0, 90, "an empty outbox")
        count = len(load.placed)
        until(lambda: shop.orders_counted(users) == count, 60, f"{count} orders counted")
        assert grown(before, resident_mb(shop)) == {}
        shop.refresh()
        assert {name: [one["pid"] for one in group] for name, group in shop["services"].items()} == pids
    finally:
        proxy.close()
