"""Who is told what: Alertmanager's routes, by amtool."""

import subprocess

import pytest
import yaml
from rule_files import ALWAYS, ROOT, alerts

CONFIG = ROOT / "monitoring" / "alertmanager" / "alertmanager.yml"


def amtool(*args):
    return subprocess.run(["amtool", *map(str, args)], capture_output=True, text=True, timeout=60, check=False)


def route(config, receiver, **labels):
    pairs = [f"{key}={value}" for key, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}", *pairs)


def test_the_configuration_is_valid():
    done = amtool("check-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "receiver, labels",
    [
        ("page", {"alertname": "OutboxOld", "severity": "page"}),
        ("ticket", {"alertname": "ConsumerLag", "severity": "ticket", "job": "notify-svc"}),
        ("heartbeat", {"alertname": "Watchdog", "severity": "none"}),
        # What nobody thought of reaches somebody.
        ("ticket", {"alertname": "SomethingNew"}),
    ],
)
def test_routes(receiver, labels):
    done = route(CONFIG, receiver, **labels)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_reaches_the_receiver_of_its_severity():
    for _, rule in alerts():
        severity = rule["labels"]["severity"]
        wanted = "heartbeat" if rule["alert"] in ALWAYS else severity
        done = route(CONFIG, wanted, alertname=rule["alert"], **rule["labels"])
        assert done.returncode == 0, f"{rule['alert']}: {done.stdout}{done.stderr}"


def test_a_wrong_route_is_noticed(tmp_path):
    text = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    text["route"]["routes"][1]["matchers"] = ["severity = pager"]
    broken = tmp_path / "alertmanager.yml"
    broken.write_text(yaml.safe_dump(text), encoding="utf-8")
    assert route(broken, "page", alertname="OutboxOld", severity="page").returncode != 0


def test_inhibitions_name_alerts_that_exist():
    known = {rule["alert"] for _, rule in alerts()}
    for rule in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, _, value = matcher.replace("=~", "=").partition("=")
            if label.strip() == "alertname":
                assert set(value.strip().strip('"').split("|")) <= known, matcher
