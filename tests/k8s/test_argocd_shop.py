"""Argo CD deploys the real local overlay from git: a commit under load, a migration that fails, an autoscaler at work."""

import json
import time

import pytest
from archives import load_next
from argocd import Repository, running
from conftest import fill_stock, namespace
from shop import CLIENTS, GATEWAY, HERE, Shop, served, test_pod, until

OVERLAY = "k8s/overlays/local/kustomization.yaml"
UP_S = 400
ORDER = '{"user_id":1,"product_id":"LAPTOP001","quantity":1}'


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    made = Repository(tmp_path_factory.mktemp("git") / "shop")
    made.take_project()
    # Not what this is about, and half of a small machine.
    made.remove("k8s/monitoring/overlays/local")
    made.take("k8s/monitoring/overlays/local", HERE / "argo/demo/monitoring")
    made.commit("the shop")
    return made


@pytest.fixture(scope="module")
def argo(cluster, images, tmp_path_factory):
    load_next(cluster, tmp_path_factory.mktemp("next"), "order-svc")
    with running(cluster, tmp_path_factory.mktemp("argocd")) as one:
        yield one


@pytest.fixture(scope="module")
def argo_shop(argo, cluster, repository, figures):
    """Brought up by one kubectl apply of the root Application."""
    began = time.monotonic()
    argo.bootstrap(repository)
    argo.settled(repository.head(), seconds=UP_S)
    figures["root Application to shop Synced and Healthy, s"] = round(time.monotonic() - began, 1)
    cluster.apply(namespace(CLIENTS, {"shop/clients": "allowed"}))
    cluster.apply(test_pod("client", CLIENTS))
    cluster.k("-n", CLIENTS, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    one = Shop(cluster)
    fill_stock(one)
    yield one
    cluster.k("delete", "namespace", CLIENTS, "--timeout=120s", check=False)


@pytest.fixture
def settled(argo, argo_shop, repository):
    """Everything as git has it, before and after a test."""
    before = repository.head()
    argo.settled(before, seconds=UP_S)
    yield
    repository.restore(before)
    argo.refresh()


def orders(shop, seconds):
    return shop.load(
        "-method", "POST", "-url", f"{GATEWAY}/api/orders", "-rate", "20", "-seconds", seconds,
        "-body", ORDER, "-header", "Idempotency-Key:{id}",
    )  # fmt: skip


def uids(shop, name):
    return {pod["metadata"]["uid"] for pod in shop.pods(name)}


def test_the_shop_sells(argo_shop, settled):
    answer = argo_shop.request("POST", "/api/orders", json.loads(ORDER), ["Idempotency-Key:argo"])
    assert answer["status"] == 201, answer


def test_a_commit_rolls_out_under_load_and_its_revert_brings_it_back(argo, argo_shop, repository, loads, settled):
    before = uids(argo_shop, "order-svc")
    load = orders(argo_shop, 240)
    loads(load)
    repository.edit(OVERLAY, "name: shop/order-svc, newTag: dev", "name: shop/order-svc, newTag: next")
    revision = repository.commit("order-svc: next")
    argo.refresh()
    argo.settled(revision, seconds=UP_S)
    assert argo_shop.image("order-svc").endswith(":next") and not before & uids(argo_shop, "order-svc")
    assert load.running(), "the rollout took longer than the load"
    revision = repository.revert()
    argo.refresh()
    argo.settled(revision, seconds=UP_S)
    assert argo_shop.image("order-svc").endswith(":dev")
    result = load.result()
    assert served(result, "201"), result


FAILING_MIGRATION = """
  - target: {kind: Job, name: migrate-order-svc}
    patch: |-
      - {op: replace, path: /spec/backoffLimit, value: 0}
      - {op: replace, path: /spec/template/spec/containers/0/args, value: [--no-such-option]}
      - {op: replace, path: /spec/template/spec/restartPolicy, value: Never}
"""


def test_a_failed_migration_leaves_the_old_version_serving(argo, argo_shop, repository, loads, settled):
    before = uids(argo_shop, "order-svc")
    load = orders(argo_shop, 60)
    loads(load)
    repository.edit(OVERLAY, "name: shop/order-svc, newTag: dev", "name: shop/order-svc, newTag: next")
    repository.edit(OVERLAY, "patches:\n", f"patches:{FAILING_MIGRATION}")
    repository.commit("a migration that fails")
    argo.refresh()
    argo.until(lambda: "Retrying attempt" in argo.explain(), 180)
    assert uids(argo_shop, "order-svc") == before and argo_shop.image("order-svc").endswith(":dev")
    revision = repository.revert()
    argo.refresh()
    argo.settled(revision, seconds=UP_S)
    assert uids(argo_shop, "order-svc") == before
    result = load.result()
    assert served(result, "201"), result


def test_an_autoscaler_at_work_is_left_alone(argo, argo_shop, loads, settled):
    """It adds gateways under load; Argo CD looks twice meanwhile, and neither takes them away nor calls it a difference."""
    load = argo_shop.load("-url", f"{GATEWAY}/api/users", "-rate", "400", "-seconds", "120")
    loads(load)

    def replicas():
        return argo_shop.json("get", "deployment", "gateway")["spec"]["replicas"]

    until(lambda: replicas() >= 4, 120, "four gateways")
    operation = argo.app()["status"]["operationState"]["finishedAt"]
    end = time.monotonic() + 2 * int(argo.resync)
    while time.monotonic() < end and load.running():
        assert replicas() >= 4
        assert argo.state()[0] == "Synced"
        time.sleep(1)
    assert argo.app()["status"]["operationState"]["finishedAt"] == operation
    result = load.result()
    assert served(result, "200"), result
