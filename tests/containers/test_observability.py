"""Prometheus and Alertmanager beside the shop; Grafana's image is in no registry of packages, so it is left out."""

import checks
import pytest
from compose_shop import host_process
from engine import PROGRAMS, ROOT, until

SERVERS = ["prometheus", "alertmanager"]

pytestmark = pytest.mark.skipif(not (ROOT / "monitoring").is_dir(), reason="no monitoring/ yet")


@pytest.fixture(scope="module")
def watched(shop):
    shop.files = ["compose.yaml", "compose.observability.yaml"]
    shop.up("--no-deps", *SERVERS)
    yield shop
    shop.compose("rm", "-sf", *SERVERS)
    shop.files = ["compose.yaml"]


def test_both_files_together_are_valid(shop):
    shop.compose("-f", "compose.observability.yaml", "config", "-q")


def test_healthy(watched):
    watched.wait_healthy(*SERVERS)


@pytest.mark.parametrize("service", SERVERS)
def test_fences(watched, service):
    found = watched.inspect(service)
    assert not checks.container_settings(found)
    assert not checks.process_rights(host_process(found["State"]["Pid"]))


def test_every_program_is_scraped(watched):
    def up():
        query = {"query": "up == 1"}
        found = watched.http.get(f"{watched.url('PROMETHEUS')}/api/v1/query", params=query, timeout=5).json()
        return set(PROGRAMS) <= {one["metric"]["job"] for one in found["data"]["result"]}

    watched.wait_healthy("prometheus")
    until(up, 60, "all programs scraped")


def test_rules_are_loaded_and_alertmanager_is_known(watched):
    watched.wait_healthy(*SERVERS)
    base = f"{watched.url('PROMETHEUS')}/api/v1"
    groups = watched.http.get(f"{base}/rules", timeout=5).json()["data"]["groups"]
    assert any(rule["type"] == "alerting" for group in groups for rule in group["rules"])
    assert all(rule["health"] != "err" for group in groups for rule in group["rules"])

    def known():
        return watched.http.get(f"{base}/alertmanagers", timeout=5).json()["data"]["activeAlertmanagers"]

    until(known, 30, "Alertmanager known to Prometheus")


def test_nothing_alarming(watched):
    """Last, so that they have worked for a while."""
    watched.wait_healthy(*SERVERS)
    found = {service: checks.alarming(watched.logs(service)) for service in SERVERS}
    assert not {service: lines for service, lines in found.items() if lines}
    assert not checks.alarming(watched.said)
