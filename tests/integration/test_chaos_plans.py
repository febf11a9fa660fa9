"""Chaos runs with fixed plans, one for each guarantee: `make mutants CHAOS=1` breaks the guarantee and they must notice.

Beside that they are slow tests: `tools/run-tests slow`.
"""

import pytest
import shop_stack
from chaos.plan import Fault, step
from chaos.sitting import Sitting

SECONDS = 20


def on_each(program, count, *args, **more):
    return [step(1.0 + n / 2, f"{program}.{n + 1}", *args, **more) for n in range(count)]


PLANS = {
    "order": [
        *on_each("order-svc", 3, "order_before_commit", "error"), Fault(11, "cut_sessions", "mysql", 3),
        Fault(15, "kill_often", "order-svc.2", 0),
    ],
    "lost-answers": [Fault(1, "lose", "net-mysql", 16)],
    "relay": [
        *on_each("order-svc", 3, "relay_before_produce", "kill", 0.2), Fault(11, "burst", "order-svc", 5, {"every": 0.7}),
    ],
    # Smaller numbers of the outbox become visible after larger ones. One instance only: its end would make up for it.
    "late-commits": [step(1, "order-svc.1", "order_before_commit", "delay:300", 0.5, 15.0)],
    "repeats": [*on_each("order-svc", 3, "relay_delivered", "kill", 0.2, 12.0)],
    "processor": [
        *on_each("processor", 3, "processor_produced", "error", 0.3, 6.0),
        *(step(9 + n, f"processor.{n + 1}", "processor_offsets_sent", "kill", 0.1, 6.0) for n in range(3)),
        *(step(9.2 + n, f"processor.{n + 1}", "processor_produced", "kill", 0.1, 6.0) for n in range(3)),
    ],
    # Beyond the group's session time-out: others have their partitions when they wake up in a transaction.
    "sleepers": [Fault(at, "sleep", f"processor.{n}", 13) for at, n in ((2, 1), (3.5, 2))],
    # A slow commit: the other instance reads meanwhile what was there before.
    "stock": [
        *on_each("product-svc", 2, "product_before_commit", "delay:150", 0.3, 12.0),
        *on_each("product-svc", 2, "product_reserved", "kill", 0.02),
    ],
    "late-events": [Fault(2, "kill", "kafka", 12)],
    # Nobody is killed: while the group settles, no event comes that could be lost.
    "mail": [*on_each("notify-svc", 2, "notify_before_commit", "error", 0.3, 16.0)],
    "calm": [],
}  # fmt: skip
# Of few users each result is soon written again, and right: a wrong one must be able to be the last.
MANY_USERS = {"users": 100}
# They must meet within the moment between reading and writing.
HURRY = {"buyers": 24, "pause_s": 0.01}
CROWDS = {"processor": MANY_USERS, "sleepers": MANY_USERS, "late-commits": MANY_USERS, "stock": HURRY}


@pytest.fixture
def sitting(tmp_path, request):
    """In a fixture, so that a stack which does not start is no finding."""
    reports = shop_stack.REPORTS / "chaos" / request.node.callspec.params["name"]
    with Sitting(tmp_path / "stack", shop_stack.MODE, reports) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_plan(name, sitting):
    run = sitting.run(1, SECONDS, PLANS[name], **CROWDS.get(name, {}))
    if not run.broken:
        sitting.finish()
    for one in run.broken:
        print(f"BROKEN {one.name}")  # for tools/run-mutants: the right one must be among them
    assert not run.broken, f"report in {sitting.reports}: {[tuple(one) for one in run.broken]}"
