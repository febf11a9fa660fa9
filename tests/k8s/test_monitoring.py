"""k8s/monitoring on the cluster: everything is found and scraped, and "Demo 4" has data in every panel.

RECORD=1 keeps what kube-state-metrics and the kubelets say in tests/monitoring/recorded/, for the tests without a cluster.
"""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import pytest
import yaml
from shop import CLUSTER, HERE, PROGRAMS, ROOT, run, until

sys.path.append(str(ROOT / "tests" / "monitoring"))
from queries import of_dashboards, of_rules, of_runbooks, selectors  # noqa: E402

OVERLAY = HERE / "monitoring" / "overlay"
BUILT = ROOT / "build" / "k8s" / "monitoring"
RECORDED = ROOT / "tests" / "monitoring" / "recorded"
WORKLOADS = {
    "monitoring": ["statefulset/prometheus", "statefulset/alertmanager", "deployment/kube-state-metrics"],
    "monitoring-node": ["daemonset/node-exporter"],
}
# What cannot be seen here: no Job was given up, our programs have no CPU limit, this Kafka has no TLS.
MAY_BE_MISSING = {
    'kube_job_failed{namespace="shop",condition="true"}',
    'kube_pod_container_resource_limits{namespace="shop",resource="cpu"}',
    "shop_certificate_expiry_timestamp_seconds",
}


def kubectl_env():
    """For plain kubectl, as a person would use it."""
    if os.environ.get("KUBECONFIG"):
        return dict(os.environ)
    tools = os.environ.get("K8S_DIR", "/var/tmp/k8s-cluster") + "/bin"
    config = run(CLUSTER, "kubeconfig").stdout.strip()
    return {**os.environ, "KUBECONFIG": config, "PATH": f"{tools}:{os.environ['PATH']}"}


