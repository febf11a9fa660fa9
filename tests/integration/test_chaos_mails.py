"""The mails of a chaos run: missing, second and foreign ones are found, and what a fault can excuse."""

import re
import time
from types import SimpleNamespace

import pytest
from chaos import faults, mails, plan
from chaos.shop import INSTANCES
from chaos.sitting import Run, Sitting
from invariants import database
from shop_stack import ROOT, until


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
