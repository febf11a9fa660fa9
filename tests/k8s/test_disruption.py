"""Pods die, nodes are drained, versions change: a load at a constant rate loses nothing."""

import time

import pytest
from archives import load_next
from shop import CLIENTS, DEPLOYMENTS, GATEWAY, NAMESPACE, STATELESS, served, until

RATE = 40
PRODUCT = f"{GATEWAY}/api/products/LAPTOP001"
ORDER = '{"user_id":2,"product_id":"LAPTOP001","quantity":1}'


@pytest.fixture(scope="module")
def next_images(cluster, images, tmp_path_factory):
    load_next(cluster, tmp_path_factory.mktemp("next"), *STATELESS)


@pytest.fixture
def under_load(shop, loads):
    """Starts reads and orders, each once with connections kept and once without; returns how to end them."""

    def start(seconds):
        order = ["-method", "POST", "-url", f"{GATEWAY}/api/orders", "-body", ORDER, "-header", "Idempotency-Key:{id}"]
        read = ["-url", PRODUCT]
        started = []
        for kind, what in (("orders", order), ("reads", read)):
            for reuse in ("true", "false"):
                load = shop.load(*what, "-rate", RATE / 2, "-seconds", seconds, f"-reuse={reuse}", pod="client2")
                loads(load)
                started.append((f"{kind}, {'kept' if reuse == 'true' else 'new'} connections", load))
        return started

    return start


def results(started, figures, what):
    found = {name: load.result(600) for name, load in started}
    figures[what] = {
        name: f"{one['sent']} sent, {one['failed']} failed, p99 {one['p99_ms']} ms" for name, one in found.items()
    }
    return found


def assert_none_failed(found):
    failed = {name: one for name, one in found.items() if not served(one, good_status(name))}
    assert not failed, failed


def good_status(name):
    return "201" if name.startswith("orders") else "200"


def restart_all(shop):
    for name in DEPLOYMENTS:
        shop.k("rollout", "restart", f"deployment/{name}")
    shop.k("rollout", "restart", "statefulset/processor")


def test_a_rolling_restart_of_everything(shop, figures, under_load):
    started = under_load(75)
    restart_all(shop)
    shop.all_ready()
    assert all(load.running() for _, load in started), "the load ended before the restart did"
    assert_none_failed(results(started, figures, "restart of everything"))


def test_an_update_and_the_way_back(shop, figures, next_images, under_load):
    """Another image, then `rollout undo`: what a release and its rollback are."""
    assert tags(shop) == {"dev"}
    started = under_load(200)
    for name in STATELESS:
        image = shop.image(name).removesuffix(":dev")
        shop.k("set", "image", f"deployment/{name}", f"{name}={image}:next")
    shop.all_ready()
    # Those that end serve for some seconds more.
    until(lambda: tags(shop) == {"next"}, 60, "pods of the next version only")
    for name in STATELESS:
        shop.k("rollout", "undo", f"deployment/{name}")
    shop.all_ready()
    assert all(load.running() for _, load in started), "the load ended before the rollback did"
    assert_none_failed(results(started, figures, "update and rollback"))
    until(lambda: tags(shop) == {"dev"}, 60, "pods of the old version only")


def tags(shop):
    """Of the images that pods of the stateless programs run, those that end included."""
    pods = shop.json("get", "pods", "-l", f"app.kubernetes.io/name in ({','.join(STATELESS)})")["items"]
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in pods}


