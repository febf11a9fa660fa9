"""Every query of dashboards, rules and runbooks against a Prometheus that scraped the running shop.

The shop has had some orders, cancellations, replays, refusals, a restart and an abandoned reservation, so every series that
a healthy shop can have is there.  A query that finds nothing names a metric or a label that does not exist.
"""

import contextlib
import math
import re
import secrets

import pymysql
import pytest
from queries import of_dashboards, of_rules, of_runbooks, selectors, statements_of_runbooks
from rig import Rig
from shop_stack import Stack, until

# Series that need not be there: nothing fires, no Job was given up, and our programs have no CPU limit.
MAY_BE_MISSING = {
    'ALERTS{alertstate="firing",severity=~"page|ticket"}',
    'kube_job_failed{namespace="shop",condition="true"}',
    'kube_pod_container_resource_limits{namespace="shop",resource="cpu"}',
}


def use_the_shop(shop):
    """Something of everything that customers do."""
    user, token = shop.new_user()
    product = shop.new_product(stock=50, price=20.00)
    for n in range(6):
        answer = shop.order(user, product, 1, token=token, key=f"{secrets.token_hex(8)}-{n}")
        assert answer.status_code == 201, answer.text
    key = secrets.token_hex(8)
    first = shop.order(user, product, 2, token=token, key=key)
    assert shop.order(user, product, 2, token=token, key=key).headers["Idempotency-Replayed"] == "true"
    assert shop.order(user, product, 1000, token=token, key=secrets.token_hex(8)).status_code == 409
    order = first.json()["order_id"]
    assert shop.api("POST", f"/api/orders/{order}/cancel", token=token).status_code == 200
    for path in ("/api/users", "/api/products", f"/api/products/{product}", "/api/orders", "/api/notifications",
                 f"/api/analytics/users/{user}", "/api/analytics/flink/top-users", "/api/nothing"):  # fmt: skip
        shop.api("GET", path, token="admin")
    shop.api("GET", "/api/users", headers={"Authorization": "Bearer not.a.token"})
    # Reserved by nobody who comes back: the janitor asks order-svc what became of it.
    lines = {"ttl_s": 1, "lines": [{"product_id": product, "quantity": 1}]}
    assert shop.internal("PUT", f"/internal/reservations/{secrets.token_hex(16)}", "order-svc", lines).ok


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A rig that has seen the shop in use; TLS to Kafka, so that there is a certificate to watch."""
    shop = Stack()
    rig = None
    try:
        shop.up(options=["--kafka-tls"])
        rig = Rig(tmp_path_factory.mktemp("rig"), shop)
        rig.start()
        use_the_shop(shop)
        shop.restart("processor")
        until(lambda: (rig.query("sum(shop_mails_total{result='sent'})") or [(0, {})])[0][0] > 0, 60, "mails sent")
        until(lambda: rig.query("shop_processor_restore_seconds_count > 0"), 60, "the restore was seen")
        # The janitor's, not a question for keys; and answered: a call that timed out is another series.
        answered = 'shop_http_client_calls_total{job="product-svc",call="/internal/outcomes/:id",result="2xx"}'
        until(lambda: rig.query(answered), 60, "the janitor's first call")
        # Last, so that all of it lies within the minute that panels show.  A rate sees only what is counted after a series
        # was first scraped: the janitor's second call.
        use_the_shop(shop)
        rate = f"rate({answered}[1m])"
        until(lambda: rig.query(f"{rate} > 0"), 60, "the janitor's next call")
        yield rig
    finally:
        if rig:
            rig.close()
        shop.close()


def missing(rig, expr):
    """Of what it selects, that which Prometheus has never seen."""
    wanted = selectors(expr) - MAY_BE_MISSING
    return sorted(one for one in wanted if not rig.query(f"count(last_over_time({one}[1h]))"))


def without_data(rig, expr):
    """No series, or nothing but NaN."""
    return not any(not math.isnan(value) for value, _ in rig.query(expr))


def found_wrong(rig, asked, needs_data):
    """What is still wrong after a while: a scrape that failed on a busy machine takes series away until the next."""
    left = list(asked)

    def none_left():
        left[:] = [(where, expr) for where, expr in left if missing(rig, expr) or (needs_data and without_data(rig, expr))]
        return not left

    with contextlib.suppress(AssertionError):
        until(none_left, 30)
    return "\n".join(f"{where}: {expr}: {missing(rig, expr)}" for where, expr in left)


def test_every_panel_has_data(watched):
    wrong = found_wrong(watched, of_dashboards(), needs_data=True)
    assert not wrong, wrong


def test_every_rule_asks_for_series_that_exist(watched):
    wrong = found_wrong(watched, [(where, expr) for where, expr, is_alert in of_rules() if is_alert], needs_data=False)
    wrong += found_wrong(watched, [(where, expr) for where, expr, is_alert in of_rules() if not is_alert], needs_data=True)
    assert not wrong, wrong


def test_every_query_of_a_runbook_asks_for_series_that_exist(watched):
    wrong = found_wrong(watched, of_runbooks(), needs_data=False)
    assert not wrong, wrong


def test_every_statement_of_a_runbook_can_be_run(watched):
    mysql = watched.stack["mysql"]
    for where, program, text in statements_of_runbooks():
        # As root, like the runbooks' function; the names in capitals stand for what the reader puts there.
        with pymysql.connect(unix_socket=mysql["socket"], user="root", database=mysql["databases"][program]) as db:
            with db.cursor() as cursor:
                try:
                    cursor.execute(re.sub(r"= USER\b", "= 1", text))
                except pymysql.Error as error:
                    pytest.fail(f"{where}: {text}: {error}")


def test_a_query_for_something_else_is_noticed(watched):
    assert "shop_orders_totals" in found_wrong(watched, [("here", "shop_orders_totals")], needs_data=False)
    assert missing(watched, "rate(shop_orders_total[1m])") == []
    assert missing(watched, "rate(shop_orders_totals[1m])") == ["shop_orders_totals"]
    assert missing(watched, 'shop_orders_total{result="plced"}') == ['shop_orders_total{result="plced"}']
    assert without_data(watched, "shop_orders_total > 1e12")
    assert without_data(watched, "0 * sum(shop_orders_total) / 0")


def test_the_rules_are_evaluated_without_failures(watched):
    assert sum(value for value, _ in watched.query("prometheus_rule_evaluation_failures_total")) == 0


def test_a_healthy_shop_has_only_the_watchdog(watched):
    firing = {labels["alertname"] for _, labels in watched.query('ALERTS{alertstate="firing"}')}
    # What comes from the recorded cluster is that cluster's business, and a busy test machine is slow.
    assert firing - {"PodNotReady", "JobFailed", "HpaAtMaximum", "PodRestarting", "OrderLatencyBudgetBurn"} == {"Watchdog"}
    # What fires before Prometheus has found Alertmanager is told again a minute later.
    told = lambda: any(one["labels"]["alertname"] == "Watchdog" for one in watched.alerts())  # noqa: E731
    until(told, 90, "the Watchdog at Alertmanager")


def test_a_page_reaches_the_mailbox_when_a_program_dies(watched):
    shop = watched.stack
    shop.kill("analytics-svc")
    try:
        subject = "[FIRING] ProgramAbsent analytics-svc"
        told = until(
            lambda: [one for one in shop.mails("oncall@shop.example.com") if subject in one["subject"]], 150, "the page"
        )
        assert "docs/runbooks/ProgramAbsent.md" in told[0]["body"]
        assert shop.mails("shop-team@shop.example.com") == [], "a ticket was sent although the page says it all"
    finally:
        shop.start("analytics-svc")
