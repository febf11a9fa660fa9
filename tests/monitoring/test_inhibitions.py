"""Which alert silences which: asked of an Alertmanager with the real rules."""

import socket
import subprocess

import pytest
import requests
import yaml
from rule_files import ROOT, labels_of_alerts
from waiting import until

CONFIG = yaml.safe_load((ROOT / "monitoring" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))


def names(matchers):
    """Of the alerts that these matchers choose, the names; nothing if they go by other labels."""
    for matcher in matchers:
        label, _, value = matcher.replace("=~", "=").partition("=")
        if label.strip() == "alertname":
            yield from value.strip().strip('"').split("|")


def without_label(rules, labels):
    """Two alerts that both lack a label are equal in it, and if one lacks it they never are."""
    for rule in rules:
        for name in (*names(rule["source_matchers"]), *names(rule["target_matchers"])):
            for label in rule.get("equal", []):
                if label not in labels[name]:
                    yield f"{name} has no {label}"


def test_alerts_have_the_labels_that_are_compared():
    assert list(without_label(CONFIG["inhibit_rules"], labels_of_alerts())) == []


def test_a_label_that_an_alert_does_not_have_is_noticed():
    rule = {"source_matchers": ["alertname = KafkaUnreachable"], "target_matchers": ["alertname = OutboxOld"]}
    assert list(without_label([rule | {"equal": ["job"]}], labels_of_alerts())) == ["OutboxOld has no job"]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory):
    """Its URL.  It tells nobody."""
    folder = tmp_path_factory.mktemp("alertmanager")
    quiet = CONFIG | {"receivers": [{"name": one["name"]} for one in CONFIG["receivers"]]}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(quiet), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=data",
               "--cluster.listen-address=", f"--web.listen-address={address}"]  # fmt: skip
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"http://{address}/-/ready"), 30, "Alertmanager")
        yield f"http://{address}/api/v2/alerts"
    finally:
        child.kill()
        child.wait()


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize(
    "cause, effect, silenced",
    [
        ("DatabaseUnreachable order-svc", "PodNotReady order-svc", True),
        ("DatabaseUnreachable order-svc", "PodNotReady user-svc", False),
        ("KafkaUnreachable order-svc", "OutboxOld", True),
        ("KafkaUnreachable notify-svc", "OutboxOld", False),
        ("KafkaUnreachable order-svc", "OutboxShardsUnowned", True),
        ("KafkaUnreachable processor", "ProcessorStalled", True),
        ("KafkaUnreachable order-svc", "ProcessorStalled", False),
        ("KafkaUnreachable processor", "AnalyticsStale", True),
        ("KafkaUnreachable analytics-svc", "AnalyticsStale", True),
        ("KafkaUnreachable product-svc", "AnalyticsStale", False),
        ("KafkaUnreachable notify-svc", "ConsumerLag notify-svc", True),
        ("KafkaUnreachable notify-svc", "ConsumerLag product-svc", False),
        ("ProgramAbsent processor", "ProcessorStalled", True),
        ("ProgramAbsent gateway", "ProcessorStalled", False),
    ],
)
def test_a_cause_silences_what_follows_from_it_and_nothing_else(alertmanager, cause, effect, silenced):
    # The cause as a ticket is silenced by the page whatever it is: then the cause was seen.
    fired = [alert(cause, "page"), alert(cause, "ticket"), alert(effect, "ticket")]
    tell(alertmanager, fired)
    try:
        until(lambda: state(alertmanager, fired[1]) == "suppressed", 10, "the cause")
        wanted = "suppressed" if silenced else "active"
        until(lambda: state(alertmanager, fired[2]) == wanted, 10, wanted)
    finally:
        tell(alertmanager, [one | {"startsAt": "2025-01-01T00:00:00Z", "endsAt": "2025-01-02T00:00:00Z"} for one in fired])
        until(lambda: not any(state(alertmanager, one) for one in fired), 10, "the end")


def tell(url, alerts):
    requests.post(url, json=alerts, timeout=10).raise_for_status()


def alert(what, severity):
    name, _, job = what.partition(" ")
    return {"labels": {"alertname": name, "severity": severity} | ({"job": job} if job else {})}


def state(url, wanted):
    """active, suppressed, unprocessed, or nothing if it does not fire."""
    found = (one for one in requests.get(url, timeout=10).json() if one["labels"] == wanted["labels"])
    return next((one["status"]["state"] for one in found), None)