@contextlib.contextmanager
def forwarded(namespace, what, port):
    """The address of a port of a pod, as long as the block lasts."""
    command = ["kubectl", "-n", namespace, "port-forward", what, f":{port}"]
    child = subprocess.Popen(command, env=kubectl_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = child.stdout.readline()
        found = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", line)
        assert found, line
        yield f"http://{found[1]}"
    finally:
        child.terminate()
        child.wait()


class Prometheus:
    def __init__(self, url):
        self.url = url

    def query(self, expr):
        data = urllib.parse.urlencode({"query": expr}).encode()
        with urllib.request.urlopen(f"{self.url}/api/v1/query", data, timeout=30) as answer:
            result = json.load(answer)["data"]
        if result["resultType"] == "scalar":
            return [(float(result["result"][1]), {})]
        return [(float(one["value"][1]), one["metric"]) for one in result["result"]]

    def missing(self, expr):
        wanted = selectors(expr) - MAY_BE_MISSING
        return sorted(one for one in wanted if not self.query(f"count(last_over_time({one}[1h]))"))

    def has_data(self, expr):
        return any(not math.isnan(value) for value, _ in self.query(expr))


@pytest.fixture(scope="module")
def prometheus(cluster, shop):
    run(HERE / "monitoring" / "build", seconds=3600)
    cluster.load(*sorted(BUILT.glob("*.tar")))
    began = time.monotonic()
    cluster.k("apply", "-k", OVERLAY)
    try:
        for namespace, names in WORKLOADS.items():
            for name in names:
                cluster.k("-n", namespace, "rollout", "status", name, "--timeout=120s")
        print(f"monitoring: apply to all ready, {time.monotonic() - began:.1f} s")
        with forwarded("monitoring", "pod/prometheus-0", 9090) as url:
            one = Prometheus(url)
            until(lambda: {labels["job"] for _, labels in one.query("up")} >= set(PROGRAMS), 90, "all programs found")
            yield one
    finally:
        if not os.environ.get("K8S_KEEP"):
            cluster.k("delete", "-k", OVERLAY, "--ignore-not-found", "--timeout=120s")


def write(file, text, keep):
    """Only the families that our queries name, and of them only the shop."""
    names = re.compile(rf"^(# (HELP|TYPE) )?({'|'.join(sorted(keep))})[ {{]")
    lines = [line for line in text.splitlines() if names.match(line)]
    lines = [line for line in lines if line.startswith("#") or 'namespace="' not in line or 'namespace="shop"' in line]
    # Without times, and each series once.
    lines = list(dict.fromkeys(re.sub(r"^([^#].*\} \S+) \d+$", r"\1", line) for line in lines))
    (RECORDED / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_target_answers(prometheus):
    def down():
        return [labels for value, labels in prometheus.query("up") if value != 1]

    until(lambda: not down(), 60, "every target up")
    jobs = {labels["job"] for _, labels in prometheus.query("up")}
    assert jobs == {*PROGRAMS, "prometheus", "alertmanager", "kube-state-metrics", "node-exporter", "cadvisor"}


def test_each_pod_is_a_target_of_its_program(prometheus, shop):
    def found(name):
        return {labels["pod"] for _, labels in prometheus.query(f'up{{job="{name}"}} == 1')}

    for name in PROGRAMS:
        pods = {pod["metadata"]["name"] for pod in shop.pods(name)}
        until(lambda name=name, pods=pods: found(name) == pods, 60, f"all pods of {name}")


def test_demo_4_has_data_in_every_panel(prometheus):
    """The first dashboard; a rate needs two scrapes."""

    def empty():
        return [where for where, expr in of_dashboards() if where.startswith("ecommerce:")
                and (prometheus.missing(expr) or not prometheus.has_data(expr))]  # fmt: skip

    try:
        until(lambda: not empty(), 90, "data in every panel")
    except AssertionError:
        raise AssertionError("\n".join(empty())) from None


def test_rules_and_runbooks_ask_for_series_of_the_cluster_that_exist(prometheus):
    asked = [(where, expr) for where, expr, _ in of_rules()] + list(of_runbooks())
    of_cluster = re.compile(r"kube_|container_|node_|pod:|program:")
    wrong = [
        f"{where}: {prometheus.missing(expr)}"
        for where, expr in asked
        if of_cluster.search(expr) and prometheus.missing(expr)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_adapter_finds_what_autoscalers_ask_for(prometheus):
    """prometheus-adapter is not run; its question is asked as it would ask it."""
    component = ROOT / "k8s" / "components" / "external-metrics"
    rule = yaml.safe_load((component / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"]["external"][0]
    assert prometheus.query(f"count({rule['seriesQuery']})")
    for job in ("processor", "notify-svc"):
        expr = rule["metricsQuery"].replace("<<.LabelMatchers>>", f'namespace="shop",job="{job}"')
        assert [labels for _, labels in prometheus.query(expr)] == [{"job": job}]


def test_neither_sees_secrets(prometheus, cluster):
    for account in ("prometheus", "kube-state-metrics"):
        for namespace in ("shop", "monitoring", "kube-system"):
            who = f"--as=system:serviceaccount:monitoring:{account}"
            done = cluster.k("auth", "can-i", "get", "secrets", "-n", namespace, who, check=False)
            assert done.stdout.strip() == "no", (account, namespace)


def test_the_functions_of_the_runbooks(prometheus):
    def call(line):
        command = ["bash", "-c", f". docs/runbooks/functions.sh; {line}"]
        done = subprocess.run(command, cwd=ROOT, env=kubectl_env(), capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    assert '"ready":true' in call("admin order-svc /readyz").replace(" ", "")
    assert "job=order-svc" in call("prom 'up{job=\"order-svc\"}'")
    assert "shop_order" in call('sql order-svc "SELECT DATABASE()"')


@pytest.mark.skipif(not os.environ.get("RECORD"), reason="only on demand")
def test_record(prometheus, cluster):
    named = {one.partition("{")[0] for _, expr in of_dashboards() for one in selectors(expr)}
    named |= {one.partition("{")[0] for _, expr, _ in of_rules() for one in selectors(expr)}
    keep = {name for name in named if name.startswith("kube_")}
    with forwarded("monitoring", "deployment/kube-state-metrics", 8080) as url:
        with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
            write("kube-state-metrics.txt", answer.read().decode(), keep)
    text = "".join(cluster.out("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics/cadvisor") + "\n"
                   for node in cluster.out("get", "nodes", "-o", "name").replace("node/", "").split())  # fmt: skip
    write("cadvisor.txt", text, {name for name in named if name.startswith("container_")})