def test_a_node_is_drained(shop, cluster, figures, under_load):
    """The node without the databases; every pod that was there comes up elsewhere."""
    nodes = [node["metadata"]["name"] for node in cluster.json("get", "nodes")["items"]]
    if len(nodes) < 2:
        pytest.skip("one node: there is nowhere to go")
    data = {pod["spec"]["nodeName"] for name in ("mysql", "kafka") for pod in shop.pods(name)}
    node = next((name for name in nodes if name not in data and not is_control_plane(cluster, name)), None)
    assert node, f"MySQL and Kafka are on {data}: no node is free of data"
    started = under_load(160)
    try:
        # The clients themselves have no controller, so they stay.
        cluster.k(
            "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s",
            "--pod-selector=app.kubernetes.io/part-of=shop,app.kubernetes.io/name", seconds=200,
        )  # fmt: skip
        shop.all_ready()
        assert all(load.running() for _, load in started), "the load ended before the drain did"
        left = cluster.json("-n", NAMESPACE, "get", "pods", f"--field-selector=spec.nodeName={node}")["items"]
        assert [pod for pod in left if pod["status"]["phase"] == "Running"] == []
    finally:
        cluster.k("uncordon", node)
    assert_none_failed(results(started, figures, "drain of a node"))
    restart_all(shop)  # spreads them again
    shop.all_ready()


def is_control_plane(cluster, name):
    labels = cluster.json("get", "node", name)["metadata"]["labels"]
    return "node-role.kubernetes.io/control-plane" in labels


def test_pods_are_killed(shop, figures, under_load):
    """kill -9 gives nobody time to drain: what was in that pod is lost, and only that."""
    started = under_load(60)
    for name in ["user-svc", "product-svc", "order-svc", "notify-svc", "processor", "gateway"]:
        victim = shop.pods(name)[0]["metadata"]["name"]
        shop.k("delete", "pod", victim, "--grace-period=0", "--force")
        until(lambda name=name: shop.ready(name) >= 2, 60, f"another {name}")
        time.sleep(1)
    found = results(started, figures, "six pods killed")
    for name, one in found.items():
        assert one["statuses"].get(good_status(name), 0) >= 0.98 * one["sent"] > 0, (name, one)
    # Nothing was lost or sold twice, whatever the answers were: every order that is there was counted.
    assert_orders_are_counted(shop)


def assert_orders_are_counted(shop):
    token = shop.admin_token()
    head = [f"Authorization:Bearer {token}"]

    def same():
        orders, cursor = 0, ""
        while True:
            page = shop.request("GET", f"/api/orders?user_id=2&limit=100{cursor}", headers=head)["json"]
            orders += len(page["orders"])
            if not page.get("next_cursor"):
                break
            cursor = f"&cursor={page['next_cursor']}"
        return shop.request("GET", "/api/analytics/users/2", headers=head)["json"]["total_orders"] == orders

    until(same, 90, "the analytics to have every order", pause=2)


def test_a_node_fails(shop, cluster, loads):
    """Its plug is pulled: after the cluster has noticed, the other node serves alone."""
    if cluster.given:
        pytest.skip("the nodes of a given cluster are not ours to break")
    data = {pod["spec"]["nodeName"] for name in ("mysql", "kafka") for pod in shop.pods(name)}
    node = next(name for name in ("n1", "n2") if name not in data)
    clients = cluster.json("-n", CLIENTS, "get", "pods")["items"]
    survivor = next((pod["metadata"]["name"] for pod in clients if pod["spec"]["nodeName"] != node), None)
    assert survivor, "both clients were on that node"
    cluster.machine("node-stop", node)
    try:

        def answers():
            # One that fails may take 20 s, so the first of them ends the try.
            return all(shop.tool("request", "GET", PRODUCT, pod=survivor, check=False)["status"] == 200 for _ in range(5))

        until(lambda: quietly(answers), 90, "service by the other node")
    finally:
        cluster.machine("node-start", node)
    until(lambda: all(is_true(one) for one in cluster.json("get", "nodes")["items"]), 120, "both nodes")
    shop.all_ready()

    def steady():
        """Its pods have new addresses; until everybody knows, connections to the old ones fail."""
        load = shop.load("-url", PRODUCT, "-rate", RATE, "-seconds", 5, "-reuse=false", pod=survivor)
        loads(load)
        return served(load.result(), "200")

    until(steady, 120, "no request that fails")


def quietly(check):
    try:
        return check()
    except (AssertionError, ValueError):
        return False


def is_true(node):
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])
