"""A short run of tests/chaos with a fixed plan: the steps at which a crash matters most, under sanitizers."""

import shop_stack
from chaos.plan import Fault, step
from chaos.sitting import Sitting

SEED, SECONDS = 5, 12
ORDERS, DEATHS = 50, 3  # a run says nothing with less
MOST_S = 120

PLAN = [
    step(0.5, "order-svc.1", "order_committed", "kill", 0.1, 4.0),
    step(1.0, "processor.1", "processor_offsets_sent", "kill", 0.1, 4.0),
    step(2.0, "product-svc.1", "product_reserved", "kill", 0.05, 4.0),
    step(5.0, "order-svc.2", "relay_delivered", "kill", 0.1, 4.0),
    step(5.5, "processor.2", "processor_produced", "error", 0.1, 4.0),
    Fault(6.5, "deadlock", "mysql", 2.0),
    Fault(8.0, "kill", "order-svc.1", 0.0),
]
INSTANCES = {"order-svc": 2, "product-svc": 2, "processor": 2, "analytics-svc": 2}


def test_a_short_run(tmp_path):
    reports = shop_stack.REPORTS / "chaos"
    with Sitting(tmp_path / "stack", shop_stack.MODE, reports, instances=INSTANCES, with_net=False) as sitting:
        run = sitting.run(SEED, SECONDS, PLAN, lambda orders, deaths: orders > ORDERS and deaths > DEATHS, MOST_S)
        sitting.finish()
    assert not run.broken, f"seed {SEED}, report in {reports}: {run.broken}"
    assert run.counts["orders placed"] > ORDERS and sum(run.deaths.values()) > DEATHS
