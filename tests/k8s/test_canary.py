"""Version 2 of order-svc beside version 1, by components/canary-order-svc."""

import pytest
import yaml
from conftest import OVERLAY
from shop import GATEWAY, HERE, served, until

URL = f"{GATEWAY}/api/orders?user_id=1"
CANARY = HERE / "overlays" / "canary"


@pytest.fixture(scope="module")
def canary(shop, cluster):
    cluster.k("apply", "-k", CANARY)
    try:
        shop.rollout("order-svc-v2")
        shop.all_ready()
        until(lambda: versions(shop, 20, ["canary:true"]) == {"order-svc/v2": 20}, 30, "the canary")
        yield
    finally:
        cluster.k("apply", "-k", OVERLAY)
        shop.all_ready()
        shop.k("delete", "deployment,service,pdb", "order-svc-v2", "--ignore-not-found")


def versions(shop, count, headers=()):
    """Who answered so many requests."""
    args = [part for header in headers for part in ("-header", header)]
    return shop.tool("load", "-url", URL, "-rate", "100", "-seconds", str(count / 100), *args)["served_by"]


def test_the_header_chooses(shop, canary):
    assert versions(shop, 100, ["canary:true"]) == {"order-svc/v2": 100}


def test_the_weights_choose_otherwise(shop, canary, figures):
    found = versions(shop, 2000)
    figures["canary at 90/10, of 2000"] = found
    # 10 % of 2000 is 200, with a standard deviation of 13.4.
    assert 140 <= found["order-svc/v2"] <= 260
    assert sum(found.values()) == 2000


def test_another_value_of_the_header_does_not(shop, canary):
    found = versions(shop, 500, ["canary:false"])
    assert found.get("order-svc/v2", 0) < 100


def order(shop, *headers):
    """200 orders."""
    args = [part for header in ("Idempotency-Key:{id}", *headers) for part in ("-header", header)]
    body = '{"user_id":1,"product_id":"LAPTOP001","quantity":1}'
    return shop.tool(
        "load", "-method", "POST", "-url", f"{GATEWAY}/api/orders", "-body", body, "-rate", "50", "-seconds", "4", *args
    )


def test_both_versions_take_orders(shop, canary):
    result = order(shop, "canary:true")
    assert served(result, "201") and result["served_by"] == {"order-svc/v2": result["sent"]}, result
    result = order(shop)
    # That none of 200 is one of the tenth for version 2 happens once in 10^9 times.
    assert served(result, "201") and set(result["served_by"]) > {"order-svc/v2"}, result


def test_a_canary_that_dies_hurts_nobody(shop, canary):
    """Without living addresses of its own, its share goes to the stable version."""
    shop.k("scale", "deployment/order-svc-v2", "--replicas=0")
    try:
        until(lambda: not shop.pods(selector="track=canary"), 60, "no canary")
        until(lambda: "order-svc/v2" not in versions(shop, 50, ["canary:true"]), 30, "the stable one")
        result = shop.tool("load", "-url", URL, "-rate", "100", "-seconds", "5")
        assert served(result, "200"), result
    finally:
        shop.k("scale", "deployment/order-svc-v2", "--replicas=2")
        shop.rollout("order-svc-v2")


def test_the_overlay_names_the_image(shop, canary):
    image = shop.image("order-svc-v2")
    assert image == yaml.safe_load((CANARY / "kustomization.yaml").read_text())["images"][0]["newName"] + ":dev"
