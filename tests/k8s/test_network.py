"""Who reaches whom: exactly the edges of the architecture, tried from pods with the programs' labels."""

import pytest
from shop import CLIENTS, NAMESPACE, test_pod, until

GATEWAY_CALLS = ["user-svc", "product-svc", "order-svc", "notify-svc", "analytics-svc"]
CALLS_GATEWAY = ["product-svc", "order-svc", "notify-svc", "analytics-svc"]
DATABASE = ["user-svc", "product-svc", "order-svc", "notify-svc", "migrate-user-svc"]
KAFKA = ["product-svc", "order-svc", "notify-svc", "analytics-svc", "processor", "topics"]

# docs/DESIGN.md, section 1, as (from, to, port).  Everything else is closed.
EDGES = {
    ("frontend", "gateway", 8080),
    *{("gateway", name, port) for name in GATEWAY_CALLS for port in (8080, 9090)},
    *{(name, "gateway", 8081) for name in CALLS_GATEWAY},
    *{(name, "mysql", 3306) for name in DATABASE},
    *{(name, "kafka", 9092) for name in KAFKA},
    ("notify-svc", "mail-sink", 2525),
}
TARGETS = {
    "gateway": [8080, 8081, 9090], "frontend": [8080], "mysql": [3306], "kafka": [9092], "mail-sink": [2525, 8025],
    "processor": [9090], **{name: [8080, 9090] for name in GATEWAY_CALLS},
}  # fmt: skip
SOURCES = ["gateway", *GATEWAY_CALLS, "processor", "frontend", "mysql", "kafka", "mail-sink", "migrate-user-svc", "topics"]
STRANGERS = "shop-strangers"


@pytest.fixture(scope="module")
def addresses(shop):
    """"IP:port" -> (program, port), one pod of each."""
    found = {}
    for name, ports in TARGETS.items():
        ip = shop.pods(name)[0]["status"]["podIP"]
        found.update({f"{ip}:{port}": (name, port) for port in ports})
    return found


@pytest.fixture(scope="module")
def probes(shop, cluster):
    """A pod with the labels of each program."""
    for name in SOURCES:
        labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/component": "probe", "app": f"probe-{name}"}
        labels |= {f"shop/{what}": "client" for what in uses(shop, name)}
        cluster.apply(test_pod(f"probe-{name}", NAMESPACE, labels, ready=False))
    for name in SOURCES:
        shop.k("wait", "--for=jsonpath={.status.phase}=Running", f"pod/probe-{name}", "--timeout=60s")
    yield
    shop.k("delete", "pod", "-l", "app.kubernetes.io/component=probe", "--wait=true")


def uses(shop, name):
    """The marks that the real pods have: taken from the cluster, not from the table above."""
    kinds = {"migrate-user-svc": ["job", "migrate-user-svc"], "topics": ["job", "topics"]}
    if name in kinds:
        from conftest import OVERLAY
        from shop import documents

        labels = next(
            doc["spec"]["template"]["metadata"]["labels"]
            for doc in documents(OVERLAY)
            if doc["kind"] == "Job" and doc["metadata"]["name"] == name
        )
    else:
        pods = [pod for pod in shop.pods(name) if pod["metadata"]["labels"].get("app.kubernetes.io/component") != "probe"]
        labels = pods[0]["metadata"]["labels"]
    return [key.removeprefix("shop/") for key, value in labels.items() if key.startswith("shop/") and value == "client"]


@pytest.mark.parametrize("source", SOURCES)
def test_exactly_the_edges(shop, addresses, probes, source):
    wanted = {address for address, (name, port) in addresses.items() if (source, name, port) in EDGES}

    def reached():
        answers = shop.tool("connect", *addresses, pod=f"probe-{source}", namespace=NAMESPACE)
        return {address for address, answer in answers.items() if answer != "no answer"}

    # Policies of a new pod take a moment to be in force, both ways.
    until(lambda: reached() == wanted, 20, f"the edges of {source}")


def test_clients_reach_the_public_doors_only(shop, addresses):
    answers = shop.tool("connect", *addresses)
    opened = {addresses[address] for address, answer in answers.items() if answer == "open"}
    assert opened == {("gateway", 8080), ("frontend", 8080), ("mail-sink", 8025)}


def test_strangers_reach_nothing(shop, cluster, addresses):
    cluster.k("create", "namespace", STRANGERS)
    try:
        cluster.apply(test_pod("stranger", STRANGERS))
        cluster.k("-n", STRANGERS, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=60s")
        answers = shop.tool("connect", *addresses, pod="stranger", namespace=STRANGERS)
        assert set(answers.values()) == {"no answer"}
        # It is the policies that stop it: the same pod reaches what has none.
        dns = shop.tool("connect", "kube-dns.kube-system:53", pod="stranger", namespace=STRANGERS)
        assert set(dns.values()) == {"open"}
    finally:
        cluster.k("delete", "namespace", STRANGERS, "--wait=false")


@pytest.fixture(scope="module")
def api_server(shop, cluster):
    """By name and by number; a pod without policies reaches both."""
    spec = cluster.json("-n", "default", "get", "service", "kubernetes")["spec"]
    port = spec["ports"][0]["port"]
    found = [f"kubernetes.default.svc:{port}", f"{spec['clusterIP']}:{port}"]
    until(lambda: set(shop.tool("connect", *found).values()) == {"open"}, 20, "the API server")
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_programs_reach_nothing_outside(shop, api_server, probes, source):
    """Not even the API server."""

    def closed():
        answers = shop.tool("connect", *api_server, pod=f"probe-{source}", namespace=NAMESPACE)
        return set(answers.values()) == {"no answer"}

    until(closed, 20, f"the end of the way from {source} to the API server")


def test_prometheus_reads_metrics_and_nothing_else(shop, cluster, addresses):
    """A pod in `monitoring` with Prometheus's name."""
    made = cluster.k("get", "namespace", "monitoring", check=False).returncode != 0
    if made:
        cluster.k("create", "namespace", "monitoring")
    try:
        cluster.apply(test_pod("metrics-probe", "monitoring", {"app.kubernetes.io/name": "prometheus"}))
        cluster.k("-n", "monitoring", "wait", "--for=condition=Ready", "pod/metrics-probe", "--timeout=60s")

        def opened():
            answers = shop.tool("connect", *addresses, pod="metrics-probe", namespace="monitoring")
            return {addresses[address] for address, answer in answers.items() if answer == "open"}

        wanted = {(name, 9090) for name, ports in TARGETS.items() if 9090 in ports}
        until(lambda: opened() == wanted, 20, "the admin ports")
    finally:
        cluster.k("-n", "monitoring", "delete", "pod", "metrics-probe", "--ignore-not-found")
        if made:
            cluster.k("delete", "namespace", "monitoring", "--wait=false")


def test_clients_namespace_is_what_opens_the_door(shop, cluster):
    """Without its mark the clients' namespace is a stranger's."""
    cluster.k("label", "namespace", CLIENTS, "shop/clients-")
    try:
        gateway = f"{shop.pods('gateway')[0]['status']['podIP']}:8080"
        until(lambda: shop.tool("connect", gateway)[gateway] == "no answer", 20, "the closed door")
    finally:
        cluster.k("label", "namespace", CLIENTS, "shop/clients=allowed")
    until(lambda: shop.tool("connect", gateway)[gateway] == "open", 20, "the open door")
