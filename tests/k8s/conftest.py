"""The cluster of these tests and the shop in it, for the whole run.

The first test that asks for `shop` applies overlays/local to an empty namespace, and every later one
leaves it as it found it: all pods ready, of the version `dev`.  With K8S_KEEP the shop stays, and the
next run works on it.
"""

import os
import subprocess
import time

import pytest
import yaml
from shop import (
    ARCHIVES,
    CLIENT_PODS,
    CLIENTS,
    CLUSTER,
    HERE,
    NAMESPACE,
    ROOT,
    TOOL_IMAGE,
    Cluster,
    Shop,
    documents,
    run,
    test_pod,
    until,
)

OVERLAY = ROOT / "k8s" / "overlays" / "local"
FIGURES = {}  # printed at the end


def pytest_terminal_summary(terminalreporter):
    for what, value in FIGURES.items():
        terminalreporter.write_line(f"{what}: {value}")


@pytest.fixture(scope="session")
def figures():
    return FIGURES


def build_tool(folder):
    """The image of the test tool; its archive."""
    program, archive = folder / "tool", folder / "tool.tar"
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""}
    command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(program), "."]
    subprocess.run(command, cwd=HERE / "tool", env=env, check=True)
    run(HERE / "cluster" / "mkimage.py", archive, TOOL_IMAGE, "/tool", f"{program}=/tool")
    return archive


@pytest.fixture(scope="session")
def cluster():
    """A cluster that runs: the one of KUBECONFIG, or our own, started here if it was not."""
    one = Cluster()
    running = one.k("get", "nodes", check=False).returncode == 0
    if not running:
        assert not one.given, "KUBECONFIG leads to no cluster"
        run(CLUSTER, "up", "2", seconds=600)
    yield one
    if not running and not os.environ.get("K8S_KEEP"):
        run(CLUSTER, "down")


@pytest.fixture(scope="session")
def kept(cluster):
    """Is there a shop of an earlier run to work on?"""
    there = cluster.k("get", "namespace", NAMESPACE, CLIENTS, check=False).returncode == 0
    return there and bool(os.environ.get("K8S_KEEP"))


@pytest.fixture(scope="session")
def images(cluster, kept, tmp_path_factory):
    """The shop's images and the test tool's, on every node."""
    if kept:
        return
    archives = sorted(ARCHIVES / f"{name}.tar" for name in images_of(documents(OVERLAY)))
    missing = [archive.name for archive in archives if not archive.exists()]
    assert not missing, f"no {missing} in {ARCHIVES}: make images ARCHIVE={ARCHIVES}"
    cluster.load(*archives, build_tool(tmp_path_factory.mktemp("tool")))


def images_of(docs):
    """Names of the images, without registry and tag."""
    specs = [doc["spec"]["template"]["spec"] for doc in docs if doc["kind"] in ("Deployment", "StatefulSet", "Job")]
    boxes = [box for spec in specs for box in spec["containers"] + spec.get("initContainers", [])]
    return {box["image"].rpartition("/")[2].partition(":")[0] for box in boxes}


def namespace(name, labels):
    marks = {"pod-security.kubernetes.io/enforce": "restricted", **labels}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": marks}})


def fill_stock(shop):
    """More than all loads can buy."""
    head = [f"Authorization:Bearer {shop.admin_token()}", "Idempotency-Key:tests"]
    answer = shop.request("POST", "/api/products/LAPTOP001/stock", {"delta": 100000}, head)
    assert answer["status"] == 200, answer


@pytest.fixture(scope="session")
def shop(cluster, images, kept):
    one = Shop(cluster)
    if not kept:
        begin(one, cluster)
    yield one
    if not os.environ.get("K8S_KEEP"):
        cluster.k("delete", "namespace", NAMESPACE, CLIENTS, "--ignore-not-found", "--timeout=180s")


def begin(one, cluster):
    """Applies the overlay to nothing, and waits for all of it."""
    cluster.k("delete", "namespace", NAMESPACE, CLIENTS, "--ignore-not-found", "--timeout=120s")
    cluster.apply(namespace(CLIENTS, {"shop/clients": "allowed"}))
    for name in CLIENT_PODS:
        cluster.apply(test_pod(name, CLIENTS))
    began = time.monotonic()
    cluster.k("apply", "-k", OVERLAY)
    one.all_ready()
    FIGURES["apply to all ready, s"] = round(time.monotonic() - began, 1)
    cluster.k("-n", CLIENTS, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    one.k("wait", "--for=condition=Complete", "job/demo-data", "--timeout=240s")
    FIGURES["apply to demo data loaded, s"] = round(time.monotonic() - began, 1)
    fill_stock(one)


@pytest.fixture(autouse=True)
def undisturbed(request):
    """Before a test that uses the shop: everything is ready again after the last one."""
    if "shop" in request.fixturenames:
        one = request.getfixturevalue("shop")
        one.all_ready()
        until(lambda: all(one.ready(name) >= 2 for name in ("gateway", "order-svc", "processor")), 60, "two pods each")


@pytest.fixture
def loads():
    """Loads that a test starts; ended with it."""
    started = []
    yield started.append
    for load in started:
        load.end()
