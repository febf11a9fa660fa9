"""Malformed, ambiguous and slow requests, at the gateway and at a service's own listener."""

import pathlib
import sys
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "http"))
import http_cases  # noqa: E402


@pytest.mark.parametrize("who", ["gateway", "product-svc"])
def test_every_case_ends_well(stack, who):
    url = stack.gateway if who == "gateway" else stack.instances(who)[0]["http"]
    parts = urlsplit(url)
    results = http_cases.run_all(http_cases.load(), (parts.hostname, parts.port), "/api/products")
    assert {case["id"]: fault for case, fault in results if fault} == {}
